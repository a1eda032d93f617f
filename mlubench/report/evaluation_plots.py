"""Pictures of accuracy: intervals below each other over one axis."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mlubench.evaluate.accuracy import AccuracyRow
from mlubench.evaluate.table import RowText, row_text
from mlubench.metrics.figures import in_points
from mlubench.presentation.pictures import Interval, Picture, interval_figure
from mlubench.runs.record import PublishedRecord


def accuracy_plots(
    rows: Sequence[AccuracyRow],
    max_drop: Mapping[str, float],
    published: Sequence[PublishedRecord] = (),
) -> list[Picture]:
    """Return the pictures of the accuracy rows: the accuracies, then the drops, if any.

    Args:
        rows: as :func:`mlubench.evaluate.accuracy.accuracy_rows` returned them.
        max_drop: per precision, the largest drop allowed, as a fraction.
        published: what others measured.
    """
    texts = {row.precision: row_text(row) for row in rows}
    accuracies = [_accuracy(row, texts[row.precision], published) for row in rows]
    note = "Dot and 95 % interval." + (
        " The diamond is a published figure." if any(one.others for one in accuracies) else ""
    )
    plots = [Picture("Top-1 accuracy, %", note, interval_figure(accuracies))]
    drops = [
        drop
        for row in rows
        if (drop := _drop(row, texts[row.precision], max_drop.get(row.precision)))
    ]
    if drops:
        note = "Dot and 95 % interval of the paired difference; right of 0 is a loss." + (
            " The upright mark is the limit." if max_drop else ""
        )
        title = "Top-1 drop against force_float32, points"
        plots.append(Picture(title, note, interval_figure(drops, zero=True)))
    return plots


def _accuracy(row: AccuracyRow, text: RowText, published: Sequence[PublishedRecord]) -> Interval:
    return Interval(
        row.precision,
        f"{text.top1} ({text.top1_interval})",
        100 * row.top1_low,
        100 * row.top1,
        100 * row.top1_high,
        others=tuple(100 * one.top1 for one in published if one.precision == row.precision),
    )


def _drop(row: AccuracyRow, text: RowText, limit: float | None) -> Interval | None:
    if row.drop is None or row.drop_low is None or row.drop_high is None:
        return None
    figures = f"{text.drop} ({text.drop_interval})"
    if limit is not None:
        figures += f", limit {in_points(limit)}"
    return Interval(
        row.precision,
        figures,
        100 * row.drop_low,
        100 * row.drop,
        100 * row.drop_high,
        None if limit is None else 100 * limit,
    )
