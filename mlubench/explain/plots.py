"""Pictures of layers: where noise comes in, and what keeping some in float costs."""

from __future__ import annotations

import math
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mlubench.explain.curve import Curve, CurvePoint
from mlubench.metrics.layer_noise import LayerNoise
from mlubench.presentation.drawing import LIGHT, drawing
from mlubench.presentation.pictures import Picture

_HEIGHT = 2.5
#: A longer name would leave the picture.
_NAME_LENGTH = 36


def layer_picture(precision: str, against: str, layers: Sequence[LayerNoise]) -> Picture | None:
    """Return every layer's signal-to-noise ratio by its place in the network.

    Layers that are equal, or that have no signal, have no ratio to draw; without any other there
    is no picture.
    """
    drawn = sorted((one for one in layers if math.isfinite(one.snr_db)), key=lambda one: one.place)
    if not drawn:
        return None
    note = "Each dot is a layer; lower is worse. " + (
        "The diamond is where the difference begins."
        if any(one.begins for one in drawn)
        else "The input of the first differs already."
    )
    title = f"Signal-to-noise of {precision} against {against}, dB"
    return Picture(title, note, _layer_figure(drawn))


def _layer_figure(drawn: Sequence[LayerNoise]) -> Figure:
    with drawing(_HEIGHT) as (figure, axes):
        places, ratios = [one.place for one in drawn], [one.snr_db for one in drawn]
        axes.plot(places, ratios, color=LIGHT["series1"], linewidth=0.8, marker="o", markersize=3.2)
        begins = [one for one in drawn if one.begins]
        axes.plot(
            [one.place for one in begins],
            [one.snr_db for one in begins],
            color=LIGHT["series2"],
            linestyle="none",
            marker="D",
            markersize=7,
        )
        _name_worst(axes, drawn)
        axes.set_xlabel("place in the network")
        axes.locator_params(axis="x", integer=True)
        axes.margins(x=0.03, y=0.18)
        axes.grid(axis="y")
    return figure


def _name_worst(axes: Axes, drawn: Sequence[LayerNoise]) -> None:
    """Name the worst layer below its dot, towards the side with more room."""
    worst = min(drawn, key=lambda one: one.snr_db)
    middle = (drawn[0].place + drawn[-1].place) / 2
    name = worst.layer
    if len(name) > _NAME_LENGTH:
        name = name[: _NAME_LENGTH - 1] + "\N{HORIZONTAL ELLIPSIS}"
    text = axes.annotate(
        name,
        (worst.place, worst.snr_db),
        xytext=(0, -7),
        textcoords="offset points",
        ha="right" if worst.place > middle else "left",
        va="top",
        color=LIGHT["fail"],
    )
    # The frame is that of the dots, however long a name is.
    text.set_in_layout(False)
    axes.plot([worst.place], [worst.snr_db], color=LIGHT["fail"], marker="o", markersize=5)


def curve_picture(precision: str, curve: Curve) -> Picture:
    """Return the drop against the speed-up of each count of layers in float that was tried."""
    note = (
        "Each dot is a count of layers in float, with the 95 % interval of its drop. "
        "The level line is the budget; below it and to the right is better."
    )
    title = f"{precision}, layers in float: drop in points against speed-up over force_float32"
    return Picture(title, note, _curve_figure(curve))


def _curve_figure(curve: Curve) -> Figure:
    with drawing(_HEIGHT + 0.3) as (figure, axes):
        axes.axhline(100 * curve.budget, color=LIGHT["fail"], linewidth=1.4)
        for point in curve.points:
            _draw(axes, point, chosen=curve.kept is not None and point.count == len(curve.kept))
        axes.set_xlabel("speed-up over force_float32")
        axes.set_ylabel("top-1 drop, points")
        axes.margins(x=0.12, y=0.12)
        axes.grid()
    return figure


def _draw(axes: Axes, point: CurvePoint, *, chosen: bool) -> None:
    colour = LIGHT["series2" if chosen else "series1"]
    ends = [100 * point.drop_low, 100 * point.drop_high]
    axes.plot([point.speedup] * 2, ends, color=colour, linewidth=1.4, alpha=0.6)
    axes.plot(
        [point.speedup],
        [100 * point.drop],
        color=colour,
        marker="D" if chosen else "o",
        markersize=7 if chosen else 5,
    )
    axes.annotate(
        str(point.count),
        (point.speedup, 100 * point.drop),
        xytext=(6, 4),
        textcoords="offset points",
        size=9,
    )
