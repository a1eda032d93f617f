"""The geometry of the pictures: everything within the frame, true to scale."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlubench.reports.accuracy import accuracy_rows
from mlubench.reports.plots import Interval, accuracy_plots, interval_plot
from tests.reports import examples

_VALUES = st.floats(-100, 100, allow_nan=False)


@given(st.lists(st.tuples(_VALUES, _VALUES, _VALUES, _VALUES), min_size=1, max_size=6))
def test_all_marks_lie_on_the_axis(values: list[tuple[float, float, float, float]]) -> None:
    intervals = []
    for *ends, limit in values:
        low, value, high = sorted(ends)
        intervals.append(Interval("x", "", low, value, high, limit))
    plot = interval_plot("t", "n", intervals)
    assert 2 <= len(plot.ticks) <= 8
    left, right = plot.ticks[0].x, plot.ticks[-1].x
    assert (left, right) == (plot.margin, plot.width - plot.margin)
    for line in plot.lines:
        assert line.limit is not None
        assert left <= line.low <= line.value <= line.high <= right
        assert left <= line.limit <= right
        assert 0 <= line.y < plot.height


@given(_VALUES, st.floats(0.01, 50), st.floats(0, 1))
def test_positions_are_true_to_scale(low: float, length: float, part: float) -> None:
    value = low + part * length
    plot = interval_plot("t", "n", [Interval("x", "", low, value, low + length)])
    first, last = plot.ticks[0], plot.ticks[-1]
    scale = (last.x - first.x) / (float(last.text) - float(first.text))
    (line,) = plot.lines
    assert math.isclose(line.high - line.low, scale * length, rel_tol=0.01, abs_tol=0.05)
    assert math.isclose(line.value - line.low, scale * part * length, rel_tol=0.01, abs_tol=0.05)


def test_zero_is_marked_where_it_is_seen() -> None:
    assert interval_plot("t", "n", [Interval("x", "", -1, 0, 1)]).zero == 210
    assert interval_plot("t", "n", [Interval("x", "", 0, 0.5, 1)]).zero == 24
    assert interval_plot("t", "n", [Interval("x", "", 50, 55, 60)]).zero is None


def test_drops_are_drawn_where_there_are_any() -> None:
    rows = accuracy_rows(examples.predictions(), examples.SETUP, {})
    limits = {"qint8_mixed_float16": 0.01}
    accuracies, drops = accuracy_plots(rows, limits)
    assert [line.name for line in accuracies.lines] == [row.precision for row in rows]
    assert [line.name for line in drops.lines] == [row.precision for row in rows[1:]]
    assert [line.limit is None for line in drops.lines] == [True, False]
    assert drops.lines[1].text.endswith(", limit 1.00")
    assert accuracies.lines[0].text.startswith(f"{100 * rows[0].top1:.2f} (")
    assert len(accuracy_plots(rows[:1], limits)) == 1


@pytest.mark.parametrize("value", [0.0, 100.0, 57.3])
def test_interval_without_length(value: float) -> None:
    (line,) = interval_plot("t", "n", [Interval("x", "", value, value, value)]).lines
    assert line.low == line.value == line.high
