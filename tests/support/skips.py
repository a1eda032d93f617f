"""Skips that CI does not accept: whatever .ci/run is there to provide must not be absent.

A test that lacks something skips with a reason that begins with ``NO``: ``NO BROWSER: chromium is
not on the PATH``. Under CI such a skip is a failure, so that nothing stops being tested unseen.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

#: What CI cannot install. No package registry (PyPI, Debian, npm) has a Python 3.7: the tests of
#: the SDK's interpreter run where the machine has one, as ``python3.7`` or of pyenv.
NOT_PROVIDED = ("NO PYTHON 3.7",)


def unexpected(reason: str) -> bool:
    """Whether a skip for this reason is a failure under CI."""
    return reason.startswith("NO ") and not reason.startswith(NOT_PROVIDED)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Iterator[None]:
    """Make a skip for want of what CI provides a failure."""
    report = yield
    if report.skipped and os.environ.get("CI") and isinstance(report.longrepr, tuple):
        reason = report.longrepr[2].removeprefix("Skipped: ")
        if unexpected(reason):
            report.outcome = "failed"
            report.longrepr = f"CI must provide this (.ci/run): {reason}"
    return report
