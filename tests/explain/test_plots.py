"""Pictures of layers and of layers kept in float."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

from mlubench.explain.curve import read_curve, write_fallback
from mlubench.explain.plots import curve_picture, layer_picture
from mlubench.metrics.layer_noise import LayerNoise
from mlubench.presentation.drawing import LIGHT
from tests.support.pages import fallback

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def _layers(*ratios: float) -> list[LayerNoise]:
    """Return layers in the network's order, worst first, as they are kept."""
    layers = [
        LayerNoise(f"conv{place}", "Convolution", place, ratio, None, place == 1, 10)
        for place, ratio in enumerate(ratios)
    ]
    return sorted(layers, key=lambda one: (one.snr_db, one.place))


def _axes(figure: Figure) -> Axes:
    (axes,) = figure.axes
    return axes


def test_layers_are_drawn_in_the_networks_order_and_the_worst_is_named() -> None:
    picture = layer_picture("int8", "float32", _layers(math.inf, 40.0, 7.5, -math.inf, 22.0))
    assert picture is not None
    axes = _axes(picture.figure)
    line, begins, worst = axes.lines
    assert list(line.get_xdata()) == [1, 2, 4]
    assert list(line.get_ydata()) == [40.0, 7.5, 22.0]
    assert (list(begins.get_xdata()), list(worst.get_xdata())) == ([1], [2])
    assert [text.get_text() for text in axes.texts] == ["conv2"]
    assert "begins" in picture.note


def test_a_long_name_leaves_the_picture_its_frame() -> None:
    (worst,) = _layers(3.0)
    long = LayerNoise("x" * 300, worst.kind, 0, 3.0, None, False, 10)
    picture = layer_picture("int8", "float32", [long])
    assert picture is not None
    (text,) = _axes(picture.figure).texts
    assert len(text.get_text()) < 40
    picture.figure.draw_without_rendering()
    assert _axes(picture.figure).get_position().width > 0.8


def test_equal_layers_have_no_picture() -> None:
    assert layer_picture("int8", "float32", _layers(math.inf, math.inf)) is None
    assert layer_picture("int8", "float32", []) is None


def test_every_count_is_a_dot_and_the_chosen_one_another(tmp_path: Path) -> None:
    write_fallback(fallback(), tmp_path)
    curve = read_curve(tmp_path)
    assert curve is not None
    axes = _axes(curve_picture("int8", curve).figure)
    budget, *marks = axes.lines
    assert list(budget.get_ydata()) == [0.5, 0.5]
    dots = marks[1::2]
    assert [dot.get_ydata()[0] for dot in dots] == [100 * point.drop for point in curve.points]
    assert [dot.get_xdata()[0] for dot in dots] == [point.speedup for point in curve.points]
    chosen = [dot.get_color() == LIGHT["series2"] for dot in dots]
    assert chosen == [False, True, False]
    assert [text.get_text() for text in axes.texts] == ["0", "1", "3"]
    for mark, point in zip(marks[::2], curve.points, strict=True):
        assert list(mark.get_ydata()) == [100 * point.drop_low, 100 * point.drop_high]
