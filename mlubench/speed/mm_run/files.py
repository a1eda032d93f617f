"""The files that mlubench run writes where its options name them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from mlubench.runs.parquet import write_parquet
from mlubench.speed.benchmark.rounds import round_figures
from mlubench.speed.benchmark.throughput import (
    Configuration,
    Measured,
    latencies_table,
    throughput_rows,
    throughput_table,
)
from mlubench.speed.measure.requests import MOMENTS, Measurement
from mlubench.speed.mm_run.run import ModelRun
from mlubench.speed.mm_run.tool.trace import Phase, Span, chrome_trace
from mlubench.speed.profile.files import write_layers
from mlubench.store import write_atomic

#: The phases of a request and the moments between which they lie.
_PHASES: tuple[tuple[Phase, str, str], ...] = (
    ("copy in", "begin", "copied"),
    ("compute", "copied", "done"),
    ("copy out", "fetched", "end"),
)


def write_files(run: ModelRun) -> dict[str, Path]:
    """Write the files that the options name; return them by option.

    Raises:
        StoreError: one cannot be written.
    """
    asked = run.bed.asked
    written = {
        name: folder
        for name in ("output_path", "debug_path")
        if (folder := getattr(asked, name)) is not None
    }
    if asked.trace_path is not None:
        written["trace_path"] = asked.trace_path / "trace.json"
        write_atomic(written["trace_path"], trace_text(run).encode())
    if asked.perf_path is not None and run.layers is not None:
        write_layers(asked.perf_path, run.layers)
        written["perf_path"] = asked.perf_path
    if asked.out is not None:
        _write_tables(asked.out, run)
        written["out"] = asked.out
    return written


def trace_text(run: ModelRun) -> str:
    """Return the run as a Chrome trace."""
    bed = run.bed
    facts = {
        "network": bed.model.name,
        "precision": bed.model.spec.precision,
        "executed_precision": bed.prepared.executed_precision,
        "engine": f"{bed.engine} {bed.engine_version}",
        "shapes": json.dumps([list(map(list, group)) for group in run.load.shapes]),
    }
    return chrome_trace(_spans(run.found, tuple(bed.devices), copied=run.load.copy), facts)


def _spans(found: Measurement, devices: tuple[str, ...], *, copied: bool) -> Iterator[Span]:
    tracks = lanes_of(found)
    starts = {name: found.moments[:, place] for place, name in enumerate(MOMENTS)}
    for phase, first, last in _PHASES:
        if phase != "compute" and not copied:
            continue
        seconds = found.stage(first, last)
        for request in range(len(tracks)):
            yield Span(
                device=devices[found.device[request]],
                stream=int(tracks[request]),
                request=request,
                phase=phase,
                start=float(starts[first][request]),
                seconds=float(seconds[request]),
            )


def lanes_of(found: Measurement) -> np.ndarray:
    """Return a track for each request, int32 [requests]: on one of them none overlaps another.

    Requests in flight of a thread overlap; the first track that is free when one begins is its.
    Tracks are numbered from 0 on each device.
    """
    tracks = np.zeros(len(found.group), np.int32)
    first = 0
    last_device = -1
    threads = sorted(set(zip(found.device.tolist(), found.thread.tolist(), strict=True)))
    for device, thread in threads:
        first = 0 if device != last_device else first
        last_device = device
        (places,) = np.nonzero((found.device == device) & (found.thread == thread))
        ends: list[float] = []
        for place in places[np.argsort(found.moments[places, 0], kind="stable")]:
            begin, end = found.moments[place, 0], found.moments[place, -1]
            free = next((i for i, until in enumerate(ends) if until <= begin), len(ends))
            ends[free : free + 1] = [end]
            tracks[place] = first + free
        first += len(ends)
    return tracks


def _write_tables(folder: Path, run: ModelRun) -> None:
    """Write throughput.parquet and latencies.parquet, as a benchmark of one round."""
    bed = run.bed
    spec = bed.model.spec
    configuration = Configuration(
        precision=spec.precision,
        batch_size=run.found.samples[0],
        dynamic_shape=spec.dynamic_shape,
        devices=tuple(bed.devices),
        threads=run.load.threads,
        infer_depth=run.load.infer_depth,
    )
    labels = dict(zip(run.found.devices, bed.devices, strict=True))
    figures = round_figures(labels.__getitem__, run.found, run.warmed)
    measured = Measured(
        configuration, bed.prepared.executed_precision, [figures], bed.model.speed_only
    )
    rows = throughput_rows(
        [measured], model=bed.model.name, engine=bed.engine, engine_version=bed.engine_version
    )
    write_parquet(folder / "throughput.parquet", throughput_table(rows))
    write_parquet(folder / "latencies.parquet", latencies_table(rows))
