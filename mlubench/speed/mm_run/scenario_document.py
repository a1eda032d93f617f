"""A scenario as JSON, and what is to be said of it beside its figures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from mlubench.speed.mm_run.document import (
    VERSION,
    bed_document,
    disturbances,
    latencies_document,
    machine_document,
)
from mlubench.speed.mm_run.scenarios import ScenarioRun
from mlubench.speed.mm_run.stages import shortages


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
