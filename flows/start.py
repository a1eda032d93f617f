"""Flows started from the command line: what they report to, and how they end.

Prefect reads its environment when it is imported, so it is imported in here, after that is set.
"""

from __future__ import annotations

import os
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, cast

from rich.console import Console

from mlubench.errors import MlubenchError
from mlubench.pipeline.parameters import EvaluateParameters
from mlubench.store import make_folder

if TYPE_CHECKING:
    from mlubench.pipeline.outcome import Outcome

#: Prefect's own default; ``make server`` listens there.
_USUAL_PORT = "4200"
_ANSWER_SECONDS = 1.0
_WIDTH = 100


def evaluate(parameters: EvaluateParameters) -> int:
    """Run the evaluate flow, print its outcome and return the exit status.

    Raises:
        MlubenchError: the flow could not finish.
    """
    choose_server(parameters.out)
    from flows.evaluate import evaluate as flow

    try:
        state = flow(parameters, return_state=True)
    except RuntimeError as error:  # the flow's own errors are in its state; this is Prefect's
        raise MlubenchError(
            str(error),
            where=os.environ.get("PREFECT_API_URL", "Prefect's own server"),
            fix="run again; if a server is meant to run, see that it is well (make server)",
        ) from error
    outcome = cast("Outcome | BaseException", state.result(raise_on_failure=False))
    if isinstance(outcome, BaseException):
        raise outcome
    print_outcome(outcome)
    return outcome.exit_status


def print_outcome(outcome: Outcome) -> None:
    """Print the table, what must be known beside it, and where the report is."""
    from mlubench.reports.console import render_accuracy, summary_lines

    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = _WIDTH  # of a file or a pipe; rich would take 80
    console.print(render_accuracy(outcome.rows))
    console.print()
    for line in [*summary_lines(outcome.record), *outcome.notes()]:
        console.print(line, markup=False, soft_wrap=True)
    console.print(f"report:  {outcome.folder / 'report.html'}", markup=False, soft_wrap=True)


def choose_server(artifacts: Path) -> None:
    """Set Prefect's environment for this process, before Prefect is imported.

    A server that runs (``make server``) shows the run while it lasts. Without one Prefect
    starts a server for the run alone; its database lies with the artifacts, so that a server
    started later shows the run too.

    Args:
        artifacts: the folder of runs and caches.

    Raises:
        StoreError: that folder cannot be made.
    """
    home = (artifacts / "prefect").resolve()
    make_folder(home)
    os.environ.setdefault("PREFECT_HOME", str(home))
    # The terminal shows progress and the outcome; Prefect's own lines are in its UI.
    os.environ.setdefault("PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL", "CRITICAL")
    if "PREFECT_API_URL" not in os.environ:
        port = os.environ.get("PREFECT_SERVER_API_PORT", _USUAL_PORT)
        usual = f"http://127.0.0.1:{port}/api"
        if _answers(f"{usual}/health"):
            os.environ["PREFECT_API_URL"] = usual


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=_ANSWER_SECONDS) as answer:  # noqa: S310  # http
            return bool(answer.status == 200)
    except (OSError, urllib.error.URLError):
        return False
