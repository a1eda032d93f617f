"""Lanes as the system that a scenario's queries are put to."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from mlubench.engines.measuring import Lane, NotifiedLanes
from mlubench.errors import EngineError
from mlubench.worker.measure.loadgen import Limits, closed_loop, single_stream
from mlubench.worker.measure.pump import Feed
from mlubench.worker.measure.scenarios import LaneSystem, run_scenario, some_latencies


class EchoLane(Lane):
    """Is done as soon as it is started."""

    def __init__(self, done: queue.SimpleQueue[Any]) -> None:
        self._done = done
        self.inputs: list[Sequence[np.ndarray]] = []
        self.copied_out = 0

    def copy_in(self, arrays: Sequence[np.ndarray]) -> None:
        self.inputs.append(arrays)

    def start(self) -> None:
        self._done.put(self)

    def wait(self) -> None:
        """It is done."""

    def copy_out(self) -> list[np.ndarray]:
        self.copied_out += 1
        return []


class EchoLanes(NotifiedLanes):
    def __init__(self, count: int, fail_after: int | None = None) -> None:
        self._done: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self.lanes = [EchoLane(self._done) for _ in range(count)]
        self.ended = 0
        self._fail_after = fail_after

    def next_done(self) -> Lane:
        lane: EchoLane = self._done.get()
        self.ended += 1
        if self.ended == self._fail_after:
            raise EngineError("burnt", where="mlu:0")
        return lane


def _system(
    lanes: EchoLanes, batch: int = 1, bind: Callable[[], None] = lambda: None, copy: bool = True
) -> LaneSystem:
    feed = Feed([[[np.zeros((batch, 2))], [np.ones((batch, 2))]]])
    return LaneSystem(lanes, feed, copy, batch, bind)


@pytest.mark.parametrize(("samples", "batch", "requests"), [(1, 1, 1), (8, 1, 8), (8, 4, 2)])
def test_a_query_ends_with_the_last_of_its_requests(
    samples: int, batch: int, requests: int
) -> None:
    lanes = EchoLanes(3)
    system = _system(lanes, batch)
    load = closed_loop(system, samples, 2, Limits(5))
    system.close()
    assert len(load.finished) == 5
    assert lanes.ended == 5 * requests
    assert sum(len(lane.inputs) for lane in lanes.lanes) == 5 * requests
    assert sum(lane.copied_out for lane in lanes.lanes) == 5 * requests


def test_without_copies_inputs_are_copied_once() -> None:
    lanes = EchoLanes(2)
    system = _system(lanes, copy=False)
    single_stream(system, Limits(6))
    system.close()
    assert [len(lane.inputs) for lane in lanes.lanes] == [1, 1]
    assert [lane.copied_out for lane in lanes.lanes] == [0, 0]


def test_the_thread_that_empties_binds_the_device_first() -> None:
    bound: list[int] = []
    lanes = EchoLanes(1)
    system = _system(lanes, bind=lambda: bound.append(threading.get_ident()))
    single_stream(system, Limits(1))
    system.close()
    assert bound
    assert threading.get_ident() not in bound


def test_a_failure_reaches_the_thread_that_starts() -> None:
    system = _system(EchoLanes(2, fail_after=3))
    with pytest.raises(EngineError, match="burnt"):
        closed_loop(system, 4, 1, Limits(10, patience=20))


def _asked(scenario: str, **more: Any) -> dict[str, Any]:
    asked = {"scenario": scenario, "samples": 1, "queries": 20, "seconds": 0.0}
    return {**asked, **more}


@pytest.mark.parametrize(
    ("asked", "samples"),
    [
        (_asked("SingleStream"), 1),
        (_asked("MultiStream", samples=4), 4),
        (_asked("Offline", samples=2), 2),
        (_asked("Server", rate=1e4, seed=3, bound=60.0, late_allowed=5), 1),
    ],
    ids=lambda value: value["scenario"] if isinstance(value, dict) else "",
)
def test_each_scenario(asked: dict[str, Any], samples: int) -> None:
    lanes = EchoLanes(2)
    system = _system(lanes)
    load = run_scenario(system, asked)
    system.close()
    assert len(load.finished) == 20
    assert load.samples == samples
    assert not load.gave_up
    assert (load.latencies >= 0).all()
    assert lanes.ended >= 20 * samples


def test_offline_lasts_as_long_as_it_is_told() -> None:
    system = _system(EchoLanes(1))
    load = run_scenario(system, _asked("Offline", queries=1, seconds=0.05))
    system.close()
    assert len(load.finished) > 1
    assert not load.scheduled.any()


def test_there_is_no_such_scenario() -> None:
    system = _system(EchoLanes(1))
    with pytest.raises(EngineError, match="no scenario Sprint"):
        run_scenario(system, _asked("Sprint"))
    system.close()


def test_latencies_of_a_warm_up() -> None:
    system = _system(EchoLanes(2))
    assert len(some_latencies(system, 1, 2)) >= 2
    system.close()
