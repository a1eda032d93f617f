"""report.html of an evaluation: one page that needs nothing but itself."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from mlubench.engines.precisions import REFERENCE, is_quantised
from mlubench.evaluate.accuracy import AccuracyRow
from mlubench.evaluate.flips import FlipPart, parts_of
from mlubench.evaluate.table import RowText, row_text
from mlubench.explain.curve import Curve, fallback_end
from mlubench.explain.explanation import Explanation
from mlubench.explain.plots import curve_picture, layer_picture
from mlubench.metrics.classes import ClassDrop
from mlubench.metrics.levels import CLASS_LEVEL
from mlubench.metrics.verdict import Verdict
from mlubench.presentation.history_plots import accuracy_history
from mlubench.presentation.page import command, page_environment
from mlubench.presentation.pictures import Picture
from mlubench.presentation.text import verdict_text
from mlubench.report.evaluation_plots import accuracy_plots
from mlubench.report.flip_lists import FlipGroup, flip_lists
from mlubench.report.verdict import PageVerdict
from mlubench.runs.record import PublishedRecord, RunRecord
from mlubench.speed.measure.tuning_table import tuning_rows

#: Rows of the tables of classes and of layers; the files have all of them.
_WORST = 15


@dataclass(frozen=True)
class Explained:
    """What was found out about a precision.

    Attributes:
        explanation: which images, classes and layers.
        curve: of the layers kept in float; None where it was not asked for.
        thumbnails: JPEGs of flipped images, by name.
    """

    explanation: Explanation
    curve: Curve | None
    thumbnails: Mapping[str, bytes]


@dataclass(frozen=True)
class EvaluationPage:
    """All that the page of an evaluation shows.

    Attributes:
        run: the run's record.
        rows: its accuracy, as :func:`mlubench.evaluate.accuracy.accuracy_rows` returned it.
        verdict: how it was judged.
        max_drop: per precision, the largest drop allowed, as a fraction.
        flips: the changed images, as :func:`mlubench.evaluate.flips.find_flips` returned them.
        thumbnails: JPEGs of some of them, by name.
        classes: per precision, its classes against force_float32, the surest loss first.
        class_ids: of the network's classes, in its own order.
        class_names: likewise.
        explained: what ``mlubench explain`` left, by precision.
        history: of :func:`mlubench.runs.history.accuracy_until`.
        shards: of schema :data:`~mlubench.runs.schemas.SHARDS`.
        remarks: what of this could not be read, a sentence each.
    """

    run: RunRecord
    rows: Sequence[AccuracyRow]
    verdict: PageVerdict
    max_drop: Mapping[str, float]
    flips: Sequence[FlipPart]
    thumbnails: Mapping[str, bytes]
    classes: Mapping[str, Sequence[ClassDrop]]
    class_ids: Sequence[str]
    class_names: Sequence[str]
    explained: Sequence[Explained]
    history: pa.Table
    shards: pa.Table
    remarks: Sequence[str] = ()


def render_report(page: EvaluationPage) -> str:
    """Return the page: HTML, style and pictures in one, no script, nothing fetched.

    All names are escaped; the same arguments give the same page.
    """
    run = page.run
    history, steps = accuracy_history(page.history)
    return (
        page_environment()
        .get_template("report.html")
        .render(
            run=run,
            verdict=page.verdict,
            remarks=[*page.verdict.remarks, *page.remarks],
            rows=[(_verdict(row, page.verdict), row_text(row)) for row in page.rows],
            plots=accuracy_plots(page.rows, page.max_drop, run.published),
            published=_published(page.rows, run.published),
            reference=REFERENCE,
            compared=any(row.drop is not None for row in page.rows),
            flip_lists=flip_lists(_flip_groups(page)),
            pictured=bool(page.thumbnails),
            class_tables=[_class_table(name, drops) for name, drops in page.classes.items()],
            class_level=CLASS_LEVEL,
            class_names=page.class_names,
            name_of_class=dict(zip(page.class_ids, page.class_names, strict=True)),
            layer_parts=[_layer_part(one, run) for one in page.explained],
            unexplained=_unexplained(page),
            history=history,
            runs=len(set(page.history["run_id"].to_pylist())),
            steps=steps,
            corrupt=sorted(run.damage.items()),
            devices=_devices(page.shards),
            parameters=json.dumps(run.parameters, indent=2, sort_keys=True, ensure_ascii=False),
            provenance=_provenance(run),
            tuned=tuning_rows(run.tuning),
            command=lambda *words: command(run, *words),
        )
    )


def main_picture(page: EvaluationPage) -> Picture:
    """Return the picture that tells most: the drops, or the accuracies where nothing drops."""
    return accuracy_plots(page.rows, page.max_drop, page.run.published)[-1]


def _verdict(row: AccuracyRow, verdict: PageVerdict) -> tuple[Verdict, str]:
    """Return what was said of a precision; of the reference, that it is one, if nothing was."""
    said = verdict.of(row.precision)
    if said == Verdict.NOT_JUDGED and row.precision == REFERENCE:
        return said, "reference"
    return said, verdict_text(said)


def _published(
    rows: Sequence[AccuracyRow], published: Sequence[PublishedRecord]
) -> list[tuple[RowText, PublishedRecord]]:
    """Return this run's figures beside each published one of the same precision."""
    texts = {row.precision: row_text(row) for row in rows}
    return [(texts[one.precision], one) for one in published if one.precision in texts]


