"""MLPerf's Server scenario: the highest rate of arrivals at which a bound on latency holds."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mlubench.metrics.early_stopping import few_enough, needed_queries


def bound_holds(latencies: NDArray[np.floating], bound: float, percentile: float) -> bool:
    """Return whether a run shows that a percentile of latency is within a bound.

    LoadGen's test of a Server run: :func:`mlubench.metrics.early_stopping.few_enough`.

    Args:
        latencies: [queries], from arrival to end; those of a run that was given up never hold.
        bound: the longest latency that is in time, in the same unit.
        percentile: the fraction of the queries that must be in time.

    Raises:
        ValueError: so few queries could not show it even if all of them were in time.
    """
    needed = needed_queries(0, percentile)
    if len(latencies) < needed:
        raise ValueError(f"{len(latencies)} queries, at least {needed} are needed")
    return few_enough(len(latencies), int(np.count_nonzero(latencies > bound)), percentile)


@dataclass(frozen=True)
class Trial:
    """One run of a search: its rate, in arrivals per second, and whether the bound held."""

    rate: float
    held: bool


@dataclass(frozen=True)
class RateSearch:
    """What a search has found.

    Attributes:
        rate: the highest rate that was tried and held; None where none did.
        broken: the lowest rate over it that was tried and did not hold; None where all held.
        trials: every run, in order.
    """

    rate: float | None
    broken: float | None
    trials: tuple[Trial, ...]


def highest_rate(
    holds: Callable[[float], bool],
    start: float,
    tolerance: float = 0.02,
    most_trials: int = 30,
    least: float = 0.0,
) -> RateSearch:
    """Search for the highest rate at which the bound holds.

    From ``start`` the rate is doubled while the bound holds, or halved while it does not; the
    two rates found are then halved between, geometrically, until they are within the tolerance.
    Given the answers, the trials are always the same.

    Args:
        holds: carries out a run at a rate, in arrivals per second, and says whether it held.
        start: the first rate, for example the Offline throughput.
        tolerance: the search stops where broken / rate - 1 is at most this.
        most_trials: it stops after so many runs, too.
        least: and where the bound did not hold and the next rate would be lower than this: at
            low rates a run lasts long.

    Raises:
        ValueError: ``start`` or ``tolerance`` is not positive, or there is no trial.
    """
    if not start > 0 or not tolerance > 0 or most_trials < 1:
        raise ValueError(f"start {start}, tolerance {tolerance}, {most_trials} trials")
    low: float | None = None
    high: float | None = None
    rate = start
    trials: list[Trial] = []
    while len(trials) < most_trials:
        trials.append(Trial(rate, holds(rate)))
        low, high = (rate, high) if trials[-1].held else (low, rate)
        if high is None:
            rate *= 2
        elif low is None and rate / 2 < least:
            break
        elif low is None:
            rate /= 2
        elif high / low - 1 <= tolerance:
            break
        else:
            rate = math.sqrt(low * high)
    return RateSearch(low, high, tuple(trials))
