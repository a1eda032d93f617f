"""What the flow tests share: quick ways to run an evaluation."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from flows.ending import outcome_of
from flows.evaluate import evaluate
from mlubench.pipeline.outcome import Outcome
from mlubench.pipeline.parameters import check_parameters
from tests.support.sample import copy_compiled

#: Runs the flow with these options; returns its outcome, or raises its error.
Evaluate = Callable[..., Outcome]


@pytest.fixture(scope="session")
def out(tmp_path_factory: pytest.TempPathFactory, compiled_sample: Path) -> Path:
    """A folder of artifacts shared by all tests, so that networks are compiled once."""
    return copy_compiled(compiled_sample, tmp_path_factory.mktemp("artifacts"))


@pytest.fixture
def run(prefect_server: str, out: Path) -> Evaluate:
    def run(**options: Any) -> Outcome:
        parameters = check_parameters(**{"out": out, **options})
        result = outcome_of(evaluate(parameters, return_state=True))
        if isinstance(result, BaseException):
            raise result
        assert isinstance(result, Outcome)
        return result

    return run
