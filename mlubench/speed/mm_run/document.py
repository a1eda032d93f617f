"""What mlubench run measured, as JSON, with notes beside the figures; of scenarios too."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from mlubench.devices.host_load import Machine
from mlubench.metrics.early_stopping import needed_queries, table_queries
from mlubench.metrics.latency import Latencies, Percentile
from mlubench.speed.measure.session import WarmedUp
from mlubench.speed.mm_run.report import run_report, stage_times
from mlubench.speed.mm_run.run import Bed, ModelRun
from mlubench.speed.mm_run.scenarios import ScenarioRun
from mlubench.speed.mm_run.stages import STAGES, StageTimes, shortages
from mlubench.speed.mm_run.tool.native import NativeRun
from mlubench.speed.mm_run.tool.results import Report, Spread, Stage

#: Of the JSON's form; fields are added, not changed.
VERSION = 1
_CLOCKS = ("host", "dev", "interface")


def run_document(run: ModelRun, files: Mapping[str, Path]) -> dict[str, Any]:
    """Return a run as JSON values; times are milliseconds where their names do not say seconds."""
    report = run_report(run)
    return {
        **_document("mlubench", report, stage_times(run)),
        **bed_document(run.bed),
        "warmup": {"seconds": run.warmed.seconds, "steady": run.warmed.steady},
        "machine": machine_document(run.found.machine),
        "memory_kib": run.found.memory_kib,
        "process_threads": run.found.threads,
        "cards": {name: asdict(use) for name, use in run.use.items()},
        "files": {name: str(path) for name, path in files.items()},
        "notes": notes(run),
    }


def native_document(run: NativeRun) -> dict[str, Any]:
    """Return a run of the vendor's tool as JSON values, of the same form as far as it tells."""
    times = native_times(run.report)
    return {
        **_document("mm_run", run.report, times),
        "command": list(run.command),
        "log": str(run.log),
    }


def _document(tool: str, report: Report, times: Sequence[StageTimes]) -> dict[str, Any]:
    performance = report.performance
    return {
        "schema_version": VERSION,
        "measured_by": tool,
        "parameters": {one.name: one.value for one in report.parameters},
        "throughput": performance.qps,
        "iterations": performance.iterations,
        "iterations_per_second": performance.iterations_per_second,
        "images": performance.total_batch,
        "wall_seconds": performance.wall_seconds,
        "compute_seconds": {
            "host": performance.compute_seconds_host,
            "dev": performance.compute_seconds_dev,
        },
        "shapes": [
            {name: list(dims) for name, dims in group.shapes} for group in performance.groups
        ],
        "stages": [
            {
                "group": one.group,
                "stage": one.stage,
                "clock": one.clock,
                **latencies_document(one.latencies),
            }
            for one in times
        ],
        "averages": None if performance.averages is None else asdict(performance.averages),
    }


def latencies_document(latencies: Latencies) -> dict[str, Any]:
    """Return latencies as JSON values."""
    return {
        "samples": latencies.samples,
        "min": latencies.least,
        "max": latencies.greatest,
        "mean": latencies.mean,
        "percentiles": [
            {
                "name": one.name,
                "percentile": one.percentile,
                "value": one.value,
                "low": one.low,
                "high": one.high,
                "enough": one.enough,
                "needed": one.needed,
                "early_stopping_estimate": one.estimate,
                "shortage": one.shortage,
            }
            for one in latencies.percentiles
        ],
    }


def bed_document(bed: Bed) -> dict[str, Any]:
    """Return on what was measured as JSON values."""
    spec = bed.model.spec
    return {
        "model": {
            "name": bed.model.name,
            "path": str(bed.model.path),
            "precision": spec.precision,
            "executed_precision": bed.prepared.executed_precision,
            "dynamic_shape": spec.dynamic_shape,
            "speed_only": bed.model.speed_only,
        },
        "engine": {"name": bed.engine, "version": bed.engine_version},
        "devices": [{"name": name, "description": text} for name, text in bed.devices.items()],
    }


