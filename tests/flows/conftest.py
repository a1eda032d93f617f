"""What the flow tests share: quick ways to run an evaluation."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mlubench.evaluate.options import check_parameters
from mlubench.evaluate.results import Outcome
from tests.support.fitted import write_fitted_network
from tests.support.pageless import without_page
from tests.support.plain_flow import plainly
from tests.support.sample import copy_compiled

#: Runs the flow with these options; returns its outcome, or raises its error.
Evaluate = Callable[..., Outcome]


@pytest.fixture(scope="session")
def out(tmp_path_factory: pytest.TempPathFactory, compiled_sample: Path) -> Path:
    """A folder of artifacts shared by all tests, so that networks are compiled once."""
    return copy_compiled(compiled_sample, tmp_path_factory.mktemp("artifacts"))


@pytest.fixture(scope="session")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Options for the digits with a network of two layers, which is quick to calibrate."""
    return {**write_fitted_network(tmp_path_factory.mktemp("fitted")), "dataset": "digits"}


@pytest.fixture(scope="session")
def run(out: Path) -> Evaluate:
    """Evaluates without Prefect, which most tests have no need of."""

    def run(**options: Any) -> Outcome:
        from flows.evaluate import evaluate

        return _checked(plainly(evaluate, check_parameters(**{"out": out, **options})))

    return run


@pytest.fixture(scope="session")
def run_without_page(run: Evaluate) -> Evaluate:
    """Evaluates like ``run``, without the page, which takes as long as a small network's images."""

    def run_without_page(**options: Any) -> Outcome:
        with without_page():
            return run(**options)

    return run_without_page


@pytest.fixture(scope="session")
def prefect_run(prefect_server: str, out: Path) -> Evaluate:
    """Evaluates through Prefect, for tests of what Prefect does or shows."""

    def run(**options: Any) -> Outcome:
        from flows.ending import outcome_of
        from flows.evaluate import evaluate

        parameters = check_parameters(**{"out": out, **options})
        return _checked(outcome_of(evaluate(parameters, return_state=True)))

    return run


def _checked(result: Any) -> Outcome:
    if isinstance(result, BaseException):
        raise result
    assert isinstance(result, Outcome)
    return result
