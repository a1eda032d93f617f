"""Percentiles of latency: ranks against exact sums, coverage by simulation."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlubench.metrics.latency import (
    PERCENTILES,
    interval_ranks,
    nearest_rank,
    summarise,
)
from tests.support.long import long


def _binomial_cdf(count: int, n: int, p: Fraction) -> Fraction:
    """Return P(at most ``count`` of ``n``), summed exactly."""
    return sum(
        (Fraction(math.comb(n, k)) * p**k * (1 - p) ** (n - k) for k in range(count + 1)),
        Fraction(0),
    )


@pytest.mark.parametrize("percentile", ["0.5", "0.9", "0.95", "0.99"])
@pytest.mark.parametrize("samples", [1, 5, 6, 7, 29, 60, 150])
def test_ranks_are_the_tightest_of_the_exact_binomial(samples: int, percentile: str) -> None:
    p, tail = Fraction(percentile), Fraction(25, 1000)
    low, high = interval_ranks(samples, float(percentile))
    lows = [r for r in range(1, samples + 1) if _binomial_cdf(r - 1, samples, p) <= tail]
    highs = [r for r in range(1, samples + 1) if 1 - _binomial_cdf(r - 1, samples, p) <= tail]
    assert low == (lows[-1] if lows else None)
    assert high == (highs[0] if highs else None)


def test_median_of_a_published_table() -> None:
    # Conover's and everybody's table of the sign test: 6 to 15 of 20 enclose the median.
    assert interval_ranks(20, 0.5) == (6, 15)


@pytest.mark.parametrize("percentile", PERCENTILES)
@pytest.mark.parametrize("samples", [100, 3000])
def test_intervals_cover_the_true_percentile(samples: int, percentile: float) -> None:
    """A skewed distribution with ties, as clocks give; 2000 seeded runs."""
    rng = np.random.default_rng(7)
    runs = np.sort(np.round(rng.lognormal(0.0, 0.8, (2000, samples)), 2), axis=1)
    truth = round(math.exp(0.8 * _normal_quantile(percentile)), 2)
    low, high = interval_ranks(samples, percentile)
    over_low = np.ones(2000, bool) if low is None else runs[:, low - 1] <= truth
    under_high = np.ones(2000, bool) if high is None else runs[:, high - 1] >= truth
    covered = np.mean(over_low & under_high)
    assert covered >= 0.94  # 0.95 less two standard deviations of 2000 runs


def _normal_quantile(p: float) -> float:
    from statistics import NormalDist

    return NormalDist().inv_cdf(p)


@pytest.mark.parametrize(
    ("percentile", "samples", "count"),
    [
        (0.9, 64, 4000),  # of few samples it flatters more seldom
        (0.9, 2048, 1000),
        (0.99, 1000, 1000),
        pytest.param(0.9, 2048, 4000, marks=long),
        pytest.param(0.99, 1000, 4000, marks=long),
    ],
)
def test_early_stopping_seldom_flatters(percentile: float, samples: int, count: int) -> None:
    """Its estimate lies under the true percentile in less than 1 % of the runs."""
    rng = np.random.default_rng(11)
    truth = -math.log(1 - percentile)
    runs = rng.exponential(1.0, (count, samples))
    flattered = sum(
        (estimate := summarise(run, [percentile]).percentiles[0].estimate) is not None
        and estimate < truth
        for run in runs
    )
    expected = count / 100  # at most
    assert 0 < flattered <= expected + 3 * math.sqrt(expected)


@given(st.integers(1, 5000), st.sampled_from(PERCENTILES))
def test_nearest_rank_is_that_of_exact_arithmetic(samples: int, percentile: float) -> None:
    exact = Fraction(str(percentile))
    assert nearest_rank(samples, percentile) == max(math.ceil(samples * exact), 1)


@given(st.lists(st.floats(0.001, 1e6), min_size=1, max_size=60))
def test_a_summary_is_of_the_samples(values: list[float]) -> None:
    summary = summarise(np.array(values))
    assert (summary.samples, summary.least, summary.greatest) == (
        len(values),
        min(values),
        max(values),
    )
    for item in summary.percentiles:
        assert item.value == np.quantile(values, item.percentile, method="inverted_cdf")
        assert item.low is None or item.low <= item.value
        assert item.high is None or item.high >= item.value


def test_shortage_is_said() -> None:
    *_, p99, p999 = summarise(np.arange(1.0, 701.0)).percentiles
    assert (p99.name, p99.enough, p99.shortage, p99.estimate) == ("p99", True, "", 700.0)
    assert p999.name == "p99.9"
    assert not p999.enough
    assert p999.estimate is None
    assert p999.high is None
    assert p999.shortage == f"not enough samples (700 of {p999.needed})"


@pytest.mark.parametrize(
    "latencies", [np.array([]), np.array([1.0, np.nan]), np.ones((2, 2))], ids=str
)
def test_what_is_no_series_of_latencies(latencies: np.ndarray) -> None:
    with pytest.raises(ValueError, match="finite latencies"):
        summarise(latencies)
