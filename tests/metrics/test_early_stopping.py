"""MLPerf's rules for the number of queries, against LoadGen's published figures and scipy."""

from __future__ import annotations

import pytest

from mlubench.metrics.early_stopping import (
    few_enough,
    late_allowed,
    needed_queries,
    table_queries,
)


@pytest.mark.parametrize(
    ("percentile", "expected"),
    # MLPerf Inference rules, the table of queries for statistical confidence.
    [(0.9, 24_576), (0.95, 57_344), (0.97, 90_112), (0.99, 270_336)],
)
def test_table(percentile: float, expected: int) -> None:
    assert table_queries(percentile) == expected


@pytest.mark.parametrize(
    ("late", "percentile", "expected"),
    # What LoadGen 6.0.17 prints. SingleStream: "Need to process at least 64 queries for early
    # stopping"; Server, 100 queries at p99: "Would need to run at least 359 more queries".
    [(1, 0.5, 11), (1, 0.9, 64), (1, 0.95, 130), (1, 0.99, 662), (0, 0.99, 459), (0, 0.9, 44)],
)
def test_loadgens_smallest_numbers(late: int, percentile: float, expected: int) -> None:
    assert needed_queries(late, percentile) == expected


@pytest.mark.parametrize(
    ("queries", "percentile", "discarded"),
    # SingleStream: "Would discard 172 highest latency queries" of 2048 at p90, in LoadGen's
    # published logs (2048 to 2145) and by LoadGen 6.0.17 (the rest).
    [
        (2048, 0.9, 172),
        (2116, 0.9, 178),
        (2145, 0.9, 181),
        (64, 0.9, 0),
        (65, 0.9, 0),
        (500, 0.9, 33),
        (2000, 0.9, 167),
        (24_576, 0.9, 2347),
        (662, 0.99, 0),
        (5000, 0.99, 32),
        (20, 0.5, 3),
        (300, 0.95, 5),
    ],
)
def test_loadgens_discarded_queries(queries: int, percentile: float, discarded: int) -> None:
    assert late_allowed(queries, percentile) == discarded + 1


@pytest.mark.parametrize("percentile", [0.5, 0.9, 0.95, 0.99, 0.999])
@pytest.mark.parametrize("late", [0, 1, 2, 7, 100])
def test_the_smallest_number_is_the_binomial_tests(late: int, percentile: float) -> None:
    from scipy.stats import binom

    needed = needed_queries(late, percentile)
    assert binom.cdf(late, needed, 1 - percentile) < 0.01
    assert binom.cdf(late, needed - 1, 1 - percentile) >= 0.01
    assert late_allowed(needed, percentile) == late
    assert late_allowed(needed - 1, percentile) == (late - 1 if late else None)


def test_none_in_time_is_never_enough() -> None:
    assert not few_enough(3, 3, 0.5)
    assert not few_enough(0, 0, 0.5)


@pytest.mark.parametrize(("late", "percentile"), [(-1, 0.9), (0, 0.0), (0, 1.0)])
def test_senseless_numbers(late: int, percentile: float) -> None:
    with pytest.raises(ValueError, match="late queries at the percentile"):
        needed_queries(late, percentile)
    with pytest.raises(ValueError, match="queries at the percentile"):
        late_allowed(-1 if late < 0 else 10, percentile)
