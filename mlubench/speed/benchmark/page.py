"""report.html and plot.png of a benchmark, from the other files in its folder and the history."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from mlubench.errors import StoreError
from mlubench.metrics.figures import NONE, figure
from mlubench.metrics.verdict import Verdict, worst
from mlubench.presentation.history_plots import history_picture
from mlubench.presentation.page import page_environment
from mlubench.presentation.pictures import Picture
from mlubench.presentation.text import verdict_text
from mlubench.runs.baselines import judgement_of
from mlubench.runs.bench_record import BenchRecord
from mlubench.runs.history import THROUGHPUT_SERIES, Series, find_series, throughput_until
from mlubench.runs.parquet import read_parquet
from mlubench.runs.schemas import THROUGHPUT
from mlubench.runs.verdict import GateRecord, worst_first
from mlubench.speed.benchmark.plots import (
    Row,
    bench_plots,
    colour_of,
    configuration_names,
    precision_order,
    scaling_rows,
    throughput_png,
)
from mlubench.speed.benchmark.throughput import speed_notes
from mlubench.speed.measure.tuning_table import tuning_rows
from mlubench.store import write_atomic

_PERCENTILES = (("p50", "p50"), ("p90", "p90"), ("p95", "p95"), ("p99", "p99"), ("p999", "p99.9"))
_KIB = 1024


@dataclass(frozen=True)
class Bounded:
    """A figure and its interval as text; what is lacking for one, or nothing, in its place."""

    value: str
    interval: str


def render_bench(
    run: BenchRecord,
    rows: Sequence[Row],
    *,
    gates: Sequence[GateRecord],
    baseline: str,
    history: Sequence[Series],
    history_fault: str = "",
) -> str:
    """Return the page: HTML, style and pictures in one, no script, nothing fetched.

    All names are escaped; the same arguments give the same page.

    Args:
        run: the run's record.
        rows: of throughput.parquet.
        gates: what it was judged by; none where it was not judged.
        baseline: the run that it was judged by.
        history: the throughput of its configurations over the runs, it the last one.
        history_fault: why there is none.
    """
    verdict = worst(gate.verdict for gate in gates)
    names = configuration_names(rows)
    throughput, *others = bench_plots(rows)
    return (
        page_environment()
        .get_template("bench.html")
        .render(
            run=run,
            rows=rows,
            verdict=verdict,
            verdict_text=verdict_text,
            bad=worst_first([gate for gate in gates if gate.verdict != Verdict.PASS]),
            good=[gate for gate in gates if gate.verdict == Verdict.PASS],
            baseline=baseline,
            notes=speed_notes(rows),
            all_disturbed=all(row["disturbed"] for row in rows),
            speeds=[_speed_cells(row) for row in rows],
            latencies=[(name, _latency_cells(row)) for name, row in zip(names, rows, strict=True)],
            percentiles=[name for _, name in _PERCENTILES],
            scaling=_scaling_cells(rows),
            machine=[(name, _machine_cells(row)) for name, row in zip(names, rows, strict=True)],
            throughput_plot=throughput,
            plots=others,
            history_plot=_history_plot(history),
            history_fault=history_fault,
            changes=_changes(history),
            parameters=json.dumps(run.parameters, indent=2, sort_keys=True, ensure_ascii=False),
            provenance=_provenance(run),
            tuned=tuning_rows(run.tuning),
        )
    )


def _speed_cells(row: Row) -> dict[str, Any]:
    bounded = _bounded(row["throughput"], row["throughput_low"], row["throughput_high"])
    speedup = None
    if row["speedup"] is not None:
        low, high = row["speedup_low"], row["speedup_high"]
        known = low is not None and high is not None
        interval = f"{low:.2f} to {high:.2f}" if known else NONE
        speedup = Bounded(f"{row['speedup']:.2f}", interval)
    return {
        "precision": row["precision"],
        "executed": row["executed_precision"],
        "batch": row["batch_size"],
        "shape": "dynamic" if row["dynamic_shape"] else "",
        "devices": len(row["devices"]),
        "throughput": bounded,
        "speedup": speedup,
        "disturbed": row["disturbed"],
        "speed_only": row["speed_only"],
    }


def _latency_cells(row: Row) -> list[Bounded]:
    cells = []
    for column, _ in _PERCENTILES:
        value = row[f"{column}_ms"]
        if row["requests"] < row[f"{column}_needed"]:
            lacking = f"{row['requests']} of {row[f'{column}_needed']}"
            cells.append(Bounded(figure(value), lacking))
        else:
            cells.append(_bounded(value, row[f"{column}_low_ms"], row[f"{column}_high_ms"]))
    return cells


def _bounded(value: float, low: float | None, high: float | None) -> Bounded:
    interval = NONE if low is None or high is None else f"{figure(low)} to {figure(high)}"
    return Bounded(figure(value), interval)


def _scaling_cells(rows: Sequence[Row]) -> list[dict[str, str]]:
    """Return throughput by number of devices against the least number of the same work."""
    first: dict[str, Row] = {}
    cells = []
    for row in scaling_rows(rows):
        alone = first.setdefault(row["precision"], row)
        times = row["throughput"] / alone["throughput"]
        perfect = len(row["devices"]) / len(alone["devices"])
        cells.append(
            {
                "precision": row["precision"],
                "devices": str(len(row["devices"])),
                "throughput": figure(row["throughput"]),
                "times": f"{times:.2f}",
                "efficiency": f"{100 * times / perfect:.0f} %",
            }
        )
    return cells


def _machine_cells(row: Row) -> dict[str, str]:
    clock = row["clock_mhz"]
    return {
        "others": f"{100 * row['others']:.1f} %",
        "load": f"{row['load']:.2f}",
        "clock": NONE if clock is None else f"{clock:.0f}",
        "cores": f"{row['cpu_seconds'] / row['seconds']:.2f}" if row["seconds"] else NONE,
        "memory": f"{row['memory_kib'] / _KIB:.0f}",
        "threads": str(row["process_threads"]),
        "requests": str(row["requests"]),
        "warmup": f"{row['warmup_seconds']:.1f}" + ("" if row["steady"] else ", not steady"),
    }


def _changes(history: Sequence[Series]) -> list[tuple[str, str]]:
    """Return the steps of each configuration in words."""
    names = configuration_names([series.key for series in history])
    return [
        (name, step.throughput_text)
        for name, series in zip(names, history, strict=True)
        for step in series.steps
    ]


def _history_plot(history: Sequence[Series]) -> Picture | None:
    """Return the lines of all configurations; None where there is but one run."""
    shown = [series for series in history if len(series.points) > 1]
    if not shown:
        return None
    shown.sort(key=lambda series: precision_order(series.key["precision"]))
    names = configuration_names([series.key for series in shown])
    groups: dict[str, list[Series]] = {}
    for series, name in zip(shown, names, strict=True):
        groups.setdefault(name.partition(", ")[2], []).append(series)

    def look(series: Series) -> tuple[str, str]:
        precision = series.key["precision"]
        return precision, colour_of(precision)

    return history_picture("Throughput over the runs, images per second", groups, look)


def _provenance(run: BenchRecord) -> list[tuple[str, str]]:
    facts: Mapping[str, str] = run.engine_facts
    return [
        ("run", run.run_id),
        ("created", run.created_utc.isoformat(sep=" ", timespec="seconds")),
        ("host", run.host),
        ("engine", f"{run.engine} {run.engine_version}"),
        ("prototxt, SHA-256", run.model.prototxt_sha256),
        ("weights, SHA-256", run.model.weights_sha256),
        *((f"engine's {name}", fact) for name, fact in sorted(facts.items()) if name != "version"),
    ]


def write_bench_page(folder: Path) -> Path:
    """Render report.html and plot.png from the files of a benchmark's folder; return the page.

    The verdict that was said of the run and the runs before it lie beside it, in ``history`` of
    the folder of runs and caches. The same files give the same bytes.

    Raises:
        StoreError: a file of the folder cannot be read, or the page not be written.
    """
    record = BenchRecord.read(folder / "run.json")
    table = read_parquet(folder / "throughput.parquet", THROUGHPUT)
    judged = judgement_of(folder)
    history, fault = _history(folder, record, table)
    page = render_bench(
        record,
        table.to_pylist(),
        gates=judged.gates if judged else (),
        baseline=judged.baseline if judged else "",
        history=history,
        history_fault=fault,
    )
    path = folder / "report.html"
    write_atomic(folder / "plot.png", throughput_png(table.to_pylist()))
    write_atomic(path, page.encode("utf-8"))
    return path


def _history(folder: Path, record: BenchRecord, table: pa.Table) -> tuple[list[Series], str]:
    """Return the throughput of the run's configurations up to it, and why there is nothing."""
    try:
        rows = throughput_until(folder.resolve().parent.parent / "history", record, table)
    except StoreError as error:
        return [], str(error)  # a damaged file of another run is no reason to lose this page
    series = find_series(rows, THROUGHPUT_SERIES, "throughput")
    return [one for one in series if one.points[-1].run_id == record.run_id], ""
