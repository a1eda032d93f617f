"""What the flow tests share: one Prefect server, and quick ways to run an evaluation."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from prefect.settings import (
    PREFECT_FLOWS_HEARTBEAT_FREQUENCY,
    PREFECT_LOGGING_TO_API_ENABLED,
    temporary_settings,
)
from prefect.testing.utilities import prefect_test_harness

from flows.ending import outcome_of
from flows.evaluate import evaluate
from mlubench.pipeline.outcome import Outcome
from mlubench.pipeline.parameters import check_parameters

#: Runs the flow with these options; returns its outcome, or raises its error.
Evaluate = Callable[..., Outcome]


@pytest.fixture(scope="session")
def prefect_server() -> Iterator[None]:
    """A server of the tests' own. Without its heartbeats a flow ends a second sooner."""
    quick = {PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None, PREFECT_LOGGING_TO_API_ENABLED: False}
    with prefect_test_harness(server_startup_timeout=120), temporary_settings(quick):
        yield


@pytest.fixture(scope="session")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of artifacts shared by all tests, so that networks are compiled once."""
    return tmp_path_factory.mktemp("artifacts")


@pytest.fixture
def run(prefect_server: None, out: Path) -> Evaluate:
    def run(**options: Any) -> Outcome:
        parameters = check_parameters(**{"out": out, **options})
        result = outcome_of(evaluate(parameters, return_state=True))
        if isinstance(result, BaseException):
            raise result
        assert isinstance(result, Outcome)
        return result

    return run
