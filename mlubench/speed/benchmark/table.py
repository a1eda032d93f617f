"""How fast each configuration is, as tables: for the terminal, Prefect's UI, the seed's users."""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.table import Table
from rich.text import Text

from mlubench.devices.names import grouped
from mlubench.metrics.figures import NONE, figure
from mlubench.metrics.latency import Percentile
from mlubench.metrics.speed import SpeedChange
from mlubench.runs.bench_record import BenchRecord
from mlubench.speed.benchmark.throughput import ThroughputRow

_HEADINGS = (
    "precision\nruns as",
    "batch",
    "images/s\n95 % interval",
    "speed-up\n95 % interval",
    "p50, ms\n95 % interval",
    "p99, ms\n95 % interval",
)


def render_throughput(rows: Sequence[ThroughputRow]) -> Table:
    """Return the rows as a table for the terminal, 100 columns wide at most."""
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, collapse_padding=True)
    names, *figures = _HEADINGS
    table.add_column(names, overflow="fold")
    for heading in figures:
        table.add_column(heading, justify="right", no_wrap=True)
    before = None
    for row in rows:
        devices = row.configuration.devices
        if before is not None and devices != before:
            table.add_section()
        before = devices
        table.add_row(*map(Text, _cells(row)))
    return table


def throughput_cells(rows: Sequence[ThroughputRow]) -> list[dict[str, str]]:
    """Return the rows as cells by heading, for Prefect's table artifact."""
    return [
        {
            "precision": row.configuration.precision,
            "runs as": row.executed_precision,
            "batch": _batch(row).replace("\n", ", "),
            "devices": " ".join(row.configuration.devices),
            "images/s": _bounded(row.throughput, *row.interval),
            "speed-up over force_float32": _speedup(row.speedup).replace("\n", " (")
            + (")" if row.speedup else ""),
            **{f"{one.name}, ms": _percentile(one) for one in row.latencies.percentiles},
        }
        for row in rows
    ]


def seed_table(rows: Sequence[ThroughputRow], card: str) -> str:
    """Return the table of the MagicMind samples' READMEs, in Markdown.

    Args:
        rows: of a benchmark.
        card: what ran it, in a few words.
    """
    lines = [
        "| Model | Quant_Mode | Batch_Size | Throughput (qps) | MLU 板卡类型 |",
        "| ----- | ---------- | ---------- | ---------------- | ------------ |",
        *(
            f"| {row.model} | {row.configuration.precision} | {row.configuration.batch_size} "
            f"| {row.throughput:g} | {card} |"
            for row in rows
        ),
    ]
    return "\n".join(lines) + "\n"


def bench_summary(run: BenchRecord) -> list[str]:
    """Return what a benchmark was, in a few lines."""
    stages = ", ".join(f"{stage} {seconds:.1f} s" for stage, seconds in run.seconds.items())
    return [
        f"run:     {run.run_id}",
        f"model:   {run.model.name}",
        f"engine:  {run.engine} {run.engine_version} on {'; '.join(grouped(run.devices))}",
        f"time:    {stages}",
    ]


def _cells(row: ThroughputRow) -> list[str]:
    low, high = row.interval
    interval = NONE if low is None or high is None else f"{figure(low)} to {figure(high)}"
    by_name = {one.name: one for one in row.latencies.percentiles}
    return [
        f"{row.configuration.precision}\n  {row.executed_precision}",
        _batch(row),
        f"{figure(row.throughput)}\n{interval}",
        _speedup(row.speedup),
        *(_percentile(by_name[name]) for name in ("p50", "p99")),
    ]


def _batch(row: ThroughputRow) -> str:
    shape = "\ndynamic" if row.configuration.dynamic_shape else ""
    devices = row.configuration.devices
    return f"{row.configuration.batch_size}{shape}" + (
        f"\n{len(devices)} devices" if len(devices) > 1 else ""
    )


def _speedup(speedup: SpeedChange | None) -> str:
    if speedup is None:
        return NONE
    bounds = NONE if speedup.low == 0 else f"{speedup.low:.2f} to {speedup.high:.2f}"
    return f"{speedup.ratio:.2f}\n{bounds}"


def _percentile(one: Percentile) -> str:
    """Return a percentile and its interval, or how many samples are lacking."""
    if not one.enough:
        return f"{figure(one.value)}\n{one.samples} of {one.needed}"
    if one.low is None or one.high is None:
        return figure(one.value)
    return f"{figure(one.value)}\n{figure(one.low)} to {figure(one.high)}"


def _bounded(value: float, low: float | None, high: float | None) -> str:
    bounds = "" if low is None or high is None else f" ({figure(low)} to {figure(high)})"
    return figure(value) + bounds
