"""Everything that scheduled runs need, until Ctrl-C: ``make server``.

``python -m flows.service [ARTIFACTS]``; the folder is the checkout's where none is named.

Prefect's server and UI, the pages of the runs, the work pool with its deployments, a worker. What
runs already is used, not started again. With ``--no-server`` the server is another service's, and
waited for.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, BinaryIO

from flows.service.deploy import POOL, ROOT, deploy
from flows.service.pages import serve_pages
from flows.service.server import START_SECONDS, answers, usual_port, usual_url
from mlubench.errors import MlubenchError
from mlubench.store import make_folder

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient
    from prefect.client.schemas.objects import FlowRun

_LOOK_SECONDS = 0.5
_STOP_SECONDS = 15.0
#: How long running flows get to be cancelled when everything stops.
_CANCEL_SECONDS = 45.0
#: A run that somebody starts begins at most so late.
_QUERY_SECONDS = "2"


@dataclass
class Stop:
    """Whether it is to end. No Event: a second signal within its ``set`` would wait for ever."""

    asked: bool = False


def serve(stop: Stop, artifacts: Path, *, own_server: bool = True) -> None:
    """Start what does not run yet, deploy, and stay until told to stop or a part ends.

    Args:
        stop: says when it is to end.
        artifacts: the folder whose pages are served.
        own_server: whether to start a server where none answers; else it is waited for, and this
            is the only one that starts a worker.

    Raises:
        MlubenchError: a part does not start, or ended by itself.
    """
    url = usual_url()
    os.environ["PREFECT_API_URL"] = url
    with ExitStack() as parts:
        processes = {}
        if not own_server:
            _wait_for(url, None, stop)
        elif not answers(url):
            processes["server"] = parts.enter_context(_server(url))
            _wait_for(url, processes["server"], stop)
        address = _page_of(url)
        for line in deploy():
            _say(line)
        # A server that was just started may still believe in the worker of the one before it.
        if own_server and not processes and _worker_is_there():
            _say(f"a server and a worker run already: {address}")
            return
        pages = parts.enter_context(serve_pages(artifacts, usual_port() + 1))
        parts.enter_context(_told_pages(pages, artifacts))
        _end_lost_runs()
        processes["worker"] = parts.enter_context(_worker())
        parts.callback(_cancel_runs)
        _say(f"pages of runs: {pages}")
        _say(f"Prefect's UI: {address}   (Ctrl-C ends it all)")
        while not stop.asked:
            time.sleep(_LOOK_SECONDS)
            for name, process in processes.items():
                if process.poll() is not None:
                    raise MlubenchError(
                        f"ended by itself, with status {process.returncode}",
                        where=f"Prefect's {name}",
                        fix=f"see what it said, above or in {_log()}",
                    )


@contextmanager
def _server(url: str) -> Iterator[subprocess.Popen[bytes]]:
    port = str(usual_port())
    page = _page_of(url)
    # The UI calls the port of the variable, not that of the option; alerts link to the page.
    environment = {"PREFECT_SERVER_API_PORT": port, "PREFECT_UI_URL": page}
    command = ["server", "start", "--host", "127.0.0.1", "--port", port, "--log-level", "WARNING"]
    make_folder(_log().parent)
    with _log().open("ab") as log, _running(command, environment, log) as process:
        yield process


def _log() -> Path:
    """Return where the server's own words go: it has many, and the worker's are of more use."""
    return Path(os.environ["PREFECT_HOME"]) / "server.log"


@contextmanager
def _worker() -> Iterator[subprocess.Popen[bytes]]:
    environment = {"PREFECT_WORKER_QUERY_SECONDS": _QUERY_SECONDS}
    with _running(["worker", "start", "--pool", POOL, "--type", "process"], environment) as process:
        yield process


@contextmanager
def _running(
    command: list[str], more: dict[str, str], output: BinaryIO | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a command of Prefect's, in a session of its own: Ctrl-C is for this process.

    It ends when its standard input does, so that it does not outlive this process.
    """
    environment = {**os.environ, **more}
    if command[0] == "server":
        del environment["PREFECT_API_URL"]  # it is the server
    process = subprocess.Popen(
        [sys.executable, "-m", "flows.service.lifeline", *command],
        cwd=ROOT,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=output,
        stderr=subprocess.STDOUT if output else None,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _wait_for(url: str, server: subprocess.Popen[bytes] | None, stop: Stop) -> None:
    """Wait until a server answers, this one's own or, with None, another's."""
    end = time.monotonic() + START_SECONDS
    while not answers(url):
        ended = server is not None and server.poll() is not None
        if ended or stop.asked or time.monotonic() > end:
            raise MlubenchError(
                "Prefect's server does not start" if server else "no Prefect server answers there",
                where=url,
                expected=f"an answer within {START_SECONDS:g} s",
                fix=f"see {_log()}; PREFECT_SERVER_API_PORT=4300 takes another port"
                if server
                else "see what its service says: journalctl --unit mlubench-server",
            )
        time.sleep(0.2)


def _worker_is_there() -> bool:
    from prefect.client.orchestration import get_client

    with get_client(sync_client=True) as client:
        workers = client.read_workers_for_work_pool(POOL)
    return any(worker.status == "ONLINE" for worker in workers)


@contextmanager
def _told_pages(address: str, artifacts: Path) -> Iterator[None]:
    """Tell tasks where pages are found, while they are."""
    from prefect.variables import Variable

    from tasks.pages import PAGES

    Variable.set(PAGES, {"address": address, "folder": str(artifacts.resolve())}, overwrite=True)
    yield
    Variable.unset(PAGES)


def _end_lost_runs() -> None:
    """Say of runs whose worker was killed that they crashed; they would keep others waiting.

    The pool has no worker yet, and a run ends with its worker.
    """
    from prefect.client.orchestration import get_client
    from prefect.states import Crashed

    with get_client(sync_client=True) as client:
        for run in _runs_begun(client):
            _say(f"crashed with its worker: {run.name}")
            client.set_flow_run_state(run.id, Crashed(message="Its worker was killed."))


def _runs_begun(client: SyncPrefectClient) -> list[FlowRun]:
    """Return the pool's runs that began and have not ended."""
    from prefect.client.schemas.filters import FlowRunFilter, WorkPoolFilter

    begun = FlowRunFilter.model_validate(
        {"state": {"type": {"any_": ["PENDING", "RUNNING", "CANCELLING"]}}}
    )
    pool = WorkPoolFilter.model_validate({"name": {"any_": [POOL]}})
    return client.read_flow_runs(flow_run_filter=begun, work_pool_filter=pool)


def _cancel_runs() -> None:
    """Cancel what the worker runs and wait until it has: a worker leaves its runs behind."""
    import httpx
    from prefect.client.orchestration import get_client

    try:
        with get_client(sync_client=True) as client:
            _cancel(client, time.monotonic() + _CANCEL_SECONDS)
    except httpx.HTTPError:
        # Its death is told already, and must not hide behind what follows from it.
        _say("the server is gone: what still runs ends with its worker")


def _cancel(client: SyncPrefectClient, end: float) -> None:
    from prefect.states import Cancelling

    while runs := _runs_begun(client):
        for run in runs:
            if run.state is not None and not run.state.is_cancelling():
                _say(f"cancelling {run.name}")
                client.set_flow_run_state(run.id, Cancelling())
        if time.monotonic() > end:
            _say("some runs were not cancelled in time")
            return
        time.sleep(0.5)


def _page_of(url: str) -> str:
    return url.removesuffix("/api")


def _say(text: str) -> None:
    print(text, flush=True)  # noqa: T201  # that is what it is for


def parser() -> argparse.ArgumentParser:
    """Return the parser of its options."""
    parser = argparse.ArgumentParser(prog="flows.service", description=__doc__)
    parser.add_argument("artifacts", type=Path, nargs="?", default=ROOT / "artifacts")
    parser.add_argument("--no-server", action="store_true", help="wait for another's server")
    return parser


def main() -> int:
    """Serve until SIGINT or SIGTERM; return the exit status."""
    given = parser().parse_args()
    stop = Stop()

    def ask(_signal: int, _frame: FrameType | None) -> None:
        stop.asked = True

    signal.signal(signal.SIGINT, ask)
    signal.signal(signal.SIGTERM, ask)
    try:
        make_folder(given.artifacts)
        os.environ.setdefault("PREFECT_HOME", str(given.artifacts / "prefect"))
        serve(stop, given.artifacts, own_server=not given.no_server)
    except MlubenchError as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201
        return error.exit_status
    return 0


if __name__ == "__main__":
    sys.exit(main())
