"""Pictures of a benchmark: throughput, latency, stages, rounds and scaling over devices."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from statistics import median
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from mlubench.engines.precisions import PRECISIONS
from mlubench.metrics.figures import figure as short
from mlubench.presentation.drawing import LIGHT, SERIES, WIDTH, as_png, drawing, place_key
from mlubench.presentation.pictures import Picture

#: A row of throughput.parquet.
Row = Mapping[str, Any]

_INCHES_OF_AXIS, _INCHES_OF_KEY, _INCHES_OF_KEYS = 0.4, 0.3, 0.45
_INCHES_PER_BAR, _INCHES_PER_LINE = 0.22, 0.42
#: Room right of the longest bar for its figures, as a share of it.
_ROOM = 0.4
#: Devices that lines of several precisions lie apart, so that none hides another's interval.
_ASIDE = 0.04
#: Percentiles that lie further apart than this need a logarithmic axis.
_WIDE = 8.0
_PERCENTILES = ("p50", "p90", "p95", "p99", "p999")
#: Stages, in colours that no usual precision has.
_STAGES = {"copy_in": SERIES[3], "compute": SERIES[4], "copy_out": SERIES[5]}


def bench_plots(rows: Sequence[Row]) -> list[Picture]:
    """Return all pictures of a benchmark that its rows have something for.

    Args:
        rows: of throughput.parquet.
    """
    scaling = scaling_rows(rows)
    rounds = max(row["rounds"] for row in rows)
    return [
        throughput_picture(rows),
        latency_picture(rows),
        *([scaling_picture(scaling)] if scaling else []),
        stages_picture(rows),
        *([rounds_picture(rows)] if rounds > 1 else []),
    ]


def throughput_picture(rows: Sequence[Row]) -> Picture:
    """Return the throughput of every configuration, grouped by batch, precisions side by side."""
    groups = grouped_rows(rows)
    bars = sum(len(members) + 1 for members in groups.values())
    height = _INCHES_OF_AXIS + _INCHES_OF_KEYS + _INCHES_PER_BAR * bars
    longest = max(row["throughput_high"] or row["throughput"] for row in rows)
    with drawing(height, width=WIDTH) as (figure, axes):
        place = 0.0
        for name, members in groups.items():
            axes.text(0, place, name, transform=axes.get_yaxis_transform(), va="center")
            for row in members:
                place += 1
                _bar(axes, place, row)
            place += 1
        axes.set_xlim(0, longest * (1 + _ROOM))
        axes.xaxis.set_major_locator(MaxNLocator(nbins=6))
        axes.set_ylim(place - 0.4, -0.6)
        _plain_axis(axes)
        _key(figure, rows)
    note = "Median of the rounds and its 95 % interval; in parentheses times force_float32."
    return Picture("Throughput, images per second", note, figure)


def throughput_png(rows: Sequence[Row]) -> bytes:
    """Return that picture by itself, its title in it, as a PNG file."""
    picture = throughput_picture(rows)
    # Styles of a drawing end with it.
    picture.figure.axes[0].set_title(picture.title, loc="left", size=10)
    return as_png(picture.figure)


def _bar(axes: Axes, place: float, row: Row) -> None:
    value, low, high = (row[f"throughput{end}"] for end in ("", "_low", "_high"))
    axes.barh(place, value, height=0.8, color=colour_of(row["precision"]))
    end = value
    if low is not None and high is not None:
        axes.plot([low, high], [place, place], color=LIGHT["ink"], linewidth=1.2, marker="|")
        end = max(end, high)
    speedup = "" if row["speedup"] is None else f" ({row['speedup']:.2f})"
    axes.annotate(
        short(value) + speedup,
        (end, place),
        xytext=(6, 0),
        textcoords="offset points",
        va="center",
        color=LIGHT["faint"],
    )


def latency_picture(rows: Sequence[Row]) -> Picture:
    """Return p50 to p99.9 of every configuration's latency, with their intervals."""
    values = [row[f"{name}_ms"] for row in rows for name in _PERCENTILES]
    with _lines_of(rows, _latency_text) as (figure, axes):
        for place, row in enumerate(rows):
            _percentiles(axes, place, row)
        if max(values) > _WIDE * min(values) > 0:
            _logarithmic(axes)
        axes.margins(x=0.03)
    note = (
        "Large dot p50, small ones p90, p95, p99 and p99.9, hollow where MLPerf's rule wants more "
        "requests; the shade is the 95 % interval."
    )
    return Picture("Latency of a request, ms", note, figure)


