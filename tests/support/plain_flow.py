"""Flows without Prefect: their own bodies, with steps that are the functions which tasks wrap.

An evaluation through Prefect takes 2.5 s of processor time more, half of it the server's. Tests
whose subject is not Prefect run their flows so.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest import mock

_FLOWS = ("flows.evaluate", "flows.benchmark", "flows.nightly")
#: Tasks that do nothing but show something in Prefect's UI.
_SHOWING = ("publish", "publish_benchmark", "publish_nightly")


def plainly(flow: Any, parameters: Any) -> Any:
    """Run a flow without Prefect.

    Args:
        flow: of ``flows/``.
        parameters: its own.

    Returns:
        Its outcome, whatever the verdict; its error is raised.
    """
    with plain_flows():
        return _outcome(flow.fn(parameters))


@contextmanager
def plain_flows() -> Iterator[None]:
    """Make the tasks in flows and tasks the functions that they wrap; progress is not shown."""
    from prefect import Flow, Task

    import flows.benchmark
    import flows.evaluate
    import flows.nightly

    assert flows.nightly  # imported, all three
    with ExitStack() as patches, ThreadPoolExecutor() as pool:

        def replace(module: Any, name: str, new: object) -> None:
            patches.enter_context(mock.patch.object(module, name, new))

        for module in [part for name, part in sys.modules.items() if _is_ours(name)]:
            for name, value in list(vars(module).items()):
                if isinstance(value, Task):
                    shown = name in _SHOWING
                    replace(module, name, _Plain(_nothing if shown else value.fn, pool))
                elif isinstance(value, Flow) and module is flows.nightly:
                    replace(module, name, _Subflow(value))
                elif name == "step_progress":
                    replace(module, name, _step)
                elif name == "runs_progress":
                    replace(module, name, _runs)
        yield


def _is_ours(module: str) -> bool:
    return module in _FLOWS or module.startswith("tasks.")


class _Plain:
    """In place of a task."""

    def __init__(self, function: Callable[..., Any], pool: ThreadPoolExecutor) -> None:
        self._function = function
        self._pool = pool

    def __call__(self, *values: Any, **named: Any) -> Any:
        return self._function(*values, **named)

    def submit(self, *values: Any, **named: Any) -> Future[Any]:
        return self._pool.submit(self._function, *values, **named)


class _Subflow:
    """In place of a flow that another flow runs, whose error is its state."""

    def __init__(self, flow: Any) -> None:
        self._flow = flow

    def with_options(self, **_: Any) -> Callable[..., Any]:
        return self._run

    def _run(self, parameters: Any, *, return_state: bool) -> Any:
        assert return_state
        from prefect.states import Failed

        try:
            return self._flow.fn(parameters)
        except Exception as error:
            return Failed(data=error, message=str(error))


def _outcome(state: Any) -> Any:
    from flows.ending import outcome_of

    return outcome_of(state)


def _nothing(*_: Any, **__: Any) -> None:
    """Show nothing."""


@contextmanager
def _step(_title: str, _key: str) -> Iterator[Callable[[int, int], None]]:
    yield lambda _done, _total: None


@contextmanager
def _runs(_suite: str, _key: str, _total: int) -> Iterator[Callable[[str], None]]:
    yield lambda _name: None