def machine_document(machine: Machine) -> dict[str, Any]:
    """Return what the host did as JSON values."""
    return {**asdict(machine), "disturbed": machine.disturbed}


def native_times(report: Report) -> list[StageTimes]:
    """Return the stages' times of mm_run's report; it tells no interval."""
    groups = report.performance.groups
    each = report.performance.iterations // max(1, len(groups))
    return [
        StageTimes(group.index, name, clock, _latencies(spread, each))
        for group in groups
        for name in STAGES
        for clock in _CLOCKS
        if (spread := _spread_of(getattr(group, name), clock)) is not None
    ]


def _spread_of(stage: Stage, clock: str) -> Spread | None:
    spread: Spread | None = getattr(stage, clock)
    return spread


def _latencies(spread: Spread, samples: int) -> Latencies:
    values = {0.5: spread.median, 0.9: spread.p90, 0.95: spread.p95, 0.99: spread.p99}
    return Latencies(
        samples=samples,
        least=spread.least,
        greatest=spread.greatest,
        mean=spread.mean,
        percentiles=tuple(
            Percentile(
                percentile=percentile,
                value=value,
                low=None,
                high=None,
                samples=samples,
                needed=needed_queries(1, percentile),
                estimate=None,
                table=table_queries(percentile),
            )
            for percentile, value in values.items()
            if value is not None
        ),
    )


def notes(run: ModelRun) -> list[str]:
    """Return what may have disturbed the figures, and what they do not bear out."""
    times = [one for one in stage_times(run) if (one.stage, one.clock) == ("total", "host")]
    lacking = [
        f"input shape group {one.group}, {text}" if len(times) > 1 else text
        for one in times
        for text in shortages(one.latencies)
    ]
    return [*disturbances(run.bed, run.warmed, run.found.machine), *lacking]


def disturbances(bed: Bed, warmed: WarmedUp, machine: Machine) -> list[str]:
    """Return what may have disturbed the figures.

    Args:
        bed: what was measured.
        warmed: the warm-up.
        machine: what the host did meanwhile.
    """
    found = []
    if bed.model.speed_only:
        found.append("made-up ranges: this network measures speed, its answers mean nothing")
    if machine.disturbed:
        found.append(
            f"the machine was disturbed: other processes had {100 * machine.others:.0f} % of its "
            f"{machine.cores} cores; measure again when it is quiet"
        )
    if not warmed.steady and bed.asked.warmup:
        found.append(
            f"the warm-up did not get steady in {warmed.seconds:.1f} s; the figures may still be "
            "moving"
        )
    return found


def scenario_document(run: ScenarioRun, files: Mapping[str, Path]) -> dict[str, Any]:
    """Return a scenario as JSON values; times are milliseconds where names do not say seconds."""
    result = run.result
    return {
        "schema_version": VERSION,
        "measured_by": "mlubench",
        "scenario": result.scenario,
        "samples_per_query": result.samples_per_query,
        "batch_size": result.batch_size,
        "in_flight": result.in_flight,
        "queries": result.queries,
        "seconds": result.seconds,
        "throughput": result.throughput,
        "percentile": result.percentile,
        "latency": None if result.latencies is None else latencies_document(result.latencies),
        "latency_bound": result.bound,
        "bound_held": result.held,
        "arrivals_per_second": result.rate,
        "search": None if result.search is None else asdict(result.search),
        **bed_document(run.bed),
        "warmup": {"seconds": run.warmed.seconds, "steady": run.warmed.steady},
        "machine": machine_document(run.machine),
        "files": {name: str(path) for name, path in files.items()},
        "notes": scenario_notes(run),
    }


def scenario_notes(run: ScenarioRun) -> list[str]:
    """Return what may have disturbed the figures, and what they do not bear out."""
    found = disturbances(run.bed, run.warmed, run.machine)
    if run.queries.gave_up:
        found.append(
            f"given up after {run.result.queries} queries: too many were late for the bound to hold"
        )
    if run.result.latencies is not None:
        found += shortages(run.result.latencies)
    return found
