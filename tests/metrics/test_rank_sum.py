"""The rank test's interval: against its own test, against listed orderings, by simulation."""

from __future__ import annotations

import itertools
from collections import Counter

import numpy as np
import pytest

from mlubench.metrics import rank_sum
from mlubench.metrics.rank_sum import greater_p, shift_interval, smallest_p


@pytest.mark.parametrize(("few", "many"), [(1, 1), (2, 3), (4, 4), (3, 6)])
def test_orderings_are_those_that_one_can_list(few: int, many: int) -> None:
    listed: Counter[int] = Counter()
    for places in itertools.combinations(range(few + many), few):
        listed[sum(place - rank for rank, place in enumerate(places))] += 1
    assert list(rank_sum._orderings(few, many)) == [listed[u] for u in range(few * many + 1)]
    assert smallest_p(many, few) == pytest.approx(1 / listed.total())


@pytest.mark.parametrize(("m", "n"), [(5, 5), (8, 11), (20, 20), (60, 70)])
def test_the_interval_holds_what_the_test_does_not_reject(m: int, n: int) -> None:
    from scipy.stats import mannwhitneyu

    rng = np.random.default_rng(m * n)
    first, second = rng.lognormal(size=m), rng.lognormal(0.3, size=n)
    estimate, low, high = shift_interval(first, second)
    differences = np.subtract.outer(second, first)
    assert estimate == np.median(differences)
    assert {low, high} <= set(differences.ravel())
    # Just within an end the two-sided test keeps the shift, just without it does not.
    method = "exact" if m * n <= 2500 else "asymptotic"
    for inside, outside in ((low + 1e-9, low - 1e-9), (high - 1e-9, high + 1e-9)):
        kept = mannwhitneyu(second - inside, first, method=method).pvalue
        rejected = mannwhitneyu(second - outside, first, method=method).pvalue
        assert kept > rejected
        assert rejected <= 0.051
        assert kept >= 0.049


def test_the_table_of_critical_values() -> None:
    # Tables of U, two-sided 5 %: 5 and 5: 2; 8 and 8: 13; 10 and 10: 23; 20 and 20: 127.
    for size, critical in ((5, 2), (8, 13), (10, 23), (20, 127)):
        assert rank_sum._interval_rank(size, size, 0.025) == critical + 1


def test_coverage() -> None:
    """3000 seeded pairs of skewed samples; 0.95 less three standard deviations is 0.938."""
    rng = np.random.default_rng(3)
    covered = 0
    for _ in range(3000):
        _, low, high = shift_interval(rng.gamma(2, size=8), rng.gamma(2, size=8) + 0.5)
        covered += low <= 0.5 <= high
    assert 0.938 <= covered / 3000 <= 0.975


def test_too_few_have_no_interval() -> None:
    assert shift_interval(np.arange(3.0), np.arange(3.0)) == (0.0, -np.inf, np.inf)


def test_the_test_is_one_sided_and_knows_ties() -> None:
    low, high = np.arange(6.0), np.arange(6.0) + 10
    assert greater_p(low, high) == pytest.approx(1 / 924)
    assert greater_p(high, low) == 1
    ties = np.ones(6)
    assert greater_p(ties, ties) >= 0.5
    assert greater_p(ties, ties + 1) < 0.002
