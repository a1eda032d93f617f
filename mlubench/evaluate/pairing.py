"""Two sets of predictions, image by image, whatever the order and number of their images."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mlubench.evaluate.predictions import best, scored_part
from mlubench.metrics.paired import Paired, compare_right

#: Columns that hold the answers themselves.
_ANSWERS = ("top5_index", "top5_score")


@dataclass(frozen=True, eq=False)
class Pairs:
    """The images that two precisions or runs have in common.

    Attributes:
        class_ids: str [N], their true classes.
        reference_right: bool [N].
        candidate_right: bool [N].
        agreement: the fraction with the same best class.
        identical: whether every answer and every score is the same.
        alone: how many images only one of the two scored.
    """

    class_ids: NDArray[np.str_]
    reference_right: NDArray[np.bool_]
    candidate_right: NDArray[np.bool_]
    agreement: float
    identical: bool
    alone: int

    def __len__(self) -> int:
        return len(self.class_ids)

    def paired(self) -> Paired:
        """Return the comparison; there must be an image."""
        return compare_right(self.reference_right, self.candidate_right, self.agreement)


def pair_images(reference: pa.Table, candidate: pa.Table, precision: str, other: str) -> Pairs:
    """Pair the scored images of two tables of predictions by name and true class.

    Args:
        reference: predictions, of schema :data:`~mlubench.runs.schemas.PREDICTIONS`.
        candidate: likewise.
        precision: of the candidate's answers.
        other: of the reference's answers.
    """
    before, after, alone = common_rows(reference, candidate, precision, other)
    count = after.num_rows
    same = best(before, "top5_index") == best(after, "top5_index") if count else np.ones(0)
    return Pairs(
        class_ids=np.asarray(after["class_id"].to_pylist(), np.str_),
        reference_right=before["correct1"].to_numpy(),
        candidate_right=after["correct1"].to_numpy(),
        agreement=float(np.mean(same)) if count else 0.0,
        identical=all(before[name].equals(after[name]) for name in _ANSWERS),
        alone=alone,
    )


def common_rows(
    reference: pa.Table, candidate: pa.Table, precision: str, other: str
) -> tuple[pa.Table, pa.Table, int]:
    """Return the rows of the images that both have, side by side, and how many are in one only.

    Args:
        reference: predictions.
        candidate: predictions.
        precision: of the candidate.
        other: of the reference.
    """
    before, after = scored_part(reference, other), scored_part(candidate, precision)
    rows = {key: row for row, key in enumerate(_keys(before))}
    places = np.array(
        [(rows[key], row) for row, key in enumerate(_keys(after)) if key in rows], np.int64
    ).reshape(-1, 2)
    alone = before.num_rows + after.num_rows - 2 * len(places)
    return before.take(places[:, 0]), after.take(places[:, 1]), alone


def _keys(part: pa.Table) -> list[tuple[str, str]]:
    return list(zip(part["image"].to_pylist(), part["class_id"].to_pylist(), strict=True))
