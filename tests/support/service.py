"""``make server`` on a port and in a folder of a test's own, and what it leaves of processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from flows.service.server import free_port
from tests.support.prefect import migrated_home
from tests.support.processes import MARK, becomes, marked, new_mark

ROOT = Path(__file__).resolve().parents[2]
_START_SECONDS = 180


class Service:
    """A running service.

    Args:
        folder: gets its PREFECT_HOME and what it says.
        artifacts: the folder whose pages it serves.
        database: of the fixture ``prefect_database``; without it a new one is migrated.

    Attributes:
        home: its PREFECT_HOME.
        artifacts: the folder whose pages it serves.
        port: Prefect's.
        environment: of commands that are to reach it.
    """

    def __init__(self, folder: Path, artifacts: Path, database: Path | None = None) -> None:
        self.home = folder / "prefect"
        if database is not None:
            migrated_home(database, self.home)
        self.artifacts = artifacts
        self.port = free_port()
        self.said = folder / "said.log"
        self._mark = new_mark()
        self.environment = {
            **os.environ,
            "DO_NOT_TRACK": "1",
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            "PREFECT_HOME": str(self.home),
            "PREFECT_SERVER_API_PORT": str(self.port),
            "PREFECT_API_URL": f"http://127.0.0.1:{self.port}/api",
            MARK: self._mark,
        }
        self.process: subprocess.Popen[bytes] | None = None

    @contextmanager
    def running(self, folder: Path) -> Iterator[None]:
        """Start it from some folder; at the end ask it to stop, as Ctrl-C does."""
        with self.said.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "flows.service", str(self.artifacts)],
                cwd=folder,
                env=self.environment,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            self._wait(self.process)
            yield
        finally:
            for _ in range(3):  # as often as somebody impatient asks
                self.process.send_signal(signal.SIGINT)
            self.process.wait(120)

    def _wait(self, process: subprocess.Popen[bytes]) -> None:
        for _ in range(_START_SECONDS // 30):
            if becomes(lambda: "Ctrl-C" in self.log() or process.poll() is not None):
                break
        assert process.poll() is None, self.log()
        assert "Ctrl-C" in self.log(), self.log()

    def log(self) -> str:
        return self.said.read_text(encoding="utf-8", errors="replace")

    def prefect(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run Prefect's command line against it."""
        return subprocess.run(
            [sys.executable, "-m", "prefect", *words],
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )

    def processes(self) -> dict[int, str]:
        """Return the command lines of all processes that it began, and theirs, by their ids."""
        return marked(self._mark)


class Receiver:
    """An HTTP server that keeps what is posted to it.

    Args:
        statuses: of its first answers; all further ones are 204.

    Attributes:
        got: content type and body of each request.
    """

    def __init__(self, *statuses: int) -> None:
        answers = list(statuses)
        self.got: list[tuple[str, bytes]] = []
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.got.append((self.headers["Content-Type"], body))
                self.send_response(answers.pop(0) if answers else 204)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    @contextmanager
    def running(self) -> Iterator[Receiver]:
        thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield self
        finally:
            self._server.shutdown()
            thread.join()
            self._server.server_close()
