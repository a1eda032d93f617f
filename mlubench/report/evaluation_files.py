"""The page of an evaluation, from its run folder and from what is kept beside it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from mlubench.engines.precisions import REFERENCE
from mlubench.errors import ConfigError, StoreError
from mlubench.evaluate.accuracy import AccuracyRow, rows_of
from mlubench.evaluate.flips import find_flips
from mlubench.evaluate.options import EvaluateParameters, check_parameters
from mlubench.evaluate.predictions import scored_part
from mlubench.evaluate.thumbnails import read_thumbnails
from mlubench.explain.curve import read_curve
from mlubench.explain.explanation import read_explanation
from mlubench.images.datasets.labels import label_order
from mlubench.metrics.classes import ClassDrop, class_drops
from mlubench.report.evaluation import EvaluationPage, Explained, main_picture, render_report
from mlubench.report.verdict import PageVerdict, by_own_limits
from mlubench.runs.baselines import PUBLISHED, VerdictRecord, judgement_of
from mlubench.runs.history import accuracy_until
from mlubench.runs.parquet import read_parquet
from mlubench.runs.record import RunRecord
from mlubench.runs.schemas import ACCURACY, PREDICTIONS, SHARDS
from mlubench.store import write_atomic

_Found = TypeVar("_Found")


def write_evaluation_page(folder: Path) -> Path:
    """Render report.html and plot.png, its main picture, of a run folder; return the page's path.

    Raises:
        ConfigError: the run is of a version without what the page needs.
        StoreError: a file of the run cannot be read, or the page not be written. What lies
            beside the run folder, or was added to it later, is told on the page instead.
    """
    page = read_page(folder)
    write_atomic(folder / "plot.png", main_picture(page).png())
    path = folder / "report.html"
    write_atomic(path, render_report(page).encode("utf-8"))
    return path


def read_page(folder: Path) -> EvaluationPage:
    """Return all that the page of a run folder shows.

    Raises:
        ConfigError: the run is of a version without what the page needs.
        StoreError: a file of the run cannot be read.
    """
    record = RunRecord.read(folder / "run.json")
    if not record.label_order:
        raise ConfigError(
            "was written by an older version, which did not keep the names of the classes",
            where=str(folder / "run.json"),
            expected="label_order: 2012, 2015 or digits",
            fix="add the key to the file",
        )
    asked = check_parameters(**record.parameters)
    order = label_order(record.label_order)
    table = read_parquet(folder / "accuracy.parquet", ACCURACY)
    predictions = read_parquet(folder / "predictions.parquet", PREDICTIONS)
    rows = rows_of(table)
    history = folder.resolve().parent.parent / "history"
    reading = _Reading()
    said = reading.optional(partial(judgement_of, folder), None)
    before = reading.optional(partial(accuracy_until, history, record, table), None)
    return EvaluationPage(
        run=record,
        rows=rows,
        verdict=_verdict(said, rows, record, asked),
        max_drop=asked.limits,
        flips=find_flips(predictions),
        thumbnails=reading.optional(partial(read_thumbnails, folder), {}),
        classes=_classes(predictions),
        class_ids=order.class_ids,
        class_names=order.names,
        explained=[
            one
            for path in sorted((folder / "explain").glob("*/explain.json"))
            if (one := reading.optional(partial(_explained, path.parent, order.names), None))
        ],
        history=accuracy_until(None, record, table) if before is None else before,
        shards=read_parquet(folder / "shards.parquet", SHARDS),
        remarks=reading.remarks,
    )


class _Reading:
    """Reads what a page can do without.

    Attributes:
        remarks: what could not be read, a sentence each.
    """

    def __init__(self) -> None:
        self.remarks: list[str] = []

    def optional(self, read: Callable[[], _Found], otherwise: _Found) -> _Found:
        try:
            return read()
        except StoreError as error:
            self.remarks.append(str(error))
            return otherwise


def _explained(folder: Path, names: tuple[str, ...]) -> Explained:
    return Explained(read_explanation(folder, names), read_curve(folder), read_thumbnails(folder))


def _verdict(
    said: VerdictRecord | None,
    rows: list[AccuracyRow],
    record: RunRecord,
    asked: EvaluateParameters,
) -> PageVerdict:
    """Return what was said of the run; if nothing was, what its own limits say."""
    remarks = _wrong_input(record, asked)
    if said is None or not said.gates:
        return by_own_limits(rows, asked.limits, remarks)
    by = {
        "": "Judged by what it holds itself: its images, and force_float32 of the same run.",
        PUBLISHED: "Judged by its own images and force_float32, and by published figures.",
    }.get(said.baseline, f"Judged against {said.baseline}, and against its own force_float32.")
    return PageVerdict(said.verdict, by, said.gates, [*remarks, *said.remarks])


def _wrong_input(record: RunRecord, asked: EvaluateParameters) -> list[str]:
    """Return why the figures should not be trusted, whatever the gates say."""
    corrupt = record.dataset.images.corrupt
    order = record.provenance.get("label order")
    return [
        *([order] if order else []),
        *(
            [f"damaged images: {corrupt}, --max_corrupt allows {asked.max_corrupt}"]
            if corrupt > asked.max_corrupt
            else []
        ),
    ]


def _classes(predictions: pa.Table) -> Mapping[str, list[ClassDrop]]:
    """Return each precision's classes against force_float32 of the same run."""
    precisions = sorted(pc.unique(predictions["precision"]).to_pylist())
    if REFERENCE not in precisions:
        return {}
    reference = scored_part(predictions, REFERENCE, ["class_id", "correct1"])
    ids = np.asarray(reference["class_id"], np.str_)
    return {
        name: class_drops(ids, reference["correct1"].to_numpy(), _right(predictions, name))
        for name in precisions
        if name != REFERENCE
    }


def _right(predictions: pa.Table, precision: str) -> NDArray[np.bool_]:
    right: NDArray[np.bool_] = scored_part(predictions, precision, ["correct1"])[0].to_numpy()
    return right
