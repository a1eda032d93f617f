"""Measure networks, write the benchmark's folder and show it in Prefect's UI."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from prefect import task
from prefect.artifacts import (
    create_markdown_artifact,
    create_table_artifact,
)
from prefect.cache_policies import NO_CACHE

from mlubench.networks.compile import Compiled
from mlubench.runs.record import TuningRecord
from mlubench.speed.benchmark import results, rounds
from mlubench.speed.benchmark.options import BenchParameters
from mlubench.speed.benchmark.results import Benchmark, BenchOutcome
from mlubench.speed.benchmark.rounds import Variant
from mlubench.speed.benchmark.table import bench_summary, seed_table, throughput_cells
from mlubench.speed.benchmark.throughput import Measured
from mlubench.speed.measure.session import Measuring
from mlubench.store import Store
from tasks.pages import link_page
from tasks.progress import step_progress


@task(task_run_name="tune", cache_policy=NO_CACHE)
def tune_configurations(
    measuring: Measuring,
    asked: BenchParameters,
    compiled: Mapping[Variant, Compiled],
    store: Store,
) -> dict[str, TuningRecord]:
    """Search how all devices are best kept busy."""
    with step_progress("tune", "tune") as progress:
        return rounds.tune_configurations(measuring, asked, compiled, store, progress)


@task(task_run_name="measure", cache_policy=NO_CACHE)
def measure_rounds(
    measuring: Measuring,
    asked: BenchParameters,
    compiled: Mapping[Variant, Compiled],
    tuning: Mapping[str, TuningRecord],
) -> list[Measured]:
    """Measure every configuration in interleaved rounds."""
    with step_progress("measure", "measure") as progress:
        return rounds.measure_rounds(measuring, asked, compiled, tuning, progress)


@task(task_run_name="write", cache_policy=NO_CACHE)
def write_benchmark(measured: Benchmark, runs: Path) -> BenchOutcome:
    """Write the run folder."""
    return results.write_benchmark(measured, runs)


@task(task_run_name="publish", cache_policy=NO_CACHE)
def publish_benchmark(written: BenchOutcome) -> None:
    """Show the table, a summary, the plot and a link to the page in Prefect's UI."""
    create_table_artifact(
        key="throughput",
        table=throughput_cells(written.rows),
        description=f"Throughput and latency per configuration, run {written.record.run_id}",
    )
    lines = "\n".join(f"- {line}" for line in [*bench_summary(written.record), *written.notes()])
    create_markdown_artifact(
        key="benchmark",
        markdown=f"{lines}\n\n{seed_table(written.rows, written.card)}",
        description=f"How run {written.record.run_id} ended",
    )
    link_page(written.folder, "benchmark-report", "throughput-plot", "Throughput per configuration")
