"""MLPerf's scenarios: who issues queries when, and when each was finished.

The scenarios are those of the MLPerf Inference rules and LoadGen (mlcommons/inference):

- SingleStream: one sample a query, the next as soon as the last has finished.
- MultiStream: likewise, several samples a query.
- Server: one sample a query, arriving at random (a Poisson process) whether or not the earlier
  ones have finished; a latency counts from the arrival.
- Offline: all is there at the start.

The first two are :func:`closed_loop`, which may also keep several queries in flight as mm_run
does. What answers is a :class:`System`; what time it is says a :class:`Clock`, so that a simulated
system can be measured in simulated time.

Standard library and NumPy only, Python 3.7 syntax.
"""

from __future__ import annotations

import dataclasses
import threading
import time
from abc import ABC, abstractmethod
from typing import Callable, List, Optional, Sequence

import numpy as np

from mlubench.errors import EngineError


class System(ABC):
    """What is measured.

    Attributes:
        finished: to be called once for each query when its last sample is done, on any thread;
            the generator sets it before the first query.
        failed: to be called instead where the system fails; likewise.
    """

    finished: Callable[[int], None]
    failed: Callable[[BaseException], None]

    @abstractmethod
    def start(self, query: int, samples: int) -> None:
        """Begin a query of so many samples and return; queries are numbered from 0.

        It may wait where the system's own queues are full: the query then counts as issued when
        this returns, and its latency from when it was scheduled.
        """


class Clock(ABC):
    """The time, and how to wait for it or for a change."""

    @abstractmethod
    def now(self) -> float:
        """Return the time in seconds, from any origin."""

    @abstractmethod
    def wait_until(self, moment: float) -> None:
        """Return at that time, at once where it is past."""

    @abstractmethod
    def wait_for(self, condition: Callable[[], bool], until: float) -> bool:
        """Return True as soon as the condition holds, False where it does not by ``until``."""

    @abstractmethod
    def changed(self) -> None:
        """Say that a condition may hold now; from any thread."""


class RealClock(Clock):
    """``time.perf_counter``."""

    #: The last part of a wait is spent looking at the clock: a sleep ends late by up to this.
    _SPIN_SECONDS = 0.0002

    def __init__(self) -> None:
        self._change = threading.Condition()

    def now(self) -> float:
        """Return ``time.perf_counter()``."""
        return time.perf_counter()

    def wait_until(self, moment: float) -> None:
        """Sleep, and look at the clock for the last fifth of a millisecond."""
        remaining = moment - self.now() - self._SPIN_SECONDS
        if remaining > 0:
            time.sleep(remaining)
        while self.now() < moment:
            time.sleep(0)  # lets the system's threads go first

    def wait_for(self, condition: Callable[[], bool], until: float) -> bool:
        """Sleep until :meth:`changed` is called and the condition holds."""
        with self._change:
            return self._change.wait_for(condition, max(until - self.now(), 0))

    def changed(self) -> None:
        """Wake :meth:`wait_for`."""
        with self._change:
            self._change.notify_all()


@dataclasses.dataclass(frozen=True)
class Limits:
    """When a run ends: as with mm_run, not before both are met.

    Attributes:
        queries: at least so many are issued, 1 or more.
        seconds: queries are issued for at least so long.
        patience: so many seconds without a query finishing are a failure of the system.
    """

    queries: int
    seconds: float = 0.0
    patience: float = 300.0


@dataclasses.dataclass(frozen=True, eq=False)
class Load:
    """The queries of a run, in the order of their numbers; seconds since its start.

    Attributes:
        scheduled: float64 [queries], when each was due.
        issued: float64 [queries], when the system had taken it.
        finished: float64 [queries].
        samples: of each query.
        gave_up: whether the run was ended because its bound could not be held any more.
    """

    scheduled: np.ndarray
    issued: np.ndarray
    finished: np.ndarray
    samples: int
    gave_up: bool = False

    @property
    def latencies(self) -> np.ndarray:
        """From when a query was due to when it was finished: float64 [queries], seconds."""
        return np.asarray(self.finished - self.scheduled)

    @property
    def throughput(self) -> float:
        """Samples per second, from the first query's being due to the last one's finishing."""
        seconds = float(self.finished.max() - self.scheduled.min())
        return self.samples * len(self.finished) / seconds


def single_stream(system: System, limits: Limits, clock: Optional[Clock] = None) -> Load:
    """Issue queries of one sample, each when the one before has finished."""
    return closed_loop(system, 1, 1, limits, clock)


def multi_stream(
    system: System, samples: int, limits: Limits, clock: Optional[Clock] = None
) -> Load:
    """Issue queries of several samples, each when the one before has finished."""
    return closed_loop(system, samples, 1, limits, clock)


def closed_loop(
    system: System, samples: int, in_flight: int, limits: Limits, clock: Optional[Clock] = None
) -> Load:
    """Keep so many queries in flight, each due when there is room for it.

    Raises:
        EngineError: the system failed, or finished no query within the limits' patience.
    """
    run = _Run(system, samples, limits.patience, clock or RealClock())
    while True:
        run.wait(lambda: run.in_flight < in_flight)
        due = run.elapsed()
        if run.issued >= limits.queries and due >= limits.seconds:
            return run.end()
        run.issue(due)


def offline(
    system: System,
    samples: int,
    queries: int = 1,
    patience: float = 300.0,
    clock: Optional[Clock] = None,
) -> Load:
    """Issue everything at once; all of it is due at the start.

    LoadGen makes one query of it all; a system that takes a batch a query is given several, and
    bounds by itself how many it keeps.

    Args:
        system: what is measured.
        samples: of each query.
        queries: how many.
        patience: so many seconds without a query finishing are a failure of the system.
        clock: the real one, if it is not given.

    Raises:
        EngineError: the system failed, or finished no query within the patience.
    """
    run = _Run(system, samples, patience, clock or RealClock())
    for _ in range(queries):
        run.issue(0.0)
    return run.end()


