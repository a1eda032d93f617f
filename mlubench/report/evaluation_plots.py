"""Pictures of accuracy: intervals below each other over one axis."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mlubench.evaluate.accuracy import AccuracyRow
from mlubench.metrics.figures import in_points
from mlubench.presentation.drawing import LIGHT, as_png, as_svg, drawing
from mlubench.presentation.text import RowText, row_text
from mlubench.runs.record import PublishedRecord

_INCHES_PER_LINE, _INCHES_OF_AXIS = 0.56, 0.36


@dataclass(frozen=True)
class Picture:
    """A picture in a page.

    Attributes:
        title: its heading; also what a screen reader is told.
        note: how to read it.
        figure: what is drawn.
    """

    title: str
    note: str
    figure: Figure

    @property
    def svg(self) -> Markup:
        """The picture as an element of a page."""
        return as_svg(self.figure, self.title)

    def png(self) -> bytes:
        """Return the picture on light paper, its title in it."""
        self.figure.suptitle(self.title, x=0.01, ha="left", size=11)
        return as_png(self.figure)


@dataclass(frozen=True)
class Interval:
    """One line of an interval plot, in the plot's unit.

    Attributes:
        name: what it is of.
        text: its figures, as text.
        low: lower end.
        value: the estimate.
        high: upper end.
        limit: the largest value allowed, or None.
        others: values that others found.
    """

    name: str
    text: str
    low: float
    value: float
    high: float
    limit: float | None = None
    others: tuple[float, ...] = ()


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


def interval_figure(intervals: Sequence[Interval], *, zero: bool = False) -> Figure:
    """Return intervals below each other, each under its name and figures.

    Args:
        intervals: one or more, top to bottom.
        zero: whether 0 is marked, and within the axis.
    """
    with drawing(_INCHES_OF_AXIS + _INCHES_PER_LINE * len(intervals)) as (figure, axes):
        for place, interval in enumerate(intervals):
            _draw(axes, place, interval)
        if zero:
            axes.axvline(0, color=LIGHT["faint"], linewidth=1.2)
        axes.set_ylim(len(intervals) - 0.4, -0.75)
        axes.set_yticks([])
        axes.spines["left"].set_visible(False)
        axes.margins(x=0.04)
        axes.grid(axis="x")
    return figure


def _draw(axes: Axes, place: int, interval: Interval) -> None:
    ends = [interval.low, interval.high]
    colour = LIGHT["accent"]
    axes.plot(ends, [place, place], color=colour, linewidth=2, marker="|", markersize=9)
    axes.plot([interval.value], [place], color=colour, marker="o", markersize=7)
    if interval.limit is not None:
        limits = [interval.limit, interval.limit]
        axes.plot(limits, [place - 0.2, place + 0.2], color=LIGHT["fail"], linewidth=3)
    for value in interval.others:
        axes.plot(
            [value],
            [place],
            color=LIGHT["series2"],
            marker="D",
            markersize=6,
            markerfacecolor="none",
            markeredgewidth=1.6,
        )
    # On paper of their own: lines do not run through the words.
    words: Any = {
        "transform": axes.get_yaxis_transform(),
        "bbox": {"facecolor": LIGHT["paper"], "edgecolor": "none", "pad": 1.5},
    }
    axes.text(0, place - 0.32, interval.name, **words)
    axes.text(1, place - 0.32, interval.text, ha="right", color=LIGHT["faint"], size=9, **words)


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
