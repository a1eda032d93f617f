"""Requests through a thread's lanes as fast as they go: mm_run's own way to load a device.

Each request is timed stage by stage. Standard library and NumPy only, Python 3.7 syntax.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from typing import Callable, Dict, List, NamedTuple, Sequence

import numpy as np

from mlubench.engines.measuring import Lane, Lanes
from mlubench.worker.measure.steady_state import LEAST_BATCHES, steady_from

#: A warm-up that does not get steady ends after so many times its least time, at this most.
_LONGEST = 10.0
_LONGEST_SECONDS = 10.0
#: How often the steady-state test is made, in requests: it costs about a millisecond.
EVERY = 16

#: One request's moments: inputs copied from, copied, launched, computed, outputs copied from, end;
#: seconds of ``time.perf_counter()``, which is one clock for all processes of a host. ``device`` is
#: the computation's duration by the device's own clock, -1 where it has none.
Moments = NamedTuple(
    "Moments",
    [
        ("group", int),
        ("begin", float),
        ("copied", float),
        ("launched", float),
        ("done", float),
        ("fetched", float),
        ("end", float),
        ("device", float),
    ],
)


class Feed:
    """The inputs of the requests, in turn.

    Args:
        groups: per set of input shapes, buffers that take turns, each one array for each input.
        first: whose turn it is first; threads that share the groups begin at different ones.
    """

    def __init__(self, groups: Sequence[Sequence[Sequence[np.ndarray]]], first: int = 0) -> None:
        self._groups = groups
        self._turn = first

    def next(self) -> "tuple[int, Sequence[np.ndarray]]":
        """Return the number of the next request's shapes, and its inputs."""
        group = self._turn % len(self._groups)
        buffers = self._groups[group]
        arrays = buffers[self._turn // len(self._groups) % len(buffers)]
        self._turn += 1
        return group, arrays


class Pump:
    """Keeps lanes full until told to stop.

    Args:
        lanes: of this thread.
        feed: the inputs.
        copy: whether inputs are copied in and outputs out for each request; if not, they are
            copied in once.
    """

    def __init__(self, lanes: Lanes, feed: Feed, copy: bool = True) -> None:
        self._lanes = lanes
        self._feed = feed
        self._copy = copy
        #: Without copies: the shapes of the inputs that each lane keeps, by id.
        self._kept: Dict[int, int] = {}
        self.outputs: List[np.ndarray] = []

    def run(self, go_on: Callable[[int, float], bool]) -> List[Moments]:
        """Start requests while told to, wait for all of them, and return their moments.

        Args:
            go_on: called with the number of requests started and the seconds since the first.

        Returns:
            In the order in which their lanes were free again.

        Raises:
            EngineError: the engine failed.
        """
        if not self._copy and not self._kept:
            self._fill_once()
        flying: Dict[int, "tuple[Lane, tuple[int, float, float, float]]"] = OrderedDict()
        moments: List[Moments] = []
        started, start = 0, time.perf_counter()
        while go_on(started, time.perf_counter() - start):
            lane = self._lanes.next_free()
            if id(lane) in flying:
                moments.append(self._finish(*flying.pop(id(lane))))
            flying[id(lane)] = (lane, self._start(lane))
            started += 1
        for lane, begun in flying.values():
            lane.wait()
            moments.append(self._finish(lane, begun))
        return moments

    def some_times(self) -> List[float]:
        """Run some requests and return how long each was computed, waiting included; seconds."""
        moments = self.run(lambda started, _: started < EVERY)
        return [moment.done - moment.copied for moment in moments]

    def _fill_once(self) -> None:
        """Give every lane inputs that it keeps."""
        for lane in self._lanes.lanes:
            group, arrays = self._feed.next()
            lane.copy_in(arrays)
            self._kept[id(lane)] = group

    def _start(self, lane: Lane) -> "tuple[int, float, float, float]":
        begin = time.perf_counter()
        if self._copy:
            group, arrays = self._feed.next()
            lane.copy_in(arrays)
        else:
            group = self._kept[id(lane)]
        copied = time.perf_counter()
        lane.start()
        return group, begin, copied, time.perf_counter()

    def _finish(self, lane: Lane, started: "tuple[int, float, float, float]") -> Moments:
        fetched = time.perf_counter()
        if self._copy:
            self.outputs = lane.copy_out()
        device = -1.0 if lane.device_seconds is None else lane.device_seconds
        end = time.perf_counter()
        group, begin, copied, launched = started
        return Moments(group, begin, copied, launched, lane.done_at, fetched, end, device)


class WarmUp:
    """Says how long to warm up: at least so long, and until the requests' times are steady.

    Attributes:
        seconds: how long it lasted.
        steady: whether the times got steady; if not, it ended all the same after a while.
    """

    def __init__(self, least_seconds: float) -> None:
        self._least = least_seconds
        self._most = min(_LONGEST * least_seconds, least_seconds + _LONGEST_SECONDS)
        self.seconds = 0.0
        self.steady = False

    def run(self, some_times: Callable[[], Sequence[float]]) -> None:
        """Warm up; without a least time there is none.

        Args:
            some_times: runs about :data:`EVERY` requests and returns their times.

        Raises:
            EngineError: the engine failed.
        """
        if self._least <= 0:
            return
        start = time.perf_counter()
        times: List[float] = []
        while not (self.steady and self.seconds >= self._least) and self.seconds < self._most:
            times.extend(some_times())
            self.seconds = time.perf_counter() - start
            if self.seconds >= self._least and len(times) >= LEAST_BATCHES:
                self.steady = steady_from(times) is not None


def as_arrays(moments: Sequence[Moments]) -> Dict[str, np.ndarray]:
    """Return moments as columns: float64 [requests] each, ``group`` int32."""
    columns = np.array(moments, np.float64).reshape(len(moments), len(Moments._fields))
    named = {name: columns[:, place] for place, name in enumerate(Moments._fields)}
    named["group"] = named["group"].astype(np.int32)
    return named
