"""How flows end: a verdict that is no pass shows red in Prefect, and its result is kept."""

from __future__ import annotations

import logging
from typing import Any

from prefect.client.schemas.objects import State
from prefect.context import FlowRunContext
from prefect.states import Completed, Failed

#: Outcomes by flow run, until they are asked for.
_KEPT: dict[Any, Any] = {}


class NotPassed(Exception):  # noqa: N818  # no error: the flow did what it is for
    """A flow that came to its end, with a verdict that is no pass.

    Prefect wants an exception for a failed state, and raises it in the flow's own process.

    Args:
        verdict: in a line.
        outcome: the flow's result.
    """

    def __init__(self, verdict: str, outcome: Any) -> None:
        super().__init__(verdict)
        self.outcome = outcome


def ended(outcome: Any, verdict: str, *, passed: bool) -> State[Any]:
    """Return the state of a flow that came to its end.

    Args:
        outcome: its result.
        verdict: in a line, which Prefect shows beside the state.
        passed: whether a command would exit with 0.
    """
    if context := FlowRunContext.get():
        _KEPT[context.flow_run.id] = outcome  # type: ignore[union-attr]  # a flow that runs has one
    if passed:
        return Completed(data=outcome, message=verdict)
    return Failed(data=NotPassed(verdict, outcome), message=verdict)


def outcome_of(state: State[Any]) -> Any:
    """Return the result of a flow of this process that came to its end, or the error of another.

    Where the server's answer to a flow's last state is lost, Prefect asks again and is given the
    state that the server has, which has no result: this process still has it.
    """
    kept = _KEPT.pop(state.state_details.flow_run_id, None)
    if kept is not None:
        return kept
    result = state.result(raise_on_failure=False)
    return result.outcome if isinstance(result, NotPassed) else result


def _without_traceback(record: logging.LogRecord) -> bool:
    """Say a verdict in a line: Prefect's engine logs it as an exception that nobody expected."""
    error = record.exc_info[1] if record.exc_info else None
    if isinstance(error, NotPassed):
        record.msg, record.args, record.exc_info = f"Verdict: {error}", (), None
    return True


logging.getLogger("prefect.flow_runs").addFilter(_without_traceback)
