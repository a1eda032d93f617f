"""The load generators in simulated time, against queueing theory; and once on threads."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from mlubench.errors import EngineError
from mlubench.worker.measure.loadgen import (
    Bound,
    Limits,
    System,
    closed_loop,
    multi_stream,
    offline,
    poisson_arrivals,
    server,
    single_stream,
)
from tests.support.virtual_time import Queue, VirtualClock


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


def test_single_stream_issues_when_the_last_has_finished(clock: VirtualClock) -> None:
    load = single_stream(Queue(clock, 0.01), Limits(5), clock)
    np.testing.assert_allclose(load.scheduled, [0, 0.01, 0.02, 0.03, 0.04], atol=1e-9)
    np.testing.assert_allclose(load.issued, load.scheduled)
    np.testing.assert_allclose(load.latencies, 0.01, atol=1e-9)
    assert load.throughput == pytest.approx(100)
    assert load.samples == 1


def test_multi_stream_asks_for_several_samples(clock: VirtualClock) -> None:
    system = Queue(clock, 0.01)
    load = multi_stream(system, 8, Limits(3), clock)
    assert system.started == [(0, 8), (1, 8), (2, 8)]
    np.testing.assert_allclose(load.latencies, 0.08, atol=1e-9)
    assert load.throughput == pytest.approx(100)


@pytest.mark.parametrize(
    ("limits", "queries"),
    [(Limits(7, 0.02), 7), (Limits(2, 0.055), 6), (Limits(1), 1)],
    ids=["queries are met last", "seconds are met last", "one"],
)
def test_a_run_ends_when_both_limits_are_met(
    clock: VirtualClock, limits: Limits, queries: int
) -> None:
    assert len(single_stream(Queue(clock, 0.01), limits, clock).finished) == queries


def test_several_in_flight_fill_several_servers(clock: VirtualClock) -> None:
    load = closed_loop(Queue(clock, 0.01, servers=3), 4, 3, Limits(30), clock)
    assert load.throughput == pytest.approx(3 * 100)
    in_flight = [
        np.sum((load.scheduled <= moment) & (load.finished > moment)) for moment in load.scheduled
    ]
    assert max(in_flight) == 3


def test_offline_is_all_due_at_the_start(clock: VirtualClock) -> None:
    system = Queue(clock, 0.001)
    load = offline(system, 1000, clock=clock)
    assert system.started == [(0, 1000)]
    assert load.throughput == pytest.approx(1000)
    load = offline(Queue(clock, 0.001, servers=2), 8, queries=50, clock=clock)
    assert not load.scheduled.any()
    assert load.throughput == pytest.approx(2000)


@pytest.mark.parametrize("utilisation", [0.3, 0.6, 0.8])
def test_the_server_scenario_has_the_mean_wait_of_its_queue(
    clock: VirtualClock, utilisation: float
) -> None:
    """M/D/1, Pollaczek and Khinchin: rho s / (2 (1 - rho))."""
    service = 0.01
    load = server(Queue(clock, service), utilisation / service, Limits(40_000), 5, clock=clock)
    wait = float(np.mean(load.latencies)) - service
    expected = utilisation * service / (2 * (1 - utilisation))
    assert wait == pytest.approx(expected, rel=0.06)
    assert not load.gave_up


def test_latencies_count_from_the_arrival(clock: VirtualClock) -> None:
    """A system that takes nothing while it works: issued late, and all the time counts."""

    class Blocking(System):
        def start(self, query: int, samples: int) -> None:
            clock.wait_until(clock.now() + 1)
            self.finished(query)

    load = server(Blocking(), 100, Limits(10), 1, clock=clock)
    due = np.array(poisson_arrivals(100, Limits(10), 1))
    np.testing.assert_allclose(load.scheduled, due)
    np.testing.assert_allclose(load.issued, due[0] + 1 + np.arange(10), atol=1e-9)
    np.testing.assert_allclose(load.latencies, due[0] + 1 + np.arange(10) - due, atol=1e-9)


def test_a_hopeless_run_is_given_up(clock: VirtualClock) -> None:
    system = Queue(clock, 0.01)
    load = server(system, 200, Limits(10_000), 2, Bound(0.05, late_allowed=10), clock)
    assert load.gave_up
    assert np.count_nonzero(load.latencies > 0.05) >= 11
    assert len(system.started) == len(load.finished) < 200
    assert np.isfinite(load.finished).all()


def test_arrivals_are_poisson_and_seeded() -> None:
    from scipy.stats import kstest

    arrivals = poisson_arrivals(50, Limits(20_000), 3)
    assert kstest(np.diff(arrivals), "expon", args=(0, 1 / 50)).pvalue > 0.01
    assert arrivals == poisson_arrivals(50, Limits(20_000), 3)
    assert arrivals[:100] != poisson_arrivals(50, Limits(100), 4)
    np.testing.assert_allclose(poisson_arrivals(100, Limits(100), 3), np.array(arrivals)[:100] / 2)
    assert poisson_arrivals(10, Limits(1, 5.0), 3)[-1] >= 5
    with pytest.raises(ValueError, match="rate is 0"):
        poisson_arrivals(0, Limits(1), 0)


def test_a_system_that_never_finishes(clock: VirtualClock) -> None:
    class Deaf(System):
        def start(self, query: int, samples: int) -> None:
            if query == 0:
                clock.at(clock.now() + 1, lambda: self.finished(0))

    with pytest.raises(EngineError, match="query 1: no query has finished for 20 s, 1 are"):
        single_stream(Deaf(), Limits(3, patience=20), clock)


def test_a_system_that_fails(clock: VirtualClock) -> None:
    class Broken(System):
        def start(self, query: int, samples: int) -> None:
            clock.at(clock.now() + 1, lambda: self.failed(EngineError("burnt", where="mlu:0")))

    with pytest.raises(EngineError, match="mlu:0: burnt"):
        closed_loop(Broken(), 1, 2, Limits(5), clock)


@pytest.mark.parametrize("answer", [7, -1, 0])
def test_a_system_that_finishes_what_it_was_not_given(clock: VirtualClock, answer: int) -> None:
    class Confused(System):
        def start(self, query: int, samples: int) -> None:
            self.finished(0)
            self.finished(answer)

    with pytest.raises(EngineError, match="has not been given"):
        single_stream(Confused(), Limits(1), clock)


def test_on_threads_and_the_real_clock() -> None:
    class Threaded(System):
        def start(self, query: int, samples: int) -> None:
            threading.Thread(target=self.finished, args=(query,)).start()

    for load in (
        closed_loop(Threaded(), 2, 4, Limits(50)),
        server(Threaded(), 5000, Limits(50), 1),
        offline(Threaded(), 1, 50),
    ):
        assert len(load.finished) == 50
        assert (load.latencies > 0).all()
        assert (load.scheduled <= load.issued).all()
