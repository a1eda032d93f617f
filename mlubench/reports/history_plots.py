"""How a figure went over the runs, with the steps in it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from mlubench.reports.bench_plots import WIDTH, place_key
from mlubench.reports.drawing import LIGHT, panels
from mlubench.reports.history import Series
from mlubench.reports.plots import Picture

_INCHES_PER_PANEL, _INCHES_OF_KEY = 1.7, 0.4


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


def _runs(members: Sequence[Series]) -> dict[str, str]:
    """Return the day of each run that is shown, by its id, oldest first."""
    points = {point.run_id: point for series in members for point in series.points}
    ordered = sorted(points.values(), key=lambda point: (point.created_utc, point.run_id))
    return {point.run_id: f"{point.created_utc:%m-%d}" for point in ordered}


def _line(axes: Axes, series: Series, runs: Mapping[str, str], colour: str) -> None:
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


def _time_axis(axes: Axes, runs: Mapping[str, str]) -> None:
    """Show days below the runs, as many as there is room for."""
    days = list(runs.values())
    axes.set_xlim(-0.6, len(days) - 0.4)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=8, integer=True, min_n_ticks=1))
    axes.xaxis.set_major_formatter(
        lambda place, _: days[int(place)] if 0 <= place < len(days) and place == int(place) else ""
    )
    axes.grid(axis="y")
