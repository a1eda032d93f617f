"""A Prefect server for one run: ``python -m flows.service.server PORT``.

Prefect would start one by itself, but that outlives a flow that is killed. This one ends when
its standard input closes, which the kernel sees to, and it starts while the flow's own imports
go on.
"""

from __future__ import annotations

import atexit
import http.client
import os
import socket
import subprocess
import sys
import time
import urllib.request

from flows.service.lifeline import end_with_stdin
from mlubench.errors import ConfigError, MlubenchError

#: How long a server may take to answer, on a busy host.
START_SECONDS = 120.0
_STOP_SECONDS = 10.0
_ANSWER_SECONDS = 1.0
_LOOPBACK = "127.0.0.1"
#: Prefect's own default.
_USUAL_PORT = 4200


class OwnServer:
    """A running server of this process's own, on loopback, which ends with the process.

    Start it before Prefect is imported: what is registered last runs first at the end of a
    process, and Prefect then still has logs and events to send.

    Attributes:
        url: its API.
    """

    def __init__(self) -> None:
        port = free_port()
        self.url = f"http://{_LOOPBACK}:{port}/api"
        self._process = subprocess.Popen(
            [sys.executable, "-m", "flows.service.server", str(port)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "PREFECT_UI_ENABLED": "0"},
            # Ctrl-C is for the flow, which then still tells the server how it ended.
            start_new_session=True,
        )
        atexit.register(self.close)

    def wait(self) -> None:
        """Wait until it answers.

        Raises:
            MlubenchError: it ended, or does not answer in time.
        """
        end = time.monotonic() + START_SECONDS
        while not answers(self.url):
            if self._process.poll() is not None or time.monotonic() > end:
                raise MlubenchError(
                    "Prefect's server does not start",
                    where=self.url,
                    expected=f"an answer within {START_SECONDS:g} s",
                    fix="see what it says: make server",
                )
            time.sleep(0.1)

    def close(self) -> None:
        """End it, and wait until it has ended."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        try:
            self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def answers(url: str) -> bool:
    """Whether a Prefect server is up at this API, asked without any proxy."""
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with direct.open(f"{url}/health", timeout=_ANSWER_SECONDS) as answer:
            return bool(answer.status == 200)
    except (OSError, ValueError, http.client.HTTPException):
        return False


def usual_port() -> int:
    """Return the port that ``make server`` listens on.

    Raises:
        ConfigError: the variable that names another one holds no port.
    """
    given = os.environ.get("PREFECT_SERVER_API_PORT", str(_USUAL_PORT))
    if not (given.isdecimal() and 0 < int(given) < 1 << 16):
        raise ConfigError(
            "is no port", where=f"PREFECT_SERVER_API_PORT={given}", expected="a number below 65536"
        )
    return int(given)


def usual_url() -> str:
    """Return the API that ``make server`` serves.

    Raises:
        ConfigError: as :func:`usual_port`.
    """
    return f"http://{_LOOPBACK}:{usual_port()}/api"


def free_port() -> int:
    """Return a port of loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind((_LOOPBACK, 0))
        return int(probe.getsockname()[1])


def main() -> None:
    """Serve until standard input closes."""
    end_with_stdin()
    import uvicorn
    from prefect.server.api.server import create_app

    uvicorn.run(
        create_app(ephemeral=True),
        host=_LOOPBACK,
        port=int(sys.argv[1]),
        log_level="error",
        lifespan="on",
    )


if __name__ == "__main__":
    main()
