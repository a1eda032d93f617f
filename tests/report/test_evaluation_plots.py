"""The pictures of accuracy: everything within the frame, true to scale."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlubench.evaluate.accuracy import accuracy_rows
from mlubench.presentation.pictures import Interval, interval_figure
from mlubench.report.evaluation_plots import accuracy_plots
from tests.support import examples
from tests.support.long import long

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_VALUES = st.floats(-100, 100, allow_nan=False)
_Marks = tuple[float, float, float, float]
_MARKS = st.lists(st.tuples(_VALUES, _VALUES, _VALUES, _VALUES), min_size=1, max_size=6)


def _axes(figure: Figure) -> Axes:
    (axes,) = figure.axes
    return axes


def _texts(figure: Figure) -> list[str]:
    return [text.get_text() for text in _axes(figure).texts]


@settings(max_examples=30)
@given(_MARKS)
def test_all_marks_lie_within_the_frame(values: list[_Marks]) -> None:
    _check_frame(values)


@long
@given(_MARKS)
def test_all_of_many_marks_lie_within_the_frame(values: list[_Marks]) -> None:
    _check_frame(values)


def _check_frame(values: list[_Marks]) -> None:
    intervals = []
    for *ends, limit in values:
        low, value, high = sorted(ends)
        intervals.append(Interval("x", "", low, value, high, limit))
    axes = _axes(interval_figure(intervals))
    left, right = axes.get_xlim()
    for interval in intervals:
        assert interval.limit is not None
        assert left <= interval.low <= interval.value <= interval.high <= right
        assert left <= interval.limit <= right
    bottom, top = axes.get_ylim()
    assert all(top < place < bottom for place in range(len(intervals)))


def test_an_interval_is_drawn_from_end_to_end_with_its_estimate_and_limit() -> None:
    axes = _axes(interval_figure([Interval("x", "", -1, 0.5, 2, 1)]))
    interval, value, limit = axes.lines
    assert list(interval.get_xdata()) == [-1, 2]
    assert list(value.get_xdata()) == [0.5]
    assert list(limit.get_xdata()) == [1, 1]


@pytest.mark.parametrize(("low", "high"), [(-1, 1), (0, 1), (50, 60)])
def test_zero_is_marked_and_seen_where_asked_for(low: float, high: float) -> None:
    axes = _axes(interval_figure([Interval("x", "", low, low, high)], zero=True))
    left, right = axes.get_xlim()
    assert left <= 0 <= right
    assert list(axes.lines[-1].get_xdata()) == [0, 0]


def test_drops_are_drawn_where_there_are_any() -> None:
    rows = accuracy_rows(examples.predictions(), examples.SETUP, {})
    limits = {"qint8_mixed_float16": 0.01}
    accuracies, drops = accuracy_plots(rows, limits)
    names = [row.precision for row in rows]
    assert _texts(accuracies.figure)[::2] == names
    assert _texts(drops.figure)[::2] == names[1:]
    unlimited, limited = _texts(drops.figure)[1::2]
    assert "limit" not in unlimited
    assert limited.endswith(", limit 1.00")
    assert _texts(accuracies.figure)[1].startswith(f"{100 * rows[0].top1:.2f} (")
