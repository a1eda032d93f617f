"""How many queries bear out a percentile of latency: the rules of MLPerf Inference.

MLPerf fixes beforehand how many queries a percentile wants (the table of the rules' section on
statistical confidence, :func:`table_queries`), and lets a run stop before that where what was seen
suffices (``loadgen/early_stopping.cc`` and ``loadgen/results.cc`` of mlcommons/inference): an
exact binomial test. Were the percentile over the bound, each query would be late with a
probability of at least ``1 - percentile``; so few late ones as were seen would then have a
probability below 1 %.

Percentiles are fractions: 0.99 is p99. Queries are taken as independent, as MLPerf takes them.
"""

from __future__ import annotations

import math
from fractions import Fraction

from scipy.special import betainc, ndtri

#: LoadGen's ``confidence``; its ``tolerance`` is 0.
CONFIDENCE = 0.99

#: The table's numbers are rounded up to multiples of 2^13.
_TABLE_STEP = 2**13


def few_enough(queries: int, late: int, percentile: float) -> bool:
    """Return whether ``late`` of ``queries`` show that the percentile is within the bound.

    With ``in_time = queries - late`` the binomial tail is a regularised incomplete beta
    function: P(at most ``late`` late ones) = I_percentile(in_time, late + 1); it must lie below
    1 - 0.99.
    """
    in_time = queries - late
    if in_time <= 0:
        return False
    return bool(betainc(in_time, late + 1, percentile) < 1 - CONFIDENCE)


def needed_queries(late: int, percentile: float) -> int:
    """Return the smallest number of queries of which ``late`` may be late.

    LoadGen calls it h + t. With ``late`` 1 it is the least that a run needs for an estimate of
    the percentile (64 at p90, 662 at p99), with 0 the least with which a bound can be held.

    Raises:
        ValueError: ``late`` is negative or ``percentile`` is not between 0 and 1.
    """
    if late < 0 or not 0 < percentile < 1:
        raise ValueError(f"{late} late queries at the percentile {percentile}")
    high = late + 1
    while not few_enough(high, late, percentile):
        high *= 2
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if few_enough(middle, late, percentile) else (middle, high)
    return high


def late_allowed(queries: int, percentile: float) -> int | None:
    """Return how many of ``queries`` may be late; None where even none is too many.

    Raises:
        ValueError: ``queries`` is negative or ``percentile`` is not between 0 and 1.
    """
    if queries < 0 or not 0 < percentile < 1:
        raise ValueError(f"{queries} queries at the percentile {percentile}")
    if not few_enough(queries, 0, percentile):
        return None
    low, high = 0, queries
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if few_enough(queries, middle, percentile) else (low, middle)
    return low


def table_queries(percentile: float) -> int:
    """Return how many queries MLPerf's table asks for at a percentile.

    z^2 p (1 - p) / margin^2 with z of a two-sided confidence of 99 % and a margin of error of a
    twentieth of 1 - p, rounded up to a multiple of 2^13: 24,576 at p90, 57,344 at p95, 90,112 at
    p97, 270,336 at p99.
    """
    tail = 1 - Fraction(str(percentile))
    z = -float(ndtri((1 - CONFIDENCE) / 2))
    # p (1 - p) / ((1 - p) / 20)^2 = 400 p / (1 - p), exactly.
    wanted = z * z * float(400 * (1 - tail) / tail)
    return math.ceil(wanted / _TABLE_STEP) * _TABLE_STEP
