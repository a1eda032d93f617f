"""The search for the highest rate: its steps, and its answer against queueing theory."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlubench.metrics.early_stopping import late_allowed
from mlubench.speed.mm_run.server_search import RateSearch, Trial, bound_holds, highest_rate
from mlubench.worker.measure.loadgen import Bound, Limits, server
from tests.support.virtual_time import Queue, VirtualClock


@given(st.floats(0.1, 1e5), st.floats(0.1, 1e5), st.floats(0.001, 0.2))
def test_it_finds_the_edge(edge: float, start: float, tolerance: float) -> None:
    found = highest_rate(lambda rate: rate <= edge, start, tolerance, most_trials=100)
    assert found.rate is not None
    assert found.broken is not None
    assert found.rate <= edge < found.broken <= found.rate * (1 + tolerance)
    assert found == highest_rate(lambda rate: rate <= edge, start, tolerance, most_trials=100)


def test_its_steps() -> None:
    assert highest_rate(lambda rate: rate < 3, 1, tolerance=0.5) == RateSearch(
        2 * math.sqrt(2),
        4,
        (Trial(1, True), Trial(2, True), Trial(4, False), Trial(2 * math.sqrt(2), True)),
    )


def test_it_stops_where_there_is_no_edge() -> None:
    assert highest_rate(lambda _: True, 1, most_trials=3).broken is None
    none = highest_rate(lambda _: False, 1, most_trials=3)
    assert (none.rate, none.broken) == (None, 0.25)


def test_it_goes_no_lower_than_it_is_worth() -> None:
    none = highest_rate(lambda _: False, 8, least=2)
    assert [trial.rate for trial in none.trials] == [8, 4, 2]
    assert (none.rate, none.broken) == (None, 2)
    found = highest_rate(lambda rate: rate <= 1.1, 8, least=1)
    assert found.rate is not None
    assert 1 <= found.rate <= 1.1  # what was found is closed in on all the same


@pytest.mark.parametrize(("start", "tolerance", "trials"), [(0, 0.1, 9), (1, 0, 9), (1, 0.1, 0)])
def test_senseless_searches(start: float, tolerance: float, trials: int) -> None:
    with pytest.raises(ValueError, match="trials"):
        highest_rate(lambda _: True, start, tolerance, trials)


def test_bound() -> None:
    latencies = np.linspace(0, 1, 10_000)
    assert not bound_holds(latencies, 0.9, 0.9)  # 10 % late are no evidence for p90
    assert bound_holds(latencies, 0.91, 0.9)
    with pytest.raises(ValueError, match="458 queries, at least 459"):
        bound_holds(latencies[:458], 1.0, 0.99)


def _in_time(rate: float, service: float, bound: float) -> float:
    """Return the fraction of an M/D/1 queue's latencies that are within a bound.

    C. D. Crommelin, "Delay probability formulae when the holding times are constant", Post
    Office Electrical Engineers' Journal 25 (1932), 41-50: P(wait <= t) = (1 - rho) times the sum
    over k = 0..floor(t / s) of (-rate (t - k s))^k / k! e^(rate (t - k s)).
    """
    wait = bound - service
    loads = [rate * (wait - k * service) for k in range(math.floor(wait / service) + 1)]
    terms = ((-load) ** k / math.factorial(k) * math.exp(load) for k, load in enumerate(loads))
    return (1 - rate * service) * sum(terms)


@pytest.mark.parametrize("percentile", [0.9, 0.99])
def test_the_rate_of_a_queue_is_the_one_that_theory_gives(percentile: float) -> None:
    from scipy.optimize import brentq

    service, bound, queries = 0.01, 0.045, 20_000
    truth = brentq(lambda rate: _in_time(rate, service, bound) - percentile, 1, 99)
    allowed = late_allowed(queries, percentile)
    assert allowed is not None

    def holds(rate: float) -> bool:
        clock = VirtualClock()
        load = server(Queue(clock, service), rate, Limits(queries), 9, Bound(bound, allowed), clock)
        return not load.gave_up and bound_holds(load.latencies, bound, percentile)

    found = highest_rate(holds, start=100, tolerance=0.01)
    assert found.rate == pytest.approx(truth, rel=0.04)
