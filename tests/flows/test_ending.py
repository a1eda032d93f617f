"""How a flow's outcome comes back to who started it."""

from __future__ import annotations

import pytest


@pytest.mark.parametrize("passed", [True, False])
def test_an_outcome_is_there_though_the_servers_answer_was_lost(
    prefect_server: str, passed: bool
) -> None:
    from prefect import flow
    from prefect.client.schemas.objects import State

    from flows.ending import ended, outcome_of

    @flow
    def judged() -> State[str]:
        return ended("an outcome", "a verdict", passed=passed)

    state = judged(return_state=True)
    told = state.model_copy(update={"data": None})  # as a client reads it from the server
    assert outcome_of(told) == "an outcome"
    assert outcome_of(judged(return_state=True)) == "an outcome"
