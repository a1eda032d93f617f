"""CI fails where a test skips for want of what CI provides; what cost a run is said."""

from __future__ import annotations

import pytest

pytest_plugins = ("pytester",)

_TESTS = """
import pytest

def test_without_data():
    pytest.skip("NO REAL DATA: a folder is absent")

def test_without_the_old_python():
    pytest.skip("NO PYTHON 3.7: python3.7 is not on PATH")

@pytest.mark.skipif(True, reason="one core: everything is pinned to it")
def test_with_other_cores():
    pass

def test_that_passes():
    pass
"""


@pytest.mark.parametrize(
    ("variable", "counts"),
    [("true", {"passed": 1, "skipped": 2, "failed": 1}), (None, {"passed": 1, "skipped": 3})],
)
def test_a_skip_fails_where_ci_provides(
    pytester: pytest.Pytester,
    monkeypatch: pytest.MonkeyPatch,
    variable: str | None,
    counts: dict[str, int],
) -> None:
    if variable is None:
        monkeypatch.delenv("CI", raising=False)
    else:
        monkeypatch.setenv("CI", variable)
    pytester.makepyfile(_TESTS)
    result = pytester.runpytest_inprocess(
        "-p", "tests.support.skips", "-p", "tests.support.costs", "-p", "no:cacheprovider"
    )
    result.assert_outcomes(**counts)
    result.stdout.fnmatch_lines(["processor time * s, of all processes that ended"])
    if variable:
        result.stdout.fnmatch_lines(["*CI must provide this*NO REAL DATA: a folder is absent*"])
