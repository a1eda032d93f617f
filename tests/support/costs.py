"""What a run of the tests cost: processor time, beside pytest's wall time and slowest tests."""

from __future__ import annotations

import resource
from typing import Any

import pytest

_KEY = pytest.StashKey[float]()
_FIELD = "processor_s"


def processor_seconds() -> float:
    """Return user and system time of this process and of its children that have ended, in s."""
    both = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in both)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Note what this process of tests cost, for the one that reports."""
    output = getattr(session.config, "workeroutput", None)
    if output is not None:
        output[_FIELD] = processor_seconds()


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Add what a process of pytest-xdist cost."""
    spent = getattr(node, "workeroutput", {}).get(_FIELD, 0.0)
    node.config.stash[_KEY] = node.config.stash.get(_KEY, 0.0) + spent


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say what all processes of tests cost."""
    workers = terminalreporter.config.stash.get(_KEY, 0.0)
    own = resource.getrusage(resource.RUSAGE_SELF)
    spent = workers + own.ru_utime + own.ru_stime if workers else processor_seconds()
    terminalreporter.write_line(f"processor time {spent:.0f} s, of all processes that ended")
