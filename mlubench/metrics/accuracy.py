"""Top-k accuracy of a classifier and its interval."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri


def correct_at_k(
    labels: NDArray[np.integer], top_index: NDArray[np.integer], k: int
) -> NDArray[np.bool_]:
    """Return which images have their label among the ``k`` best classes.

    Args:
        labels: [N], the true class of each image.
        top_index: [N, C], the best classes of each image, best first, in the order of the
            labels; a network of fewer than ``k`` classes has C < k, and all C count.
        k: 1 or more.

    Returns:
        bool [N].

    Raises:
        ValueError: the shapes do not fit or ``k`` is less than 1.
    """
    if top_index.ndim != 2 or labels.shape != top_index.shape[:1]:
        raise ValueError(f"labels {labels.shape} and top_index {top_index.shape} do not fit")
    if k < 1:
        raise ValueError(f"k is {k}, expected 1 or more")
    hits: NDArray[np.bool_] = np.any(top_index[:, :k] == labels[:, np.newaxis], axis=1)
    return hits


def wilson_interval(successes: int, n: int, level: float = 0.95) -> tuple[float, float]:
    """Return Wilson's score interval of a proportion, as fractions.

    E. B. Wilson, "Probable inference, the law of succession, and statistical inference",
    Journal of the American Statistical Association 22 (1927), 209-212; no continuity
    correction. It stays within 0 and 1 and keeps its coverage near both ends.

    Args:
        successes: 0 to ``n``.
        n: how many were tried; nothing is known of a proportion of none: (0, 1).
        level: the confidence level.

    Raises:
        ValueError: ``successes`` is not within 0 and ``n``.
    """
    if not 0 <= successes <= n:
        raise ValueError(f"{successes} successes of {n}")
    if n == 0:
        return 0.0, 1.0
    z = -float(ndtri((1 - level) / 2))
    fraction = successes / n
    centre = (fraction + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(fraction * (1 - fraction) / n + (z / (2 * n)) ** 2)
    # Both are exact there; rounding would leave 1e-17.
    low = 0.0 if successes == 0 else centre - half
    high = 1.0 if successes == n else centre + half
    return low, high
