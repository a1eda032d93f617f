"""A run as mm_run reports it: the same figures under the same names."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mlubench.engines.measuring import TensorInfo
from mlubench.metrics.latency import Latencies, summarise
from mlubench.speed.measure.requests import MOMENTS
from mlubench.speed.mm_run.run import Bed, ModelRun
from mlubench.speed.mm_run.stages import StageTimes
from mlubench.speed.mm_run.tool.results import (
    Average,
    Averages,
    Device,
    Meter,
    Model,
    Performance,
    Report,
    ShapeGroup,
    Spread,
    Stage,
    Tensor,
    Versions,
)

_MS = 1e3
#: MagicMind's names of NumPy's types.
_TYPES = {"float32": "FLOAT", "float16": "HALF"}
#: The clocks that each --trace_time reads.
_CLOCKS = {
    "none": (),
    "host": ("host", "interface"),
    "dev": ("dev",),
    "both": ("host", "dev", "interface"),
}


def stage_times(run: ModelRun) -> list[StageTimes]:
    """Return how long each stage took, per group of shapes, by each clock that was asked for."""
    clocks = _CLOCKS[run.bed.asked.trace_time]
    found = run.found
    arrays = {
        ("h2d", "host"): found.copy_in,
        ("compute", "host"): found.compute,
        ("compute", "dev"): found.device_seconds,
        ("compute", "interface"): found.stage("copied", "launched"),
        ("d2h", "host"): found.copy_out,
        ("total", "host"): found.latencies,
    }
    if not run.load.copy:
        arrays = {key: array for key, array in arrays.items() if key[0] == "compute"}
    return [
        StageTimes(index, stage, clock, summarise(_MS * array[found.group == index]))
        for index in sorted(set(found.group.tolist()))
        for (stage, clock), array in arrays.items()
        if clock in clocks and np.isfinite(array).all()
    ]


def run_report(run: ModelRun) -> Report:
    """Return a run as mm_run's report."""
    bed, found = run.bed, run.found
    return Report(
        generation="new",
        parameters=bed.asked.parameters(),
        versions=_versions(bed),
        model=_model(bed),
        devices=tuple(_device(bed, place, name) for place, name in enumerate(bed.devices)),
        timings=run.timings,
        host=_host(run),
        performance=Performance(
            iterations=len(found.group),
            wall_seconds=found.wall_seconds,
            qps=found.throughput,
            compute_seconds_host=_total(run, "host", found.compute),
            compute_seconds_dev=_total(run, "dev", found.device_seconds),
            total_batch=found.images,
            iterations_per_second=len(found.group) / found.wall_seconds,
            groups=_groups(run),
            averages=_averages(run),
        ),
    )


def _total(run: ModelRun, clock: str, seconds: NDArray[np.float64]) -> float | None:
    """Sum over all requests, which overlap; None where the clock was not asked for."""
    told = clock in _CLOCKS[run.bed.asked.trace_time] and np.isfinite(seconds).all()
    return float(seconds.sum()) if told else None


def _groups(run: ModelRun) -> tuple[ShapeGroup, ...]:
    times = stage_times(run)

    def stage(index: int, name: str) -> Stage:
        of_stage = [one for one in times if (one.group, one.stage) == (index, name)]
        return Stage(**{one.clock: spread(one.latencies) for one in of_stage})

    return tuple(
        ShapeGroup(
            index,
            shapes,
            h2d=stage(index, "h2d"),
            compute=stage(index, "compute"),
            d2h=stage(index, "d2h"),
            total=stage(index, "total"),
        )
        for index, shapes in enumerate(run.groups)
        if any(one.group == index for one in times)
    )


def spread(latencies: Latencies) -> Spread:
    """Return a summary as mm_run has it."""
    by_name = {one.name: one.value for one in latencies.percentiles}
    return Spread(
        least=latencies.least,
        greatest=latencies.greatest,
        mean=latencies.mean,
        median=by_name["p50"],
        p90=by_name["p90"],
        p95=by_name["p95"],
        p99=by_name["p99"],
    )


def _averages(run: ModelRun) -> Averages | None:
    """Average the compute time of so many requests each, in the order of their ends."""
    runs, most = run.bed.asked.avg_runs
    clocks = _CLOCKS[run.bed.asked.trace_time]
    found = run.found
    count = min(len(found.group) // runs, most)
    if not clocks or not count:
        return None
    order = np.argsort(found.moments[:, MOMENTS.index("done")], kind="stable")
    arrays = {
        "host": found.compute,
        "dev": found.device_seconds,
        "interface": found.stage("copied", "launched"),
    }
    means = {
        clock: _MS * arrays[clock][order][: count * runs].reshape(count, runs).mean(axis=1)
        for clock in clocks
        if np.isfinite(arrays[clock]).all()
    }
    rows = tuple(
        Average(**{clock: float(values[place]) for clock, values in means.items()})
        for place in range(count)
    )
    threads = run.load.threads * len(found.devices)
    return Averages(runs, runs // threads, rows) if means else None


def _versions(bed: Bed) -> Versions:
    version = re.fullmatch(r"\d+", bed.engine_version)
    return Versions(
        magicmind=int(version[0]) if version and bed.model.engine == "magicmind" else None,
        pid=bed.prepared.processes[0],
    )


def _model(bed: Bed) -> Model:
    return Model(
        size=_size(bed.model.path),
        inputs=_tensors(bed.prepared.inputs),
        outputs=_tensors(bed.prepared.outputs),
    )


def _size(path: Path) -> int:
    files: Sequence[Path] = [path] if path.is_file() else sorted(path.iterdir())
    return sum(file.stat().st_size for file in files)


def _tensors(infos: Iterable[TensorInfo]) -> tuple[Tensor, ...]:
    return tuple(
        Tensor(one.name, one.dims, _TYPES.get(one.dtype, one.dtype.upper())) for one in infos
    )


def _device(bed: Bed, place: int, name: str) -> Device:
    number = re.search(r":(\d+)", name)
    return Device(
        number=int(number[1]) if number else place,
        facts=(
            ("Device Name", name),
            ("Device Description", bed.devices[name]),
            ("Engine", f"{bed.engine} {bed.engine_version}"),
            ("Executed Precision", bed.prepared.executed_precision),
        ),
    )


def _host(run: ModelRun) -> tuple[Meter, ...]:
    machine = run.found.machine
    occupancy = 100 * machine.cpu_seconds / (machine.seconds * machine.cores)
    return (
        Meter("Occupancy(%)", _one(occupancy)),
        Meter("Occupancy of others(%)", _one(100 * machine.others)),
        Meter("Memory(MB)", _one(run.found.memory_kib / 1024)),
        Meter("Threads", _one(run.found.threads)),
    )


def _one(value: float) -> Spread:
    """Return the distribution of what was looked at once."""
    return Spread(value, value, value, value)