def _latency_text(row: Row) -> str:
    return f"p50 {short(row['p50_ms'])}, p99 {short(row['p99_ms'])}"


def _percentiles(axes: Axes, place: int, row: Row) -> None:
    colour = colour_of(row["precision"])
    values = [row[f"{name}_ms"] for name in _PERCENTILES]
    axes.plot([values[0], values[-1]], [place, place], color=colour, linewidth=1.4)
    for name, value in zip(_PERCENTILES, values, strict=True):
        low, high = row[f"{name}_low_ms"], row[f"{name}_high_ms"]
        if low is not None and high is not None:
            axes.plot(
                [low, high],
                [place, place],
                color=colour,
                linewidth=8,
                alpha=0.25,
                solid_capstyle="butt",
            )
        enough = row["requests"] >= row[f"{name}_needed"]
        axes.plot(
            [value],
            [place],
            color=colour,
            marker="o",
            markersize=8 if name == "p50" else 5,
            markerfacecolor=colour if enough else LIGHT["paper"],
        )


def stages_picture(rows: Sequence[Row]) -> Picture:
    """Return what share of a request each of its stages has, in every configuration."""
    with _lines_of(rows, _stages_text) as (figure, axes):
        for place, row in enumerate(rows):
            times = [row[f"{stage}_ms"] for stage in _STAGES]
            whole = sum(times) or 1.0
            left = 0.0
            for time, colour in zip(times, _STAGES.values(), strict=True):
                share = 100 * time / whole
                axes.barh(place, share, left=left, height=0.36, color=LIGHT[colour])
                left += share
        axes.set_xlim(0, 100)
        handles = [
            Line2D([], [], color=LIGHT[colour], linewidth=5, label=stage.replace("_", " "))
            for stage, colour in _STAGES.items()
        ]
        place_key(figure, handles)
    note = (
        "Medians, in milliseconds right of the name; computing includes waiting in the device's "
        "queue."
    )
    return Picture("Stages of a request, %", note, figure)


def _stages_text(row: Row) -> str:
    return " + ".join(f"{row[f'{stage}_ms']:.2g}" for stage in _STAGES)


def rounds_picture(rows: Sequence[Row]) -> Picture:
    """Return the throughput of each round against the configuration's own median."""
    relative = [[100 * one / row["throughput"] for one in row["round_throughput"]] for row in rows]
    together = [median(values) for values in zip(*relative, strict=False)]
    with drawing(2.4, width=WIDTH) as (figure, axes):
        for row, values in zip(rows, relative, strict=True):
            numbers = range(1, len(values) + 1)
            axes.plot(numbers, values, color=colour_of(row["precision"]), linewidth=1, alpha=0.6)
        axes.plot(range(1, len(together) + 1), together, color=LIGHT["ink"], linewidth=2.4)
        axes.axhline(100, color=LIGHT["faint"], linewidth=0.8)
        axes.set_xlabel("round")
        axes.set_ylabel("% of its own median")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(axis="y")
        _key(figure, rows, ("all together", LIGHT["ink"]))
    note = (
        "Every configuration is measured in each round: where all lines go up and down together "
        "it is the machine that drifts."
    )
    return Picture("Round by round", note, figure)


def scaling_rows(rows: Sequence[Row]) -> list[Row]:
    """Return the rows of the work that was measured on most numbers of devices, by precision.

    That is one batch and shape, the largest of equals; there is none where the devices were always
    the same.
    """
    by_work: dict[tuple[bool, int], list[Row]] = {}
    for row in rows:
        by_work.setdefault((not row["dynamic_shape"], row["batch_size"]), []).append(row)
    counts = {
        work: len({len(row["devices"]) for row in members}) for work, members in by_work.items()
    }
    chosen = max(by_work, key=lambda work: (counts[work], work))
    if counts[chosen] < 2:
        return []
    return sorted(
        by_work[chosen], key=lambda row: (precision_order(row["precision"]), len(row["devices"]))
    )


