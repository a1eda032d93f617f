"""Which classes lost, among very many that are looked at."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mlubench.metrics.paired import loss_p


@dataclass(frozen=True)
class ClassDrop:
    """One class of a candidate against a reference.

    Attributes:
        class_id: of its images.
        images: how many.
        lost: those that only the reference has right.
        won: those that only the candidate has right.
        p: one-sided p of McNemar's exact test that the class lost.
        p_holm: it with Holm's correction for all classes.
    """

    class_id: str
    images: int
    lost: int
    won: int
    p: float
    p_holm: float

    @property
    def drop(self) -> float:
        """The loss of the class's accuracy, a fraction."""
        return (self.lost - self.won) / self.images


def class_drops(
    class_ids: NDArray[np.str_],
    reference_right: NDArray[np.bool_],
    candidate_right: NDArray[np.bool_],
) -> list[ClassDrop]:
    """Return every class's drop, the least p first, then the largest drop, then by name.

    Args:
        class_ids: [N], the true class of each image.
        reference_right: [N], whether the reference has it right.
        candidate_right: [N], whether the candidate has.

    Raises:
        ValueError: the lengths differ.
    """
    if not len(class_ids) == len(reference_right) == len(candidate_right):
        raise ValueError("three arrays of one length are expected")
    classes, places = np.unique(np.asarray(class_ids, np.str_), return_inverse=True)

    def counted(chosen: NDArray[np.bool_]) -> NDArray[np.int64]:
        return np.bincount(places[chosen], minlength=len(classes))

    images = np.bincount(places, minlength=len(classes))
    lost = counted(reference_right & ~candidate_right)
    won = counted(candidate_right & ~reference_right)
    p = loss_p(lost, won)
    columns = (classes, images, lost, won, p, holm(p))
    drops = [ClassDrop(*row) for row in zip(*(part.tolist() for part in columns), strict=True)]
    return sorted(drops, key=lambda one: (one.p, -one.drop, one.class_id))


def holm(p: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return p values corrected for their number, in their order.

    S. Holm, "A simple sequentially rejective multiple test procedure", Scandinavian Journal of
    Statistics 6 (1979), 65-70: the k-th smallest of M is multiplied by M - k + 1, and none is
    smaller than one before it. Those at or below a level hold one false alarm or more with at
    most that probability, however the tests depend on each other.

    Args:
        p: [M].
    """
    order = np.argsort(p, kind="stable")
    stepped = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    corrected = np.empty(len(p), np.float64)
    corrected[order] = np.minimum(stepped, 1.0)
    return corrected
