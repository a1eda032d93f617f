"""MLPerf's scenarios on a loaded network: lanes as the system that answers queries.

Standard library and NumPy only, Python 3.7 syntax.
"""

from __future__ import annotations

import math
import queue
import threading
from typing import Any, Callable, Dict, List, Mapping

from mlubench.engines.measuring import NotifiedLanes
from mlubench.errors import EngineError
from mlubench.worker.measure.loadgen import (
    Bound,
    Limits,
    Load,
    System,
    closed_loop,
    multi_stream,
    offline,
    server,
    single_stream,
)
from mlubench.worker.measure.pump import EVERY, Feed

#: How long the rate of the Offline scenario is estimated, from which its queries are numbered.
_ESTIMATE = Limits(queries=EVERY, seconds=0.5)
#: LoadGen, too, asks for a tenth more than the estimate says that the duration needs.
_MARGIN = 1.1


class LaneSystem(System):
    """Lanes that one thread starts and another one empties.

    A query is divided into requests of a batch each; it has finished with the last of them, its
    outputs copied.

    Args:
        lanes: that take the requests; :meth:`start` waits where all of them are busy.
        feed: the inputs.
        copy: whether inputs are copied in and outputs out for each request; if not, they are
            copied in once.
        batch: samples of a request.
        bind: makes the device the emptying thread's own.
        alive: called for each request that is done, by the emptying thread; cheap.
    """

    def __init__(
        self,
        lanes: NotifiedLanes,
        feed: Feed,
        copy: bool,
        batch: int,
        bind: Callable[[], None],
        alive: Callable[[], None] = lambda: None,
    ) -> None:
        self.batch = batch
        self._lanes, self._feed, self._copy, self._bind = lanes, feed, copy, bind
        self._alive = alive
        self._idle: queue.SimpleQueue[Any] = queue.SimpleQueue()
        #: One True for each request started, so that nobody waits for one that is not; then False.
        self._started: queue.SimpleQueue[bool] = queue.SimpleQueue()
        self._query_of: Dict[int, int] = {}
        self._left: Dict[int, int] = {}
        for lane in lanes.lanes:
            if not copy:
                lane.copy_in(feed.next()[1])
            self._idle.put(lane)
        self._thread = threading.Thread(target=self._empty, daemon=True)
        self._thread.start()

    @property
    def depth(self) -> int:
        """How many requests may be in flight."""
        return len(self._lanes.lanes)

    def start(self, query: int, samples: int) -> None:
        """Put the requests of a query into lanes."""
        requests = -(-samples // self.batch)
        self._left[query] = requests
        for _ in range(requests):
            lane = self._idle.get()
            if lane is None:  # the other thread has failed, and has said so
                self._idle.put(None)
                return
            if self._copy:
                lane.copy_in(self._feed.next()[1])
            self._query_of[id(lane)] = query
            lane.start()
            self._started.put(True)

    def close(self) -> None:
        """End the thread; what is in flight is waited for."""
        self._started.put(False)
        self._thread.join()

    def _empty(self) -> None:
        try:
            self._bind()
            while self._started.get():
                lane = self._lanes.next_done()
                if self._copy:
                    lane.copy_out()
                self._done(lane)
        except BaseException as error:  # the thread that starts raises it again
            self.failed(error)
            self._idle.put(None)

    def _done(self, lane: Any) -> None:
        self._alive()
        query = self._query_of.pop(id(lane))
        self._idle.put(lane)
        self._left[query] -= 1
        if not self._left[query]:
            del self._left[query]
            self.finished(query)


def some_latencies(system: System, samples: int, in_flight: int) -> List[float]:
    """Run some queries to warm up and return their latencies in seconds."""
    load = closed_loop(system, samples, in_flight, Limits(EVERY))
    return [float(latency) for latency in load.latencies]


def run_scenario(system: LaneSystem, asked: Mapping[str, Any]) -> Load:
    """Carry out one run of a scenario.

    Args:
        system: what answers.
        asked: ``scenario`` by MLPerf's name; ``samples`` of a query; ``queries`` and ``seconds``,
            at least; of Server ``rate`` (arrivals per second), ``seed``, ``bound`` (seconds) and
            ``late_allowed``, beyond which the run is given up.

    Raises:
        EngineError: the engine failed, or there is no such scenario.
    """
    limits = Limits(int(asked["queries"]), float(asked["seconds"]))
    samples = int(asked["samples"])
    if asked["scenario"] == "SingleStream":
        return single_stream(system, limits)
    if asked["scenario"] == "MultiStream":
        return multi_stream(system, samples, limits)
    if asked["scenario"] == "Server":
        bound = Bound(float(asked["bound"]), int(asked["late_allowed"]))
        return server(system, float(asked["rate"]), limits, int(asked["seed"]), bound)
    if asked["scenario"] == "Offline":
        return _offline(system, samples, limits)
    raise EngineError(f"there is no scenario {asked['scenario']}", where="worker")


def _offline(system: LaneSystem, samples: int, limits: Limits) -> Load:
    """Issue as many queries as last for the time; a first run says how many those are."""
    rate = closed_loop(system, samples, system.depth, _ESTIMATE).throughput / samples
    queries = max(limits.queries, math.ceil(_MARGIN * rate * limits.seconds))
    return offline(system, samples, queries)
