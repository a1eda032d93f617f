"""Layers' times as a picture that opens by itself: bars, of two networks side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes

from mlubench.metrics.figures import NONE
from mlubench.metrics.figures import figure as short
from mlubench.presentation.drawing import LIGHT, SERIES, as_svg_file, drawing
from mlubench.speed.profile.table import more_layers, short_arithmetic
from mlubench.speed.profile.times import LayerTimes, TimedLayer, side_by_side

_WIDTH_INCHES = 9.0
_INCHES_PER_BAR, _INCHES_BETWEEN, _INCHES_OF_HEAD = 0.13, 0.08, 1.1
#: Room right of the longest bar for its figures, as a share of it.
_ROOM = 0.25
#: Longer names are cut in the middle.
_NAME = 36
_SMALL = 7.5


@dataclass(frozen=True)
class _Line:
    """A layer's times in each of the networks, None where one does not run it."""

    name: str
    times: tuple[TimedLayer | None, ...]


def layer_picture(times: Sequence[LayerTimes]) -> bytes:
    """Return the layers of one network, or of two side by side, as an SVG file of bars.

    Layers stand in the order of execution, each bar with its milliseconds and the arithmetic that
    was used.

    Args:
        times: one or two.
    """
    lines = _lines(times)
    # In inches, so that bars are as thick in a network of 10 layers as in one of 200.
    step = len(times) * _INCHES_PER_BAR + _INCHES_BETWEEN
    title = "Time of each layer, ms: " + " and ".join(one.name for one in times)
    with drawing(_INCHES_OF_HEAD + step * len(lines), width=_WIDTH_INCHES) as (figure, axes):
        for series in range(len(times)):
            _draw_bars(axes, lines, series, step)
        middles = [place * step + len(times) * _INCHES_PER_BAR / 2 for place in range(len(lines))]
        axes.set_yticks(middles, [_cut(line.name) for line in lines], size=_SMALL)
        axes.tick_params(axis="y", colors=LIGHT["ink"])
        axes.set_ylim(step * len(lines), -_INCHES_BETWEEN)
        axes.set_xlim(0, _greatest(lines) * (1 + _ROOM))
        axes.tick_params(axis="x", labeltop=True)
        axes.grid(axis="x")
        keys = [f"{one.name}, {short(one.milliseconds)} ms" for one in times]
        figure.legend(
            handles=[axes.containers[series] for series in range(len(times))],
            labels=keys,
            loc="outside upper left",
        )
    return as_svg_file(figure, title)


def _draw_bars(axes: Axes, lines: Sequence[_Line], series: int, step: float) -> None:
    values = [one.milliseconds if (one := line.times[series]) else 0.0 for line in lines]
    middles = [place * step + (series + 0.5) * _INCHES_PER_BAR for place in range(len(lines))]
    axes.barh(middles, values, height=_INCHES_PER_BAR * 0.85, color=LIGHT[SERIES[series]])
    for line, middle, value in zip(lines, middles, values, strict=True):
        axes.annotate(
            _text(line.times[series]),
            (value, middle),
            xytext=(4, 0),
            textcoords="offset points",
            va="center_baseline",
            size=_SMALL,
            color=LIGHT["faint"],
        )


def _text(one: TimedLayer | None) -> str:
    if one is None:
        return NONE
    return f"{short(one.milliseconds)} ms {short_arithmetic(one.arithmetic)}".rstrip()


def _cut(name: str) -> str:
    if len(name) <= _NAME:
        return name
    return f"{name[: _NAME // 2]}…{name[-(_NAME // 2 - 1) :]}"


def _greatest(lines: Sequence[_Line]) -> float:
    values = [one.milliseconds for line in lines for one in line.times if one]
    return max(values, default=0.0) or 1.0


def _lines(times: Sequence[LayerTimes]) -> list[_Line]:
    if len(times) == 1:
        return [_Line(one.name + more_layers(one.layers), (one,)) for one in times[0].layers]
    return [
        _Line(pair.name + more_layers(pair.layers), (pair.first, pair.second))
        for pair in side_by_side(*times)
    ]
