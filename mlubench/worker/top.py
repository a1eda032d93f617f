"""The best classes of a batch of scores."""

from __future__ import annotations

from typing import Tuple

import numpy as np

#: How many classes of each image are kept.
TOP = 5


def top_classes(scores: np.ndarray) -> Tuple[np.ndarray, np.ndarray]:
    """Return the classes with the highest scores, best first; equal scores by lower index.

    Args:
        scores: float [images, classes], finite.

    Returns:
        Index int32 and score float32, both [images, min(5, classes)].
    """
    keep = min(TOP, scores.shape[1])
    rest = scores.astype(np.float32)
    rows = np.arange(len(scores))
    index = np.empty((len(scores), keep), np.int32)
    score = np.empty((len(scores), keep), np.float32)
    # A pass for each place is several times as fast as sorting; argmax gives the first of equals.
    for place in range(keep):
        best = rest.argmax(axis=1)
        index[:, place], score[:, place] = best, rest[rows, best]
        rest[rows, best] = -np.inf
    return index, score
