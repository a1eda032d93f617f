"""When warm-up ends: a test of the batch times so far.

Three questions, each by a known method, none of which a few outliers can turn:

1. Where does the series settle? MSER, the marginal standard error rule (K. P. White, "An effective
   truncation heuristic for bias reduction in simulation output", Simulation 69 (1997), 323-334):
   drop the first d batches for which the squared standard error of the mean of the rest,
   sum (x - mean)^2 / (n - d)^2, is smallest. Values far from the second half's median are first
   brought to the edge of what is usual there, since one late outlier would else pull d behind it.
2. Has it settled at all? K. Hoad, S. Robinson and R. Davies, "Automating warm-up length
   estimation", Journal of the Operational Research Society 61 (2010), 1389-1403: a d at the end
   of the first half of the series is none, more data are needed.
3. Is what remains without a trend? H. B. Mann, "Nonparametric tests against trend", Econometrica
   13 (1945), 245-259, of the rest; a trend counts where it also moves the times by more than 1 %
   (the difference of the medians of the rest's two halves).

Standard library and NumPy only, Python 3.7 syntax.
"""

from __future__ import annotations

import math
from typing import Optional, Sequence, Union

import numpy as np

#: Fewer batches tell nothing.
LEAST_BATCHES = 12
#: Longer series are looked at as this many blocks, each by its median: the cost stays bounded.
_MOST_BLOCKS = 200
#: A trend or spread that moves the times by less than this fraction is none.
_MATERIAL = 0.01
#: The level of the trend test, two-sided.
_LEVEL = 0.05
#: From a median absolute deviation to a standard deviation of a normal distribution.
_MAD = 1.4826
#: Beyond so many standard deviations a batch time is an outlier.
_USUAL = 3.0


def steady_from(times: Union[Sequence[float], np.ndarray]) -> Optional[int]:
    """Return the first batch of the steady state, or None while it is not reached.

    Cheap, but worth a call only every so many batches. It is the caller's to let mm_run's
    warm-up time pass besides, and to end a warm-up that never settles.

    Args:
        times: positive, the batches' times (or times between their ends) in any unit, in order.

    Raises:
        ValueError: a time is not a finite number.
    """
    series = np.asarray(times, np.float64)
    if series.ndim != 1 or not np.isfinite(series).all():
        raise ValueError(f"finite times [N] are expected, got {series.shape}")
    if len(series) < LEAST_BATCHES:
        return None
    width = -(-len(series) // _MOST_BLOCKS)
    whole = len(series) // width * width  # the newest batches may not fill a block yet
    blocks = np.median(series[:whole].reshape(-1, width), axis=1)
    start = _truncation(blocks)
    if start is None or _has_trend(blocks[start:]):
        return None
    return start * width


def _truncation(blocks: np.ndarray) -> Optional[int]:
    """Return MSER's truncation point; None where it lies at the end of the first half."""
    half = len(blocks) // 2
    centre = float(np.median(blocks[half:]))
    deviation = _MAD * float(np.median(np.abs(blocks[half:] - centre)))
    usual = max(_USUAL * deviation, _MATERIAL * centre)
    clipped = np.clip(blocks, centre - usual, centre + usual) - centre
    # Sums over the rest of the series for every d at once.
    rest = np.arange(len(blocks), 0, -1, dtype=np.float64)
    sums = np.cumsum(clipped[::-1])[::-1]
    squares = np.cumsum((clipped**2)[::-1])[::-1]
    errors = (squares - sums**2 / rest) / rest**2
    start = int(np.argmin(errors[: half + 1]))
    return start if start < half else None


def _has_trend(blocks: np.ndarray) -> bool:
    """Return whether the times rise or fall, significantly and by more than a little."""
    half = len(blocks) // 2
    early, late = float(np.median(blocks[:half])), float(np.median(blocks[-half:]))
    if abs(late - early) <= _MATERIAL * early:
        return False
    return _mann_kendall_p(blocks) < _LEVEL


def _mann_kendall_p(series: np.ndarray) -> float:
    """Return the two-sided p of Mann's test, normal approximation corrected for ties."""
    n = len(series)
    signs = np.sign(series[np.newaxis, :] - series[:, np.newaxis])
    score = float(np.triu(signs, 1).sum())
    ties = np.unique(series, return_counts=True)[1].astype(np.float64)
    variance = n * (n - 1) * (2 * n + 5) - float((ties * (ties - 1) * (2 * ties + 5)).sum())
    if variance <= 0:
        return 1.0
    z = max(abs(score) - 1, 0.0) / math.sqrt(variance / 18)
    return math.erfc(z / math.sqrt(2))
