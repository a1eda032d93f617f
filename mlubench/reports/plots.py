"""Pictures of a report: geometry computed here, drawn as inline SVG by ``templates/plots.html``."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mlubench.metrics.verdict import in_points
from mlubench.reports.accuracy import AccuracyRow
from mlubench.reports.wording import RowText, row_text

#: Narrow enough that its text stays readable on a phone, where it is shown at about 0.85.
_WIDTH = 420.0
_MARGIN = 24.0
_ROW_HEIGHT = 46.0


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
    """

    name: str
    text: str
    low: float
    value: float
    high: float
    limit: float | None = None


@dataclass(frozen=True)
class Line:
    """An interval where it is drawn: all in units of the picture's view box."""

    name: str
    text: str
    y: float
    low: float
    value: float
    high: float
    limit: float | None


@dataclass(frozen=True)
class Tick:
    """A labelled position on the horizontal axis."""

    x: float
    text: str


@dataclass(frozen=True)
class IntervalPlot:
    """A picture of intervals below each other over one axis.

    Attributes:
        title: its heading; also what a screen reader is told.
        note: how to read it.
        width: of the view box.
        height: of the view box.
        margin: where the axis begins and ends, from either side.
        lines: the intervals.
        ticks: the axis.
        zero: where 0 lies, or None where it is not within the axis.
    """

    title: str
    note: str
    width: float
    height: float
    margin: float
    lines: tuple[Line, ...]
    ticks: tuple[Tick, ...]
    zero: float | None


def accuracy_plots(
    rows: Sequence[AccuracyRow], max_drop: Mapping[str, float]
) -> list[IntervalPlot]:
    """Return the pictures of the accuracy rows: the accuracies, then the drops, if any.

    Args:
        rows: as :func:`mlubench.reports.accuracy.accuracy_rows` returned them.
        max_drop: per precision, the largest drop allowed, as a fraction.
    """
    texts = {row.precision: row_text(row) for row in rows}
    accuracies = [_accuracy(row, texts[row.precision]) for row in rows]
    plots = [interval_plot("Top-1 accuracy, %", "Dot and 95 % interval.", accuracies)]
    drops = [
        drop
        for row in rows
        if (drop := _drop(row, texts[row.precision], max_drop.get(row.precision)))
    ]
    if drops:
        note = (
            "Dot and 95 % interval of the paired difference; right of 0 is a loss. "
            "The upright mark is the limit."
        )
        plots.append(interval_plot("Top-1 drop against force_float32, points", note, drops))
    return plots


def interval_plot(title: str, note: str, intervals: Sequence[Interval]) -> IntervalPlot:
    """Return where the parts of a picture lie.

    Args:
        title: its heading.
        note: how to read it.
        intervals: one or more, top to bottom.
    """
    ends = [
        end for line in intervals for end in (line.low, line.high, line.limit) if end is not None
    ]
    steps = _steps(min(ends), max(ends))
    first, last = steps[0], steps[-1]

    def x(value: float) -> float:
        return round(_MARGIN + (value - first) / (last - first) * (_WIDTH - 2 * _MARGIN), 2)

    return IntervalPlot(
        title=title,
        note=note,
        width=_WIDTH,
        height=_ROW_HEIGHT * len(intervals) + 28,
        margin=_MARGIN,
        lines=tuple(
            Line(
                name=line.name,
                text=line.text,
                y=_ROW_HEIGHT * number,
                low=x(line.low),
                value=x(line.value),
                high=x(line.high),
                limit=None if line.limit is None else x(line.limit),
            )
            for number, line in enumerate(intervals)
        ),
        ticks=tuple(Tick(x(step), f"{step:g}") for step in steps),
        zero=x(0.0) if first <= 0 <= last else None,
    )


def _steps(low: float, high: float) -> list[float]:
    """Return round numbers that enclose both, 1, 2 or 5 times a power of ten apart."""
    span = max(high - low, 1e-6)
    power = 10.0 ** math.floor(math.log10(span / 5))
    step = next(power * factor for factor in (1, 2, 5, 10) if span / (power * factor) <= 5)
    first = math.floor(low / step)
    last = max(math.ceil(high / step), first + 1)
    return [round(number * step, 9) for number in range(first, last + 1)]


def _accuracy(row: AccuracyRow, text: RowText) -> Interval:
    figures = f"{text.top1} ({text.top1_interval})"
    return Interval(row.precision, figures, 100 * row.top1_low, 100 * row.top1, 100 * row.top1_high)


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
