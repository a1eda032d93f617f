"""Simulated time, and a simulated system to measure in it."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from itertools import count

from mlubench.worker.measure.loadgen import Clock, System


class VirtualClock(Clock):
    """Time that passes only by waiting; what falls due meanwhile is called in its order."""

    def __init__(self) -> None:
        self._now = 1000.0  # no run may rely on an origin of 0
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._number = count()

    def at(self, moment: float, action: Callable[[], None]) -> None:
        """Call ``action`` when it is that time."""
        heapq.heappush(self._events, (moment, next(self._number), action))

    def now(self) -> float:
        return self._now

    def wait_until(self, moment: float) -> None:
        self.wait_for(lambda: False, moment)

    def wait_for(self, condition: Callable[[], bool], until: float) -> bool:
        while not condition():
            if not self._events or self._events[0][0] > until:
                self._now = max(self._now, until)
                return condition()
            moment, _, action = heapq.heappop(self._events)
            self._now = max(self._now, moment)
            action()
        return True

    def changed(self) -> None:
        """Nothing sleeps here."""


class Queue(System):
    """Servers that take a fixed time for each sample, first come, first served: M/D/c."""

    def __init__(self, clock: VirtualClock, seconds: float, servers: int = 1) -> None:
        self._clock, self._seconds = clock, seconds
        self._free = [0.0] * servers
        self.started: list[tuple[int, int]] = []

    def start(self, query: int, samples: int) -> None:
        self.started.append((query, samples))
        begin = max(self._clock.now(), heapq.heappop(self._free))
        end = begin + samples * self._seconds
        heapq.heappush(self._free, end)
        self._clock.at(end, lambda: self.finished(query))
