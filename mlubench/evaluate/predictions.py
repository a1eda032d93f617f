"""predictions.parquet: every image's answer in every precision, and images paired between runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from mlubench.metrics.accuracy import correct_at_k
from mlubench.metrics.paired import Paired, compare_right
from mlubench.runs.schemas import PREDICTIONS, TOP_INDEX, TOP_SCORE

SCORED = "scored"
CORRUPT = "corrupt"

#: (top_index int16 [N, C], top_score float32 [N, C]), best first; C is 5, or the number of
#: classes of a network that has fewer.
Top = tuple[NDArray[np.integer], NDArray[np.float32]]

_CHUNK = 1 << 16

#: Columns that hold the answers themselves.
_ANSWERS = ("top5_index", "top5_score")


def predictions_table(
    images: Sequence[str],
    class_ids: Sequence[str],
    labels: NDArray[np.integer],
    corrupt: AbstractSet[int],
    by_precision: Mapping[str, Top],
) -> pa.Table:
    """Return the table of predictions.parquet.

    Args:
        images: N names, in the dataset's order.
        class_ids: N true class ids.
        labels: [N], the true classes in the network's own order.
        corrupt: the indices of images that could not be decoded whole. Their rows have status
            ``corrupt``, empty lists and both ``correct`` columns false, whatever was inferred.
        by_precision: the answers of every image, corrupt ones included.

    Returns:
        A table of schema :data:`~mlubench.runs.schemas.PREDICTIONS`, sorted by precision,
        then image_index.

    Raises:
        ValueError: the lengths differ, or a corrupt index is no image's.
    """
    count = len(images)
    lengths = {len(class_ids), len(labels)} | {
        len(array) for top in by_precision.values() for array in top
    }
    if lengths != {count} or not all(0 <= index < count for index in corrupt):
        raise ValueError(f"{count} images, arrays of {sorted(lengths)}, corrupt {sorted(corrupt)}")
    scored = np.ones(count, bool)
    scored[sorted(corrupt)] = False
    common = {
        "image_index": pa.array(np.arange(count), pa.int32()),
        "image": pa.array(images, pa.string()),
        "class_id": pa.array(class_ids, pa.string()),
        "label": pa.array(labels, pa.int16()),
        "status": pc.if_else(pa.array(scored), SCORED, CORRUPT),
    }
    parts = [
        _precision_part(common, labels, scored, precision, top)
        for precision, top in sorted(by_precision.items())
    ]
    return pa.concat_tables([PREDICTIONS.empty_table(), *parts])


def _precision_part(
    common: Mapping[str, pa.Array],
    labels: NDArray[np.integer],
    scored: NDArray[np.bool_],
    precision: str,
    top: Top,
) -> pa.Table:
    top_index, top_score = top
    columns = {
        **common,
        "precision": _repeated(precision, len(scored)),
        "top5_index": list_column(top_index, scored, TOP_INDEX),
        "top5_score": list_column(top_score, scored, TOP_SCORE),
        "correct1": pa.array(correct_at_k(labels, top_index, 1) & scored),
        "correct5": pa.array(correct_at_k(labels, top_index, 5) & scored),
    }
    return pa.Table.from_pydict(columns, schema=PREDICTIONS)


def _repeated(text: str, count: int) -> pa.ChunkedArray:
    """Return a column of equal strings, whose chunks are one and the same."""
    chunk = pa.repeat(text, min(count, _CHUNK))
    whole, rest = divmod(count, _CHUNK)
    return pa.chunked_array([chunk] * whole + [chunk.slice(0, rest)], pa.string())


def list_column(values: NDArray[Any], kept: NDArray[np.bool_], kind: pa.DataType) -> pa.Array:
    """Return row i of ``values`` as list i; an empty list where it is not kept."""
    offsets = np.concatenate([[0], np.cumsum(kept * values.shape[1])])
    flat = pa.array(values[kept].ravel(), kind.value_type)
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), flat, type=kind)


def scored_part(
    predictions: pa.Table, precision: str, columns: Sequence[str] | None = None
) -> pa.Table:
    """Return the scored rows of one precision, by image_index.

    Args:
        predictions: the table.
        precision: one of its precisions.
        columns: which of them; all, where none are named.
    """
    wanted = predictions if columns is None else predictions.select(columns)
    return wanted.filter(_scored(predictions, precision))


def scored_rows(predictions: pa.Table, precision: str) -> NDArray[np.intp]:
    """Return the numbers of the scored rows of one precision, ascending."""
    return np.flatnonzero(_scored(predictions, precision).to_numpy())


def _scored(predictions: pa.Table, precision: str) -> pa.ChunkedArray:
    return pc.and_(
        pc.equal(predictions["precision"], precision), pc.equal(predictions["status"], SCORED)
    )


def best(part: pa.Table, column: str) -> NDArray[Any]:
    """Return the first element of each list of a column without empty lists."""
    first: NDArray[Any] = pc.list_element(part[column], 0).to_numpy()
    return first


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