def scaling_picture(rows: Sequence[Row]) -> Picture:
    """Return throughput over the number of devices, with the line of perfect scaling.

    Args:
        rows: of :func:`scaling_rows`.
    """
    by_precision: dict[str, list[Row]] = {}
    for row in rows:
        by_precision.setdefault(row["precision"], []).append(row)
    with drawing(2.8, width=WIDTH) as (figure, axes):
        for number, (precision, members) in enumerate(by_precision.items()):
            aside = _ASIDE * (number - (len(by_precision) - 1) / 2)
            _scaling_line(axes, members, colour_of(precision), aside)
        axes.set_xlabel("devices")
        axes.set_ylabel("images per second")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_ylim(bottom=0)
        axes.grid(axis="y")
        _key(figure, rows)
    note = f"Batch {rows[0]['batch_size']}; dashed: as many times one device's."
    return Picture("Scaling over devices", note, figure)


def _scaling_line(axes: Axes, members: Sequence[Row], colour: str, aside: float) -> None:
    counts = [len(row["devices"]) for row in members]
    values = [row["throughput"] for row in members]
    places = [count + aside for count in counts]
    axes.plot(places, values, color=colour, marker="o", markersize=6)
    for place, row in zip(places, members, strict=True):
        low, high = row["throughput_low"], row["throughput_high"]
        if low is not None and high is not None:
            axes.plot([place, place], [low, high], color=colour, linewidth=1.4, marker="_")
    perfect = [values[0] * count / counts[0] for count in counts]
    axes.plot(places, perfect, color=colour, linewidth=1, linestyle=(0, (4, 3)))


@contextmanager
def _lines_of(rows: Sequence[Row], text_of: Callable[[Row], str]) -> Iterator[tuple[Figure, Axes]]:
    """Give axes with a line for each row at its place, its name and figures above it."""
    height = _INCHES_OF_AXIS + _INCHES_OF_KEY + _INCHES_PER_LINE * len(rows)
    with drawing(height, width=WIDTH) as (figure, axes):
        across = axes.get_yaxis_transform()
        for place, (row, name) in enumerate(zip(rows, configuration_names(rows), strict=True)):
            axes.text(0, place - 0.3, name, transform=across, size=9)
            style: dict[str, Any] = {"ha": "right", "color": LIGHT["faint"], "size": 9}
            axes.text(1, place - 0.3, text_of(row), transform=across, **style)
        yield figure, axes
        axes.set_ylim(len(rows) - 0.4, -0.8)
        _plain_axis(axes)


def _plain_axis(axes: Axes) -> None:
    """Leave the lower axis alone, with a grid."""
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    axes.grid(axis="x")


def _logarithmic(axes: Axes) -> None:
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())


def _key(figure: Figure, rows: Sequence[Row], *more: tuple[str, str]) -> None:
    """Put the precisions' colours above the axes, and further lines' names and colours."""
    precisions = dict.fromkeys(row["precision"] for row in rows)
    named = [*((precision, colour_of(precision)) for precision in precisions), *more]
    handles = [Line2D([], [], color=colour, linewidth=5, label=name) for name, colour in named]
    place_key(figure, handles)


def grouped_rows(rows: Sequence[Row]) -> dict[str, list[Row]]:
    """Return the rows by what they have in common but for the precision, in words."""
    several = len({tuple(row["devices"]) for row in rows}) > 1
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(_group(row, devices=several), []).append(row)
    return groups


def configuration_names(rows: Sequence[Row]) -> list[str]:
    """Return each row's configuration in words, as short as tells it from the others."""
    several = len({tuple(row["devices"]) for row in rows}) > 1
    return [f"{row['precision']}, {_group(row, devices=several)}" for row in rows]


def colour_of(precision: str) -> str:
    """Return a precision's colour, the same in all pictures."""
    return LIGHT[SERIES[precision_order(precision) % len(SERIES)]]


def precision_order(precision: str) -> int:
    """Return a precision's place among all that there are."""
    return PRECISIONS.index(precision) if precision in PRECISIONS else len(PRECISIONS)


def _group(row: Row, *, devices: bool) -> str:
    words = [f"batch {row['batch_size']}", *(["dynamic"] if row["dynamic_shape"] else [])]
    count = len(row["devices"])
    if devices:
        words.append("1 device" if count == 1 else f"{count} devices")
    return ", ".join(words)
