"""Whether one configuration or run is slower than another, as far as its rounds can tell."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri

from mlubench.metrics.rank_sum import greater_p, shift_interval, smallest_p
from mlubench.metrics.verdict import Verdict

#: The one-sided level at which a slowdown is shown. asv takes 0.002 two-sided for its
#: Mann-Whitney test (``is_different`` in ``asv/_stats.py``): among many comparisons of a build
#: with itself hardly one is an alarm.
LEVEL = 0.001

#: Half the two-sided 95 % interval, in standard errors.
_Z_INTERVAL = -float(ndtri(0.025))


@dataclass(frozen=True)
class SpeedChange:
    """A candidate's speed against a reference's.

    Attributes:
        ratio: the candidate's throughput over the reference's (over 1: faster), Hodges and
            Lehmann's estimate on logarithms: the median of the ratios of all pairs of rounds.
        low: lower end of its distribution-free 95 % interval; 0 where the rounds are too few.
        high: upper end of it; infinite where the rounds are too few.
        p_slower: one-sided p of Mann-Whitney's test that the candidate is slower.
        rounds: how many rounds of the reference and of the candidate.
        min_effect: the least loss of throughput that fails, as a fraction.
        detectable: the smallest loss of throughput, as a fraction, that would have failed with a
            probability of 80 %; 1 where these rounds could not have shown any.
        verdict: PASS, FAIL or INCONCLUSIVE.
    """

    ratio: float
    low: float
    high: float
    p_slower: float
    rounds: tuple[int, int]
    min_effect: float
    detectable: float
    verdict: Verdict

    @property
    def reason(self) -> str:
        """The verdict's reason, one line with the numbers."""
        interval = f"95 % interval {self.low:.3f} to {self.high:.3f}"
        if math.isinf(self.high):
            interval = "no 95 % interval"
        detectable = f"{100 * self.detectable:.1f} %" if self.detectable < 1 else "none"
        return (
            f"throughput ratio {self.ratio:.3f}, {interval}, limit "
            f"{1 - self.min_effect:.3f}, p {self.p_slower:.2g} that it is slower; the smallest "
            f"loss that {self.rounds[0]} and {self.rounds[1]} rounds could have shown is "
            f"{detectable}"
        )


def compare_speed(
    reference: Sequence[float], candidate: Sequence[float], min_effect: float = 0.03
) -> SpeedChange:
    """Judge a candidate's throughput by its rounds and the reference's.

    The rounds of the two should be interleaved (:func:`mlubench.speed.measure.rounds.interleave`);
    each gives one figure, so that what is alike within a round counts once. It fails where the
    rounds show that the candidate is slower and the loss is at least the minimum effect; it
    passes where the interval excludes a loss of that size; else the rounds cannot tell. An
    improvement never fails.

    Args:
        reference: throughput of each of its rounds, in any unit.
        candidate: likewise, in the same unit. Of times give the inverse.
        min_effect: the least loss that fails, as a fraction, at least 0 and below 1.

    Raises:
        ValueError: there is no round, a throughput is not positive and finite, or
            ``min_effect`` is out of range.
    """
    before, after = _logarithms(reference), _logarithms(candidate)
    if not 0 <= min_effect < 1:
        raise ValueError(f"min_effect is {min_effect}, expected 0 or more and below 1")
    shift, low, high = shift_interval(before, after)
    p_slower = greater_p(after, before)
    return SpeedChange(
        ratio=math.exp(shift),
        low=math.exp(low),
        high=math.exp(high),
        p_slower=p_slower,
        rounds=(len(before), len(after)),
        min_effect=min_effect,
        detectable=_detectable((len(before), len(after)), (low, high), min_effect),
        verdict=_verdict(shift, low, p_slower, math.log1p(-min_effect)),
    )


def _logarithms(rounds: Sequence[float]) -> np.ndarray:
    figures = np.asarray(rounds, np.float64)
    if figures.ndim != 1 or not len(figures):
        raise ValueError(f"throughputs of at least one round are expected, got {figures.shape}")
    if not np.isfinite(figures).all() or (figures <= 0).any():
        raise ValueError("a round's throughput is not positive and finite")
    return np.log(figures)


def _verdict(shift: float, low: float, p_slower: float, limit: float) -> Verdict:
    """Judge an estimate against the limit, all as logarithms of the ratio."""
    if p_slower <= LEVEL and shift <= limit and shift < 0:
        return Verdict.FAIL
    return Verdict.PASS if low > limit else Verdict.INCONCLUSIVE


def _detectable(
    rounds: tuple[int, int], interval: tuple[float, float], min_effect: float, power: float = 0.8
) -> float:
    """Return the loss that fails with the given power.

    Both the test and the minimum effect must be exceeded. The standard error of the estimate is
    that of its interval; a loss is seen by the test where it exceeds (z_level + z_power) of them,
    and estimated at the minimum effect or more where it exceeds that by z_power of them.
    """
    low, high = interval
    if smallest_p(*rounds) > LEVEL or math.isinf(high):
        return 1.0
    error = (high - low) / (2 * _Z_INTERVAL)
    z_power = float(ndtri(power))
    by_test = (z_power - float(ndtri(LEVEL))) * error
    by_effect = z_power * error - math.log1p(-min_effect)
    return -math.expm1(-max(by_test, by_effect))
