"""When a figure changed: a history cut into stretches of one level each."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

#: The price of a further stretch, in units of log N; the false steps that are left at this
#: price are counted in the tests.
_PRICE = 6.0
#: Figures that differ by less, relatively, are equal.
_RESOLUTION = 1e-9
#: More stretches than these are not looked for.
_MOST = 24


@dataclass(frozen=True)
class Stretch:
    """Figures of one level that follow each other.

    Attributes:
        first: the place of its first figure.
        end: the place after its last one.
        level: their median.
    """

    first: int
    end: int
    level: float


def stretches(figures: Sequence[float], min_length: int = 3) -> tuple[Stretch, ...]:
    """Cut a history into stretches of one level: a step lies wherever one begins after another.

    Of all ways to cut it into K stretches of ``min_length`` figures or more, the one with the
    least sum of absolute deviations from the stretches' medians is taken (the L1 Potts problem:
    A. Weinmann, M. Storath and L. Demaret, "The L1-Potts functional for robust jump-sparse
    reconstruction", SIAM Journal on Numerical Analysis 53 (2015), 644-673), found exactly by
    dynamic programming (I. E. Auger and C. E. Lawrence, "Algorithms for the optimal
    identification of segment neighborhoods", Bulletin of Mathematical Biology 51 (1989), 39-54);
    K by Schwarz's criterion for figures with Laplace's distribution (for steps: Y.-C. Yao,
    "Estimating the number of change-points via Schwarz' criterion", Statistics and Probability
    Letters 6 (1988), 181-189), 2 N log(deviation / N) + 6 K log N. Medians and absolute
    deviations let single odd figures pass, however far off they are; the noise need not be known.

    Args:
        figures: N, oldest first. The time grows as N^2 log N; a thousand take seconds.
        min_length: figures that a level must last for.

    Returns:
        The stretches, oldest first; they cover all figures. None of no figure.

    Raises:
        ValueError: a figure is not finite or ``min_length`` is below 1.
    """
    values = np.asarray(figures, np.float64)
    if values.ndim != 1 or not np.isfinite(values).all() or min_length < 1:
        raise ValueError("finite figures and a length of 1 or more are expected")
    if not len(values):
        return ()
    most = max(1, min(_MOST, len(values) // min_length))
    cuts = _best_cuts(_deviations(values, min_length), most)
    floor = len(values) * max(_RESOLUTION * float(np.abs(values).max()), np.finfo(float).tiny)
    _, borders = min(
        (_criterion(max(deviation, floor), len(values), len(borders)), borders)
        for deviation, borders in cuts
    )
    firsts = [0, *borders]
    return tuple(
        Stretch(first, end, float(np.median(values[first:end])))
        for first, end in zip(firsts, [*borders, len(values)], strict=True)
    )


def _criterion(deviation: float, count: int, steps: int) -> float:
    return 2 * count * float(np.log(deviation / count)) + _PRICE * steps * float(np.log(count))


def _deviations(values: NDArray[np.float64], min_length: int) -> NDArray[np.float64]:
    """Return [N + 1, N + 1]: the absolute deviation of the figures from i up to before j.

    Infinite where a stretch is too short; all figures together are never too few.
    """
    count = len(values)
    table = np.full((count + 1, count + 1), np.inf)
    for first in range(count):
        table[first, first + 1 :] = _running_deviation(values[first:].tolist())
        table[first, first : first + min_length] = np.inf
    if count < min_length:
        table[0, count] = _running_deviation(values.tolist())[-1]
    return table


def _running_deviation(values: Sequence[float]) -> list[float]:
    """Return, for each beginning of a list, its sum of absolute deviations from its median.

    The lower and the upper half are heaps; the sum is that of the upper less that of the lower.
    """
    lower: list[float] = []  # negated, so that its greatest comes first
    upper: list[float] = []
    below = above = 0.0
    found = []
    for value in values:
        least = heapq.heappushpop(upper, value)
        above += value - least
        heapq.heappush(lower, -least)
        below += least
        if len(lower) > len(upper) + 1:
            greatest = -heapq.heappop(lower)
            heapq.heappush(upper, greatest)
            below, above = below - greatest, above + greatest
        middle = -lower[0] if len(lower) > len(upper) else 0.0
        found.append(max(above - (below - middle), 0.0))
    return found


def _best_cuts(deviations: NDArray[np.float64], most: int) -> list[tuple[float, tuple[int, ...]]]:
    """Return, for 1 to ``most`` stretches, the least deviation and where the others begin."""
    count = len(deviations) - 1
    best = deviations[0].copy()
    found: list[tuple[float, tuple[int, ...]]] = [(float(best[count]), ())]
    before: list[NDArray[np.intp]] = []
    for _ in range(most - 1):
        sums = best[:, np.newaxis] + deviations
        before.append(np.argmin(sums, axis=0))
        best = np.min(sums, axis=0)
        if not np.isfinite(best[count]):
            break
        found.append((float(best[count]), _borders(before, count)))
    return found


def _borders(before: Sequence[NDArray[np.intp]], count: int) -> tuple[int, ...]:
    borders = []
    place = count
    for choice in reversed(before):
        place = int(choice[place])
        borders.append(place)
    return tuple(reversed(borders))
