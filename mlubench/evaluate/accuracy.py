"""The rows of accuracy.parquet: every precision judged against force_float32."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from mlubench.engines.precisions import REFERENCE
from mlubench.errors import DatasetError
from mlubench.evaluate.predictions import best, scored_part
from mlubench.metrics.accuracy import wilson_interval
from mlubench.metrics.paired import Paired, compare_paired
from mlubench.metrics.verdict import Verdict, judge_drop
from mlubench.runs.schemas import ACCURACY

#: The columns that are looked at; the names of images are the most of a table.
_JUDGED = ("image_index", "label", "top5_index", "correct1", "correct5")
#: The columns that a comparison fills, as they are without one.
_COMPARED: Mapping[str, Any] = dict.fromkeys(
    ("agreement", "lost", "won", "drop", "drop_low", "drop_high", "mcnemar_p")
)


@dataclass(frozen=True)
class Setup:
    """What the precisions of a run have in common, and what each was executed as.

    Attributes:
        model: the network's name.
        dataset: the dataset's name.
        engine: the engine's name.
        engine_version: its version.
        batch_size: images in a batch.
        dynamic_shape: whether the compiled network takes batches of any size.
        executed_precision: per precision, the arithmetic that the device really used.
    """

    model: str
    dataset: str
    engine: str
    engine_version: str
    batch_size: int
    dynamic_shape: bool
    executed_precision: Mapping[str, str]


@dataclass(frozen=True)
class AccuracyRow:
    """One precision; the columns of accuracy.parquet.

    Accuracies, agreement and drop are fractions, ``_low`` and ``_high`` the ends of their 95 %
    intervals (Wilson's for accuracies, Tango's for the drop). ``agreement`` to ``mcnemar_p`` are
    None in the reference's own row and where the run has no reference.
    """

    model: str
    dataset: str
    engine: str
    engine_version: str
    precision: str
    executed_precision: str
    batch_size: int
    dynamic_shape: bool
    images: int
    top1: float
    top1_low: float
    top1_high: float
    top5: float
    top5_low: float
    top5_high: float
    agreement: float | None
    lost: int | None
    won: int | None
    drop: float | None
    drop_low: float | None
    drop_high: float | None
    mcnemar_p: float | None
    verdict: Verdict


def accuracy_rows(
    predictions: pa.Table, setup: Setup, max_drop: Mapping[str, float]
) -> list[AccuracyRow]:
    """Score every precision and judge its drop from force_float32.

    Args:
        predictions: as :func:`mlubench.evaluate.predictions.predictions_table` returns it.
        setup: what is not in the predictions.
        max_drop: per precision, the largest drop allowed, as a fraction; a precision that is
            not in it is not judged.

    Returns:
        A row per precision, the reference first, then by name.

    Raises:
        DatasetError: no image was scored.
    """
    precisions = pc.unique(predictions["precision"]).to_pylist()
    parts = {precision: _scored(predictions, precision) for precision in precisions}
    if not any(len(part.label) for part in parts.values()):
        raise DatasetError(
            "no image was scored",
            where=setup.dataset,
            expected="one or more whole images",
            fix="see the list of corrupt images",
        )
    rows = []
    for precision in sorted(parts, key=lambda name: (name != REFERENCE, name)):
        paired = _against_reference(parts, precision)
        verdict = Verdict.NOT_JUDGED
        if paired is not None:
            verdict, _ = judge_drop(paired, max_drop.get(precision))
        rows.append(_row(parts[precision], precision, setup, paired, verdict))
    return rows


def accuracy_table(rows: Iterable[AccuracyRow]) -> pa.Table:
    """Return the rows as a table of schema :data:`~mlubench.runs.schemas.ACCURACY`."""
    return pa.Table.from_pylist([dataclasses.asdict(row) for row in rows], schema=ACCURACY)


def rows_of(table: pa.Table) -> list[AccuracyRow]:
    """Return the rows of a table that :func:`accuracy_table` made."""
    return [
        AccuracyRow(**{**fields, "verdict": Verdict(fields["verdict"])})
        for fields in table.to_pylist()
    ]


def verdict_reasons(rows: Sequence[AccuracyRow], max_drop: Mapping[str, float]) -> dict[str, str]:
    """Return, per compared precision, the sentence behind its verdict.

    Args:
        rows: as :func:`accuracy_rows` returned them.
        max_drop: the same limits.
    """
    pairs = ((row.precision, _paired(row)) for row in rows)
    return {
        precision: judge_drop(paired, max_drop.get(precision))[1]
        for precision, paired in pairs
        if paired is not None
    }


@dataclass(frozen=True, eq=False)
class _Scored:
    """The scored images of one precision: what is judged, an array of [N] each."""

    image_index: NDArray[np.int32]
    label: NDArray[np.int16]
    best: NDArray[np.int16]
    right: Mapping[int, int]


def _scored(predictions: pa.Table, precision: str) -> _Scored:
    part = scored_part(predictions, precision, _JUDGED)
    return _Scored(
        part["image_index"].to_numpy(),
        part["label"].to_numpy(),
        best(part, "top5_index"),
        {k: pc.sum(part[f"correct{k}"], min_count=0).as_py() for k in (1, 5)},
    )


def _against_reference(parts: Mapping[str, _Scored], precision: str) -> Paired | None:
    if precision == REFERENCE or REFERENCE not in parts:
        return None
    reference, candidate = parts[REFERENCE], parts[precision]
    if not np.array_equal(reference.image_index, candidate.image_index):
        raise ValueError(f"{precision} and {REFERENCE} did not score the same images")
    return compare_paired(reference.best, candidate.best, candidate.label)


def _row(
    part: _Scored, precision: str, setup: Setup, paired: Paired | None, verdict: Verdict
) -> AccuracyRow:
    images, right = len(part.label), part.right
    (top1_low, top1_high), (top5_low, top5_high) = (
        wilson_interval(right[k], images) for k in (1, 5)
    )
    compared = _COMPARED if paired is None else dataclasses.asdict(paired)
    return AccuracyRow(
        model=setup.model,
        dataset=setup.dataset,
        engine=setup.engine,
        engine_version=setup.engine_version,
        precision=precision,
        executed_precision=setup.executed_precision[precision],
        batch_size=setup.batch_size,
        dynamic_shape=setup.dynamic_shape,
        images=images,
        top1=right[1] / images,
        top1_low=top1_low,
        top1_high=top1_high,
        top5=right[5] / images,
        top5_low=top5_low,
        top5_high=top5_high,
        **{name: compared[name] for name in _COMPARED},
        verdict=verdict,
    )


def _paired(row: AccuracyRow) -> Paired | None:
    """Return the comparison that a row holds."""
    if row.drop is None:
        return None
    return Paired(images=row.images, **{name: getattr(row, name) for name in _COMPARED})