def _flip_groups(page: EvaluationPage) -> list[FlipGroup]:
    """Return the flips against force_float32, and those against another run, if any."""
    others = [
        FlipGroup(one.explanation.against, parts_of(one.explanation.flips), one.thumbnails)
        for one in page.explained
        if one.explanation.against != REFERENCE
    ]
    return [FlipGroup(REFERENCE, page.flips, page.thumbnails), *others]


def _class_table(precision: str, drops: Sequence[ClassDrop]) -> dict[str, Any]:
    changed = [one for one in drops if one.lost or one.won]
    return {
        "precision": precision,
        "classes": len(drops),
        "changed": len(changed),
        "lost": sum(one.p_holm <= CLASS_LEVEL for one in drops),
        "rows": changed[:_WORST],
    }


def _layer_part(one: Explained, run: RunRecord) -> dict[str, Any]:
    told, curve = one.explanation, one.curve
    budget = ["--precision", told.precision, "--budget", "0.5"]
    searchable = is_quantised(told.precision) and told.against == REFERENCE
    return {
        "told": told,
        "picture": layer_picture(told.precision, told.against, told.layers),
        "layers": told.layers[:_WORST],
        "origins": [layer.layer for layer in told.origins],
        "curve": curve,
        "curve_picture": curve_picture(told.precision, curve) if curve else None,
        "curve_end": fallback_end(curve.kept) if curve else "",
        "curve_command": command(run, "explain", *budget) if searchable else "",
    }


def _unexplained(page: EvaluationPage) -> list[tuple[str, str]]:
    """Return the precisions whose layers were not compared, with the command that does."""
    known = {one.explanation.precision for one in page.explained}
    return [
        (row.precision, command(page.run, "explain", "--precision", row.precision))
        for row in page.rows
        if row.drop is not None and row.precision not in known
    ]


def _devices(shards: pa.Table) -> list[dict[str, Any]]:
    """Return, per precision, host and device, how much it inferred and how long that took."""
    keys = ["precision", "host", "device"]
    sums = shards.group_by(keys).aggregate(
        [("shard", "count"), ("images", "sum"), ("seconds", "sum"), ("attempts", "sum")]
    )
    devices: list[dict[str, Any]] = sums.sort_by([(key, "ascending") for key in keys]).to_pylist()
    return devices


def _provenance(run: RunRecord) -> list[tuple[str, str]]:
    moments = (("begun", run.begun_utc), ("created", run.created_utc))
    return [
        ("run", run.run_id),
        *((name, when.isoformat(sep=" ", timespec="seconds")) for name, when in moments if when),
        ("host", run.host),
        ("engine", f"{run.engine} {run.engine_version}"),
        ("prototxt, SHA-256", run.model.prototxt_sha256),
        ("weights, SHA-256", run.model.weights_sha256),
        ("dataset, digest", run.dataset.digest),
        *sorted(run.provenance.items()),
    ]
