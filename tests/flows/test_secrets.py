"""What an evaluation tells the world: nothing of its environment, and nobody beyond the host."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mlubench.evaluate.options import check_parameters
from tests.support.prefect import migrated_home
from tests.support.processes import MARK, alive, listening, marked, new_mark
from tests.support.sample import copy_compiled

_SECRET = "hunter2-5f1c9"
#: Variables in which secrets are kept, as the programs have them that read them.
_SECRETS = {
    "PREFECT_API_KEY": f"pnu_{_SECRET}",
    "AWS_SECRET_ACCESS_KEY": _SECRET,
    "AWS_SESSION_TOKEN": _SECRET,
    "HTTPS_PROXY": f"http://someone:{_SECRET}@127.0.0.1:9",
}


@pytest.fixture(scope="module")
def evaluated(
    prefect_database: Path, compiled_sample: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, set[str], str]:
    """Return an evaluation's folder of artifacts, where it listened, and what it said."""
    folder = tmp_path_factory.mktemp("secrets")
    out, mark = copy_compiled(compiled_sample, folder / "out"), new_mark()
    migrated_home(prefect_database, out / "prefect")
    command = [Path(sys.executable).with_name("mlubench"), "eval", "--out", out]
    command += ["--precision", "force_float32", "--image_num", "40"]
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PREFECT_")}
    environment |= {**_SECRETS, MARK: mark, "HOME": str(folder), "PREFECT_SERVER_API_PORT": "9"}
    addresses: set[str] = set()
    with (folder / "said").open("wb") as said:
        process = subprocess.Popen(command, env=environment, stdout=said, stderr=said)
        while alive(process.pid):
            addresses |= listening(marked(mark))
            time.sleep(0.2)
    text = (folder / "said").read_text()
    assert process.wait() == 0, text
    return out, addresses, text


def test_no_secret_is_kept_or_told(evaluated: tuple[Path, set[str], str]) -> None:
    out, _, said = evaluated
    files = [file for file in out.rglob("*") if file.is_file()]
    assert any(file.name == "report.html" for file in files)
    assert any("prefect" in file.parts for file in files)
    assert _SECRET not in said
    assert [file for file in files if _SECRET.encode() in file.read_bytes()] == []


def test_its_server_listens_on_loopback(evaluated: tuple[Path, set[str], str]) -> None:
    _, addresses, _ = evaluated
    assert addresses == {"127.0.0.1"}


@pytest.mark.parametrize(
    ("family", "address"),
    [(socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::1")],
)
def test_who_listens_is_seen(family: socket.AddressFamily, address: str) -> None:
    with socket.create_server((address, 0), family=family):
        assert address in listening([os.getpid()])


def test_parameters_have_no_room_for_a_secret() -> None:
    """Prefect's database, its UI and run.json show all of them."""
    words = ("key", "token", "secret", "password")
    names = check_parameters().model_dump()
    assert [name for name in names if any(word in name for word in words)] == []
