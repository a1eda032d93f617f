"""The images that a precision lost or won against force_float32, one by one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mlubench.engines.precisions import REFERENCE
from mlubench.reports.predictions import best, scored_part

#: So many images of each precision and direction may be pictured.
PICTURED = 40


@dataclass(frozen=True)
class Flip:
    """An image that is right in one of two precisions only.

    Attributes:
        precision: the one compared with force_float32.
        won: whether it is right here and wrong there; else it was lost.
        image: its name.
        class_id: its true class.
        label: the true class in the network's own order.
        reference_index: the best class in force_float32.
        reference_score: the score of that.
        index: the best class in ``precision``.
        score: the score of that.
    """

    precision: str
    won: bool
    image: str
    class_id: str
    label: int
    reference_index: int
    reference_score: float
    index: int
    score: float


def find_flips(predictions: pa.Table) -> list[Flip]:
    """Return all lost and won images, by precision, the lost first, then by image_index.

    Args:
        predictions: as :func:`mlubench.reports.predictions.predictions_table` returns it;
            without force_float32 in it nothing flips.
    """
    precisions = pc.unique(predictions["precision"]).to_pylist()
    if REFERENCE not in precisions:
        return []
    reference = scored_part(predictions, REFERENCE)
    flips = []
    for precision in sorted(set(precisions) - {REFERENCE}):
        flips += flips_between(reference, scored_part(predictions, precision))
    return flips


def flips_between(reference: pa.Table, candidate: pa.Table) -> list[Flip]:
    """Return the lost and won images between two answers to the same ones, the lost first.

    Args:
        reference: scored rows of predictions.
        candidate: likewise, the same images in the same order.
    """
    was, now = (part["correct1"].to_numpy() for part in (reference, candidate))
    flips = []
    for changed in (was & ~now, now & ~was):
        rows = np.flatnonzero(changed)
        flips += _flips(reference.take(rows), candidate.take(rows))
    return flips


def by_direction(flips: Sequence[Flip]) -> Iterator[list[Flip]]:
    """Give the lost and the won images of each precision, the most telling ones first.

    That is where both answers are surest: of equals, the order is the given one.

    Args:
        flips: those of a precision and direction behind each other.
    """
    for _, group in groupby(flips, key=lambda flip: (flip.precision, flip.won)):
        yield sorted(group, key=lambda flip: -min(flip.reference_score, flip.score))


def pictured(flips: Sequence[Flip]) -> list[Flip]:
    """Return those that are pictured, a bounded number of each precision and direction.

    Args:
        flips: as :func:`by_direction` takes them.
    """
    return [flip for part in by_direction(flips) for flip in part[:PICTURED]]


def _flips(reference: pa.Table, candidate: pa.Table) -> list[Flip]:
    columns = zip(
        candidate["precision"].to_pylist(),
        candidate["correct1"].to_pylist(),
        candidate["image"].to_pylist(),
        candidate["class_id"].to_pylist(),
        candidate["label"].to_pylist(),
        best(reference, "top5_index").tolist(),
        best(reference, "top5_score").tolist(),
        best(candidate, "top5_index").tolist(),
        best(candidate, "top5_score").tolist(),
        strict=True,
    )
    return [Flip(*values) for values in columns]
