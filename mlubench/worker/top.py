"""The best classes of a batch of scores."""

from __future__ import annotations

from typing import Tuple

import numpy as np

#: How many classes of each image are kept.
TOP = 5


def top_classes(scores: np.ndarray) -> Tuple[np.ndarray, np.ndarray]:
    """Return the classes with the highest scores, best first; equal scores by lower index.

    Args:
        scores: float [images, classes].

    Returns:
        Index int32 and score float32, both [images, min(5, classes)].
    """
    keep = min(TOP, scores.shape[1])
    # The keep-th best score of each row bounds the candidates, so that a full sort of 1000
    # classes is not needed; all that equal it stay, or ties would be cut by the partition's whim.
    bound = -np.partition(-scores, keep - 1, axis=1)[:, keep - 1]
    index = np.empty((len(scores), keep), np.int32)
    for row, (values, least) in enumerate(zip(scores, bound)):
        candidates = np.flatnonzero(values >= least)
        order = np.argsort(-values[candidates], kind="stable")[:keep]
        index[row] = candidates[order]
    return index, np.take_along_axis(scores, index, axis=1).astype(np.float32)
