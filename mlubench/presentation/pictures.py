"""Pictures of intervals, as SVG for pages and PNG for Prefect."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mlubench.presentation.drawing import LIGHT, as_png, as_svg, drawing

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
