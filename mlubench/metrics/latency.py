"""Percentiles of latency, each with its interval and with whether the samples bear it out."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mlubench.metrics.early_stopping import late_allowed, needed_queries, table_queries

#: p50, p90, p95, p99, p99.9.
PERCENTILES = (0.5, 0.9, 0.95, 0.99, 0.999)


@dataclass(frozen=True)
class Percentile:
    """One percentile of a run's latencies, in the unit of the latencies.

    Attributes:
        percentile: as a fraction.
        value: the smallest latency that this fraction of the samples did not exceed.
        low: lower end of its distribution-free 95 % interval, itself one of the latencies; None
            where the samples are too few to have one.
        high: upper end of it, likewise.
        samples: how many latencies there are.
        needed: how many MLPerf's early stopping wants at least for an estimate.
        estimate: MLPerf's early-stopping estimate, which the true percentile exceeds with a
            probability below 1 %; None with fewer than ``needed`` samples.
        table: how many queries MLPerf's table asks for.
    """

    percentile: float
    value: float
    low: float | None
    high: float | None
    samples: int
    needed: int
    estimate: float | None
    table: int

    @property
    def name(self) -> str:
        """``p50``, ``p99.9``."""
        return f"p{round(100 * self.percentile, 6):g}"

    @property
    def enough(self) -> bool:
        """Whether MLPerf's early stopping would estimate this percentile."""
        return self.samples >= self.needed

    @property
    def shortage(self) -> str:
        """What to say where the samples are too few, or nothing."""
        return "" if self.enough else f"not enough samples ({self.samples} of {self.needed})"


@dataclass(frozen=True)
class Latencies:
    """What a run's latencies come to, in their unit.

    Attributes:
        samples: how many there are.
        least: the shortest.
        greatest: the longest.
        mean: their arithmetic mean.
        percentiles: one of each that was asked for, in that order.
    """

    samples: int
    least: float
    greatest: float
    mean: float
    percentiles: tuple[Percentile, ...]


def summarise(
    latencies: NDArray[np.floating], percentiles: Sequence[float] = PERCENTILES
) -> Latencies:
    """Summarise a run's latencies.

    Args:
        latencies: [N], N at least 1, in any order and any unit of time.
        percentiles: which to give, as fractions between 0 and 1.

    Raises:
        ValueError: there is no latency, one is not a finite number, or the array is not flat.
    """
    if latencies.ndim != 1 or len(latencies) == 0 or not np.isfinite(latencies).all():
        raise ValueError(f"finite latencies [N] are expected, got {latencies.shape}")
    ordered = np.sort(latencies.astype(np.float64))
    return Latencies(
        samples=len(ordered),
        least=float(ordered[0]),
        greatest=float(ordered[-1]),
        mean=float(ordered.mean()),
        percentiles=tuple(_percentile(ordered, percentile) for percentile in percentiles),
    )


def _percentile(ordered: NDArray[np.float64], percentile: float) -> Percentile:
    samples = len(ordered)
    low, high = interval_ranks(samples, percentile)
    return Percentile(
        percentile=percentile,
        value=float(ordered[nearest_rank(samples, percentile) - 1]),
        low=None if low is None else float(ordered[low - 1]),
        high=None if high is None else float(ordered[high - 1]),
        samples=samples,
        needed=needed_queries(1, percentile),
        estimate=early_stopping_estimate(ordered, percentile),
        table=table_queries(percentile),
    )


def nearest_rank(samples: int, percentile: float) -> int:
    """Return the least rank, from 1, that is at least this fraction of the samples.

    The inverse of the empirical distribution; of 1000 samples p99.9 is the 999th.
    """
    rank = max(math.ceil(samples * percentile), 1)
    # The product of 0.07 and 100 is 7.000000000000001; the quotient 7 / 100 is 0.07 itself.
    return rank - 1 if rank > 1 and (rank - 1) / samples >= percentile else rank


def interval_ranks(
    samples: int, percentile: float, level: float = 0.95
) -> tuple[int | None, int | None]:
    """Return the ranks, from 1, of the order statistics that enclose a percentile.

    W. J. Conover, "Practical Nonparametric Statistics", 3rd ed. (1999), section 3.2; H. A. David
    and H. N. Nagaraja, "Order Statistics", 3rd ed. (2003), section 7.1. How many of the samples
    lie under the percentile has a binomial distribution whatever the distribution of latencies
    is. Each end is the tightest rank that the percentile lies beyond with a probability of at
    most (1 - level) / 2, so the interval covers it with at least ``level``. None is an end that
    so few samples cannot give.
    """
    from scipy.stats import binom  # half a second and 50 MB, for latencies alone

    tail = (1 - level) / 2
    # low: P(count < low) <= tail; high: P(count >= high) <= tail.
    below = int(binom.ppf(tail, samples, percentile))
    if binom.cdf(below, samples, percentile) <= tail:
        below += 1
    above = int(binom.isf(tail, samples, percentile)) + 1
    return (below if below >= 1 else None), (above if above <= samples else None)


def early_stopping_estimate(ordered: NDArray[np.float64], percentile: float) -> float | None:
    """Return MLPerf's early-stopping estimate of a percentile; None with too few samples.

    ``PerformanceSummary::EarlyStopping`` of ``loadgen/results.cc``: with t late queries allowed,
    at least 1, it is the t-th longest latency; the t - 1 longer ones are discarded.

    Args:
        ordered: [N], ascending.
        percentile: as a fraction.
    """
    allowed = late_allowed(len(ordered), percentile)
    if not allowed:
        return None
    return float(ordered[len(ordered) - allowed])
