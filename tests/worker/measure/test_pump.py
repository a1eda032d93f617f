"""Requests pumped through lanes that take no time, and whose ends a test decides."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pytest

from mlubench.engines.measuring import Lane, Lanes
from mlubench.errors import EngineError
from mlubench.worker.measure.pump import EVERY, Feed, Pump, WarmUp, as_arrays


class FakeLane(Lane):
    """Keeps what it was given, and says who is asked for what."""

    def __init__(self, place: int, log: list[tuple[str, int]]) -> None:
        self.place, self._log = place, log
        self.inputs: list[Sequence[np.ndarray]] = []
        self.done_at = 0.0
        self.busy = False

    def copy_in(self, arrays: Sequence[np.ndarray]) -> None:
        assert not self.busy
        self.inputs.append(arrays)

    def start(self) -> None:
        assert not self.busy
        self.busy = True
        self._log.append(("start", self.place))

    def wait(self) -> None:
        self.busy = False
        self._log.append(("done", self.place))

    def copy_out(self) -> list[np.ndarray]:
        assert not self.busy
        return [np.array([self.place])]


class FakeLanes(Lanes):
    """Lanes of which the youngest is done first, where all are busy."""

    def __init__(self, count: int) -> None:
        self.log: list[tuple[str, int]] = []
        self.lanes = [FakeLane(place, self.log) for place in range(count)]
        self._order: deque[FakeLane] = deque()

    def next_free(self) -> Lane:
        idle = [lane for lane in self.lanes if not lane.busy]
        if not idle:
            lane = self._order.pop()
            lane.wait()
        else:
            lane = idle[0]
        self._order.append(lane)
        return lane


def _feed(groups: int = 1, buffers: int = 2) -> Feed:
    return Feed(
        [[[np.array([group, buffer])] for buffer in range(buffers)] for group in range(groups)]
    )


@pytest.mark.parametrize("count", [1, 2, 5])
def test_every_request_ends_and_lanes_are_kept_full(count: int) -> None:
    lanes = FakeLanes(count)
    moments = Pump(lanes, _feed()).run(lambda started, _: started < 12)
    assert len(moments) == 12
    kinds = [kind for kind, _ in lanes.log]
    assert kinds.count("start") == kinds.count("done") == 12
    in_flight = np.cumsum([1 if kind == "start" else -1 for kind in kinds])
    assert in_flight.max() == count
    assert in_flight[count - 1 : -count].min() >= count - 1
    columns = as_arrays(moments)
    stages = [columns[name] for name in ("begin", "copied", "launched", "fetched", "end")]
    assert all((first <= second).all() for first, second in pairwise(stages))


def test_shapes_and_buffers_take_turns() -> None:
    lanes = FakeLanes(1)
    moments = Pump(lanes, _feed(groups=3, buffers=2)).run(lambda started, _: started < 12)
    assert [one.group for one in moments] == [0, 1, 2] * 4
    given = Counter(tuple(map(int, arrays[0])) for arrays in lanes.lanes[0].inputs)
    assert given == dict.fromkeys([(g, b) for g in range(3) for b in range(2)], 2)


def test_threads_begin_at_different_buffers() -> None:
    feeds = [Feed([[[np.array([buffer])] for buffer in range(2)]], first) for first in (0, 1)]
    assert [int(feed.next()[1][0][0]) for feed in feeds] == [0, 1]


def test_without_copies_lanes_keep_what_they_were_filled_with() -> None:
    lanes = FakeLanes(2)
    pump = Pump(lanes, _feed(), copy=False)
    for _ in range(2):
        pump.run(lambda started, _: started < 6)
    assert [len(lane.inputs) for lane in lanes.lanes] == [1, 1]
    assert pump.outputs == []


def test_without_copies_a_request_has_the_shapes_that_its_lane_keeps() -> None:
    lanes = FakeLanes(2)
    pump = Pump(lanes, _feed(groups=2), copy=False)
    moments = pump.run(lambda started, _: started < 7)
    kept = [int(lane.inputs[0][0][0]) for lane in lanes.lanes]
    assert kept == [0, 1]
    started = Counter(kept[place] for kind, place in lanes.log if kind == "start")
    assert Counter(one.group for one in moments) == started
    assert started.keys() == {0, 1}


def test_a_device_without_a_clock_has_no_time_of_its_own() -> None:
    moments = Pump(FakeLanes(1), _feed()).run(lambda started, _: started < 2)
    assert [one.device for one in moments] == [-1.0, -1.0]


def test_a_failure_is_raised() -> None:
    class Broken(FakeLanes):
        def next_free(self) -> Lane:
            if len(self.log) > 4:
                raise EngineError("burnt", where="cpu:0")
            return super().next_free()

    with pytest.raises(EngineError, match="burnt"):
        Pump(Broken(1), _feed()).run(lambda started, _: True)


def test_a_warm_up_ends_when_times_are_steady_and_not_before_its_time() -> None:
    calls = []

    def some_times() -> list[float]:
        calls.append(1)
        return [1.0] * EVERY

    warm_up = WarmUp(0.02)
    warm_up.run(some_times)
    assert warm_up.steady
    assert warm_up.seconds >= 0.02


def test_a_warm_up_that_never_gets_steady_ends_too() -> None:
    time = 1.0

    def some_times() -> list[float]:
        nonlocal time
        time *= 1.5
        return [time * (1 + place / EVERY) for place in range(EVERY)]

    warm_up = WarmUp(0.001)
    warm_up.run(some_times)
    assert not warm_up.steady
    none = WarmUp(0.0)
    none.run(some_times)
    assert (none.seconds, none.steady) == (0.0, False)
