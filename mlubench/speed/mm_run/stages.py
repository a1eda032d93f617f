"""How long each stage of a run took, as a table for the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich import box
from rich.table import Table
from rich.text import Text

from mlubench.metrics.figures import NONE, figure
from mlubench.metrics.latency import Latencies, Percentile

STAGES = {"h2d": "copy in", "compute": "compute", "d2h": "copy out", "total": "total"}
CLOCKS = {"host": "", "dev": "device's\nclock", "interface": "the call"}


@dataclass(frozen=True)
class StageTimes:
    """A stage's times by one clock, milliseconds.

    Attributes:
        group: number of the input shapes.
        stage: h2d, compute, d2h, total.
        clock: host, dev, interface, as mm_run names them.
        latencies: of the requests with these shapes.
    """

    group: int
    stage: str
    clock: str
    latencies: Latencies


def stage_table(rows: Sequence[StageTimes]) -> Table:
    """Return one group's times as a table that fits 100 columns, a column for each stage.

    Under each figure stands its interval, under a percentile's name how many samples are lacking.
    How long the calls took that launch the computing is left out.
    """
    shown = [row for row in rows if row.clock != "interface"]
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, collapse_padding=True)
    table.add_column("ms", no_wrap=True)
    for row in shown:
        clock = f"\n{CLOCKS[row.clock]}" if CLOCKS[row.clock] else ""
        table.add_column(STAGES[row.stage] + clock, justify="right", no_wrap=True)
    table.add_row("mean", *(Text(figure(row.latencies.mean)) for row in shown))
    percentiles = zip(*(row.latencies.percentiles for row in shown), strict=True)
    for of_stages in percentiles:
        one = of_stages[0]
        name = one.name if one.enough else f"{one.name}\n{one.samples} of {one.needed}"
        table.add_row(name, *(Text(_percentile(one)) for one in of_stages))
    table.add_row("greatest", *(Text(figure(row.latencies.greatest)) for row in shown))
    return table


def shortages(latencies: Latencies) -> list[str]:
    """Return which percentiles have too few samples by MLPerf's rule."""
    return [f"{one.name}: {one.shortage}" for one in latencies.percentiles if one.shortage]


def interval_text(one: Percentile) -> str:
    """Return a percentile's interval; an end that so few samples do not give is a dash."""
    if one.low is None and one.high is None:
        return NONE
    low, high = (NONE if end is None else figure(end) for end in (one.low, one.high))
    return f"{low} to {high}"


def _percentile(one: Percentile) -> str:
    return f"{figure(one.value)}\n{interval_text(one)}"