@dataclasses.dataclass(frozen=True)
class Bound:
    """A latency that few queries may exceed.

    Attributes:
        seconds: the latency.
        late_allowed: how many queries may exceed it before a run is given up.
    """

    seconds: float
    late_allowed: int


def server(
    system: System,
    rate: float,
    limits: Limits,
    seed: int,
    bound: Optional[Bound] = None,
    clock: Optional[Clock] = None,
) -> Load:
    """Issue queries of one sample as they arrive, whatever has become of the earlier ones.

    Args:
        system: what is measured.
        rate: arrivals per second.
        limits: how many arrivals, for how long.
        seed: of the arrivals: the same seed gives the same ones, at any rate in proportion.
        bound: a run with more late queries than it allows is given up: no more are issued, those
            in flight are waited for.
        clock: the real one, if it is not given.

    Raises:
        EngineError: the system failed, or finished no query within the limits' patience.
    """
    return arrivals(system, poisson_arrivals(rate, limits, seed), limits.patience, bound, clock)


def arrivals(
    system: System,
    due: Sequence[float],
    patience: float = 300.0,
    bound: Optional[Bound] = None,
    clock: Optional[Clock] = None,
) -> Load:
    """Issue a query of one sample at each of these moments, as :func:`server` does.

    Args:
        system: what is measured.
        due: seconds since the start, ascending.
        patience: so many seconds without a query finishing are a failure of the system.
        bound: as for :func:`server`.
        clock: the real one, if it is not given.

    Raises:
        EngineError: the system failed, or finished no query within the patience.
    """
    run = _Run(system, 1, patience, clock or RealClock(), bound)
    for moment in due:
        run.wait_until(moment)
        if run.hopeless:
            break
        run.issue(moment)
    return run.end()


def poisson_arrivals(rate: float, limits: Limits, seed: int) -> List[float]:
    """Return arrival times of a Poisson process, seconds from 0, until both limits are met.

    The stream of ``RandomState`` is frozen: every version of NumPy gives the same arrivals.

    Raises:
        ValueError: the rate is not positive.
    """
    if not rate > 0:
        raise ValueError(f"the rate is {rate}, expected more than 0")
    random = np.random.RandomState(seed)
    due: List[float] = []
    moment = 0.0
    while len(due) < limits.queries or moment < limits.seconds:
        moment += float(random.standard_exponential()) / rate
        due.append(moment)
    return due


class _Run:
    """The queries of one run as they come and go."""

    def __init__(
        self,
        system: System,
        samples: int,
        patience: float,
        clock: Clock,
        bound: Optional[Bound] = None,
    ) -> None:
        self._system, self._samples, self._patience = system, samples, patience
        self._clock, self._bound = clock, bound
        self._lock = threading.Lock()
        self._scheduled: List[float] = []
        self._issued: List[float] = []
        self._finished: List[float] = []
        self._done = 0
        self._late = 0
        self._failure: Optional[BaseException] = None
        system.finished, system.failed = self._take, self._fail
        self._start = clock.now()

    @property
    def issued(self) -> int:
        return len(self._scheduled)

    @property
    def in_flight(self) -> int:
        return len(self._scheduled) - self._done

    @property
    def hopeless(self) -> bool:
        return self._bound is not None and self._late > self._bound.late_allowed

    def elapsed(self) -> float:
        return self._clock.now() - self._start

    def issue(self, scheduled: float) -> None:
        self._check()
        query = len(self._scheduled)
        with self._lock:
            self._scheduled.append(scheduled)
            self._finished.append(np.nan)
        self._system.start(query, self._samples)
        self._issued.append(self.elapsed())

    def wait_until(self, moment: float) -> None:
        self._clock.wait_until(self._start + moment)

    def wait(self, condition: Callable[[], bool]) -> None:
        """Wait for a condition that comes true by queries' finishing."""
        while not condition():
            self._check()
            if not self._clock.wait_for(self._news(), self._clock.now() + self._patience):
                raise EngineError(
                    f"no query has finished for {self._patience:g} s, "
                    f"{self.in_flight} are waited for",
                    where=f"query {int(np.flatnonzero(np.isnan(self._finished))[0])}",
                    fix="give fewer samples to a query, or more time",
                )

    def _news(self) -> Callable[[], bool]:
        done = self._done
        return lambda: self._done > done or self._failure is not None

    def end(self) -> Load:
        """Wait for what is in flight and return all."""
        self.wait(lambda: self.in_flight == 0)
        self._check()
        return Load(
            np.array(self._scheduled, np.float64),
            np.array(self._issued, np.float64),
            np.array(self._finished, np.float64),
            self._samples,
            self.hopeless,
        )

    def _take(self, query: int) -> None:
        """Note that a query has finished; on any thread."""
        moment = self.elapsed()
        with self._lock:
            if not 0 <= query < len(self._finished) or not np.isnan(self._finished[query]):
                self._failure = EngineError(
                    "the system says that it has finished a query that it has not been given",
                    where=f"query {query}",
                )
            else:
                self._finished[query] = moment
                self._done += 1
                if self._bound and moment - self._scheduled[query] > self._bound.seconds:
                    self._late += 1
        self._clock.changed()

    def _fail(self, error: BaseException) -> None:
        with self._lock:
            self._failure = self._failure or error
        self._clock.changed()

    def _check(self) -> None:
        if self._failure is not None:
            raise self._failure
