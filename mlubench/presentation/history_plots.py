"""How a figure went over the runs, with the steps in it: pictures, and sentences."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import pyarrow as pa
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from mlubench.metrics.figures import in_points
from mlubench.presentation.drawing import LIGHT, SERIES, WIDTH, panels, place_key
from mlubench.presentation.pictures import Picture
from mlubench.runs.history import (
    ACCURACY_SERIES,
    Point,
    Series,
    find_series,
    what_changed,
)

_INCHES_PER_PANEL, _INCHES_OF_KEY = 1.7, 0.4
_TICKS = 5
_DAYS = timedelta(days=2)


def accuracy_history(rows: pa.Table) -> tuple[Picture | None, list[str]]:
    """Return top-1 of each precision over the runs as a picture, and its steps in sentences.

    Args:
        rows: of :func:`mlubench.runs.history.accuracy_until`; of one run there is no picture.
    """
    series = find_series(rows, ACCURACY_SERIES, "top1")
    if len(set(rows["run_id"].to_pylist())) < 2:
        return None, []
    precisions = [one.key["precision"] for one in series]

    def look(one: Series) -> tuple[str, str]:
        precision = one.key["precision"]
        return precision, LIGHT[SERIES[precisions.index(precision) % len(SERIES)]]

    picture = history_picture(
        "Top-1 over the runs, %", {"": [_in_percent(one) for one in series]}, look
    )
    return picture, [line for one in series for line in _step_lines(one, rows)]


def _in_percent(series: Series) -> Series:
    return replace(
        series,
        points=tuple(Point(one.run_id, one.created_utc, 100 * one.value) for one in series.points),
        levels=tuple(100 * level for level in series.levels),
    )


def _step_lines(series: Series, rows: pa.Table) -> list[str]:
    """Return a sentence for each step: what changed, from when on, and what went with it."""
    lines = []
    for step in series.steps:
        changed = what_changed(rows, step.since.run_id)
        with_it = f"; with that run changed: {', '.join(changed)}" if changed else ""
        lines.append(
            f"{series.key['precision']}: {in_points(step.before)} % before, "
            f"{in_points(step.after)} % since {step.since.run_id}{with_it}"
        )
    return lines


def history_picture(
    title: str,
    groups: Mapping[str, Sequence[Series]],
    colour_of: Callable[[Series], tuple[str, str]],
) -> Picture:
    """Return series over the runs, oldest first; a panel for each group.

    Args:
        title: the picture's.
        groups: series that share an axis, by what it is called; each has a point or more.
        colour_of: a series' name in the key, and its colour.
    """
    keys: dict[str, str] = {}
    heights = [_INCHES_PER_PANEL] * len(groups)
    heights[0] += _INCHES_OF_KEY
    runs = _runs([one for members in groups.values() for one in members])
    with panels(heights, width=WIDTH) as (figure, axes):
        for panel, (name, members) in zip(axes, groups.items(), strict=True):
            for series in members:
                key, colour = colour_of(series)
                keys[key] = colour
                _line(panel, series, runs, colour)
            panel.set_title(name, color=LIGHT["faint"])
            panel.margins(y=0.15)
            _time_axis(panel, runs)
        handles = [
            Line2D([], [], color=colour, linewidth=5, label=key) for key, colour in keys.items()
        ]
        place_key(figure, handles)
    note = "A dot is a run, the line the level that lasted; upright dashes where it changed."
    return Picture(title, note, figure)


def _runs(members: Sequence[Series]) -> dict[str, datetime]:
    """Return when each run that is shown began, by its id, oldest first."""
    points = {point.run_id: point for series in members for point in series.points}
    ordered = sorted(points.values(), key=lambda point: (point.created_utc, point.run_id))
    return {point.run_id: point.created_utc for point in ordered}


def _line(axes: Axes, series: Series, runs: Mapping[str, datetime], colour: str) -> None:
    places = {run_id: place for place, run_id in enumerate(runs)}
    shown = [
        (places[point.run_id], point.value, level)
        for point, level in zip(series.points, series.levels, strict=True)
        if point.run_id in places
    ]
    across, values, levels = zip(*shown, strict=True)
    axes.plot(across, values, color=colour, linestyle="none", marker="o", markersize=5)
    axes.step(across, levels, color=colour, linewidth=1.4, where="mid")
    for step in series.steps:
        if step.since.run_id in places:
            place = places[step.since.run_id] - 0.5
            axes.axvline(place, color=colour, linewidth=1.2, linestyle=(0, (3, 3)))


def _time_axis(axes: Axes, runs: Mapping[str, datetime]) -> None:
    """Label a few runs by when they began, among them the first and the last."""
    times = list(runs.values())
    last = len(times) - 1
    count = min(_TICKS, len(times))
    chosen = sorted({round(last * place / max(count - 1, 1)) for place in range(count)})
    form = "%Y-%m-%d" if times[-1] - times[0] > _DAYS else "%m-%d %H:%M"
    axes.set_xlim(-0.6, len(times) - 0.4)
    axes.set_xticks(chosen, [times[place].strftime(form) for place in chosen])
    axes.grid(axis="y")
