"""A figure over the runs: lines, and the steps in them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

import pyarrow as pa
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mlubench.metrics.verdict import in_points
from mlubench.reports.drawing import LIGHT, SERIES, drawing
from mlubench.reports.history import ACCURACY_SERIES, Series, find_series, what_changed
from mlubench.reports.plots import Picture

_HEIGHT = 2.7
_TICKS = 5
_DAYS = timedelta(days=2)
#: Colours are four; further precisions have another line.
_LINES = ("-", "--", ":")


def accuracy_history(rows: pa.Table) -> tuple[Picture | None, list[str]]:
    """Return top-1 of each precision over the runs as a picture, and its steps in sentences.

    Args:
        rows: of :func:`mlubench.reports.history.accuracy_until`; of one run there is no picture.
    """
    runs = _runs(rows)
    if len(runs) < 2:
        return None, []
    series = find_series(rows, ACCURACY_SERIES, "top1")
    steps = any(one.steps for one in series)
    note = f"{len(runs)} runs, the oldest first." + (
        " Level lines are the levels, upright ones where one changed." if steps else ""
    )
    picture = Picture("Top-1 over the runs, %", note, _figure(series, runs))
    return picture, [line for one in series for line in _step_lines(one, rows)]


def _runs(rows: pa.Table) -> dict[str, datetime]:
    """Return when each run began, the oldest first."""
    ids, times = rows["run_id"].to_pylist(), rows["created_utc"].to_pylist()
    return dict(zip(ids, times, strict=True))


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


def _figure(series: Sequence[Series], runs: Mapping[str, datetime]) -> Figure:
    places = {run: place for place, run in enumerate(runs)}
    with drawing(_HEIGHT) as (figure, axes):
        for number, one in enumerate(series):
            _draw(axes, one, places, number)
        _label_times(axes, list(runs.values()))
        axes.margins(x=0.03, y=0.1)
        axes.grid(axis="y")
        figure.legend(loc="outside upper left", ncols=2)
    return figure


def _draw(axes: Axes, series: Series, places: Mapping[str, int], number: int) -> None:
    colour = LIGHT[SERIES[number % len(SERIES)]]
    line = _LINES[number // len(SERIES) % len(_LINES)]
    across = [places[point.run_id] for point in series.points]
    values = [100 * point.value for point in series.points]
    name = series.key["precision"]
    axes.plot(across, values, color=colour, linestyle=line, marker="o", markersize=4, label=name)
    if series.steps:
        levels = [100 * level for level in series.levels]
        axes.step(across, levels, where="mid", color=colour, linewidth=4, alpha=0.3)
    for step in series.steps:
        axes.axvline(places[step.since.run_id] - 0.5, color=LIGHT["fail"], linewidth=1.2)


def _label_times(axes: Axes, times: Sequence[datetime]) -> None:
    """Label a few runs by when they began, among them the first and the last."""
    last = len(times) - 1
    count = min(_TICKS, len(times))
    chosen = sorted({round(last * place / (count - 1)) for place in range(count)})
    form = "%Y-%m-%d" if times[-1] - times[0] > _DAYS else "%m-%d %H:%M"
    axes.set_xticks(chosen, [times[place].strftime(form) for place in chosen])
