"""Prefect's server on a real PostgreSQL: eight evaluations at once (``make test-postgres``)."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from flows.service.server import free_port
from tests.support.long import long
from tests.support.service import Service

_AT_ONCE = 8
_USER = "postgres"
_PROGRAMS = max(Path("/usr/lib/postgresql").glob("*/bin"), default=None)

#: A minute of both cores.
pytestmark = long


@contextmanager
def _postgres(folder: Path) -> Iterator[int]:
    """Run a server of its own on a free port of loopback; give the port."""
    if _PROGRAMS is None or os.geteuid():
        pytest.skip("NO POSTGRESQL: apt-get install postgresql, and run as root")
    data, port = folder / "data", free_port()
    folder.mkdir()
    for part in (folder, *folder.parents):  # the server's user must get there
        if part.is_relative_to("/tmp") and part != Path("/tmp"):
            part.chmod(0o755)
    data.mkdir()
    subprocess.run(["chown", _USER, str(folder), str(data)], check=True)
    _as_user("initdb", "--pgdata", str(data), "--auth", "trust", "--encoding", "UTF8")
    options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={folder}"
    log = str(folder / "log")
    _as_user("pg_ctl", "--pgdata", str(data), "--log", log, "--options", options, "--wait", "start")
    try:
        _as_user("createdb", "--host", "127.0.0.1", "--port", str(port), "prefect")
        yield port
    finally:
        _as_user("pg_ctl", "--pgdata", str(data), "--mode", "immediate", "stop")


def _as_user(program: str, *options: str) -> str:
    assert _PROGRAMS is not None
    done = subprocess.run(
        ["runuser", "-u", _USER, "--", str(_PROGRAMS / program), *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
        text=True,
        check=False,
        cwd="/",
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def _evaluated(service: Service, out: Path) -> subprocess.CompletedProcess[str]:
    options = ["--precision", "force_float32", "--image_num", "40", "--out", str(out)]
    return subprocess.run(
        [sys.executable, "-m", "mlubench", "eval", *options],
        env=service.environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_eight_evaluations_at_once(tmp_path: Path) -> None:
    with _postgres(tmp_path / "postgres") as port:
        service = Service(tmp_path, tmp_path / "out")
        service.environment["PREFECT_SERVER_DATABASE_CONNECTION_URL"] = (
            f"postgresql+asyncpg://{_USER}@127.0.0.1:{port}/prefect"
        )
        with service.running(tmp_path), ThreadPoolExecutor(_AT_ONCE) as pool:
            outs = [tmp_path / f"out-{number}" for number in range(_AT_ONCE)]
            ended = list(pool.map(lambda out: _evaluated(service, out), outs))
        said = service.log() + (service.home / "server.log").read_text(errors="replace")
        asked = "SELECT count(*) FROM flow_run WHERE state_type = 'COMPLETED'"
        database = ["--host", "127.0.0.1", "--port", str(port), "--dbname", "prefect"]
        completed = _as_user("psql", *database, "--tuples-only", "--command", asked)
    assert [one.returncode for one in ended] == [0] * _AT_ONCE, ended[0].stdout + ended[0].stderr
    assert int(completed) == _AT_ONCE
    assert "locked" not in said
    assert not list(service.home.glob("*.db"))  # SQLite had no part in it
