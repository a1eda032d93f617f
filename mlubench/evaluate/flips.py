"""The images that a precision lost or won against force_float32, one by one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from mlubench.engines.precisions import REFERENCE
from mlubench.evaluate.predictions import best, scored_rows

#: So many images of each precision and direction may be pictured.
PICTURED = 40
#: So many of them are looked at one by one; of a million images hundreds of thousands may flip.
LISTED = 500


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


@dataclass(frozen=True)
class FlipPart:
    """The lost or the won images of a precision.

    Attributes:
        precision: the one compared with another.
        won: whether these were won; else they were lost.
        total: how many there are.
        flips: the most telling ones, :data:`LISTED` at most: where both answers are surest. Of
            equals, the order is the images'.
    """

    precision: str
    won: bool
    total: int
    flips: Sequence[Flip]


def find_flips(predictions: pa.Table) -> list[FlipPart]:
    """Return the lost and won images by precision, the lost first; what has none is left out.

    Args:
        predictions: as :func:`mlubench.evaluate.predictions.predictions_table` returns it;
            without force_float32 in it nothing flips.
    """
    precisions = pc.unique(predictions["precision"]).to_pylist()
    if REFERENCE not in precisions:
        return []
    reference = scored_rows(predictions, REFERENCE)
    return [
        _part(predictions, was, now)
        for precision in sorted(set(precisions) - {REFERENCE})
        for was, now in _changed(predictions, reference, scored_rows(predictions, precision))
    ]


def flips_between(reference: pa.Table, candidate: pa.Table) -> list[Flip]:
    """Return all lost and won images between two answers to the same ones, the lost first.

    Args:
        reference: scored rows of predictions.
        candidate: likewise, the same images in the same order.
    """
    both = pa.concat_tables([reference, candidate])
    rows = np.arange(len(both)).reshape(2, -1)
    return [flip for was, now in _changed(both, *rows) for flip in _flips(both, was, now)]


def parts_of(flips: Sequence[Flip]) -> list[FlipPart]:
    """Return the parts of flips that are given one by one, in the order in which they come.

    Args:
        flips: those of a precision and direction behind each other.
    """
    groups = [list(group) for _, group in groupby(flips, lambda one: (one.precision, one.won))]
    return [
        FlipPart(
            precision=group[0].precision,
            won=group[0].won,
            total=len(group),
            flips=sorted(group, key=lambda one: -min(one.reference_score, one.score))[:LISTED],
        )
        for group in groups
    ]


def pictured(parts: Sequence[FlipPart]) -> list[Flip]:
    """Return those that are pictured, a bounded number of each precision and direction."""
    return [flip for part in parts for flip in part.flips[:PICTURED]]


def _changed(
    table: pa.Table, reference: NDArray[np.intp], candidate: NDArray[np.intp]
) -> list[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """Return the rows, of both sides, of the lost images and of the won ones, where there are any.

    Args:
        table: predictions.
        reference: int [N], rows.
        candidate: int [N], the rows of the same images.
    """
    right = table["correct1"].to_numpy()
    was, now = right[reference], right[candidate]
    return [
        (reference[changed], candidate[changed])
        for changed in (was & ~now, now & ~was)
        if changed.any()
    ]


def _part(table: pa.Table, was: NDArray[np.intp], now: NDArray[np.intp]) -> FlipPart:
    surest = np.minimum(_best(table, "top5_score", was), _best(table, "top5_score", now))
    first = np.argsort(-surest, kind="stable")[:LISTED]
    flips = _flips(table, was[first], now[first])
    return FlipPart(flips[0].precision, flips[0].won, len(now), flips)


def _flips(table: pa.Table, was: NDArray[np.intp], now: NDArray[np.intp]) -> list[Flip]:
    candidate = table.select(["precision", "correct1", "image", "class_id", "label"]).take(now)
    columns = zip(
        *(column.to_pylist() for column in candidate.columns),
        _best(table, "top5_index", was).tolist(),
        _best(table, "top5_score", was).tolist(),
        _best(table, "top5_index", now).tolist(),
        _best(table, "top5_score", now).tolist(),
        strict=True,
    )
    return [Flip(*values) for values in columns]


def _best(table: pa.Table, column: str, rows: NDArray[np.intp]) -> NDArray[Any]:
    return best(table.select([column]).take(rows), column)
