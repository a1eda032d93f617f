"""Benchmarks and nights as files, for tests of their pages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from mlubench.metrics.verdict import Verdict
from mlubench.nightly.record import (
    Explained,
    ExplainedClass,
    ExplainedImage,
    ExplainedLayer,
    NightlyRecord,
    RunEnding,
)
from mlubench.runs.bench_record import BenchRecord
from mlubench.runs.history import append_throughput
from mlubench.runs.parquet import write_parquet
from mlubench.runs.record import ModelRecord
from mlubench.runs.verdict import GateRecord
from mlubench.speed.benchmark.throughput import (
    Configuration,
    Measured,
    RequestTimes,
    RoundFigures,
    latencies_table,
    throughput_rows,
    throughput_table,
)

START = datetime(2026, 11, 1, 2, tzinfo=UTC)
HOSTILE = "<script>alert(1)</script>\"'&"
INT8 = "qint8_mixed_float16"
#: Images per second of one device at batch 1.
RATES = {"force_float32": 100.0, "force_float16": 190.0, INT8: 360.0}
ROUNDS, REQUESTS = 8, 90


def write_bench(
    out: Path,
    night: int,
    *,
    rates: Mapping[str, float] = RATES,
    batches: Sequence[int] = (1, 8),
    devices: Sequence[Sequence[str]] = (("cpu:0",),),
    disturbed: bool = False,
    name: str = "tiny",
) -> Path:
    """Write a benchmark's run folder and its rows of the history; return the folder.

    Args:
        out: folder of runs and caches.
        night: how many days after the first one it began.
        rates: per precision, images per second.
        batches: measured, each.
        devices: measured, each.
        disturbed: whether other processes had much of the host.
        name: of the network.
    """
    measured = [
        _measured(Configuration(precision, batch, False, tuple(names), 1, 2), rate, disturbed)
        for names in devices
        for precision, rate in rates.items()
        for batch in batches
    ]
    rows = throughput_rows(measured, model=name, engine="openvino", engine_version="1")
    created = START + timedelta(days=night)
    run_id = f"{created:%Y%m%d-%H%M%S}-tiny-bench"
    record = BenchRecord(
        run_id=run_id,
        created_utc=created,
        parameters={"precision": list(rates)},
        model=ModelRecord(name=name, prototxt_sha256="a" * 64, weights_sha256="b" * 64),
        engine="openvino",
        engine_version="1",
        engine_facts={"version": "1", "name": name},
        devices=["cpu:0: a processor"],
        host="a host",
        seconds={"compile": 2.0, "measure": 9.5},
        disturbed=disturbed,
    )
    folder = out / "runs" / run_id
    record.write(folder / "run.json")
    write_parquet(folder / "throughput.parquet", throughput_table(rows))
    write_parquet(folder / "latencies.parquet", latencies_table(rows))
    with append_throughput(out / "history", record, throughput_table(rows)):
        pass
    return folder


def _measured(configuration: Configuration, rate: float, disturbed: bool) -> Measured:
    # Larger batches and more devices are faster, less than in proportion.
    whole = rate * configuration.batch_size**0.2 * len(configuration.devices) ** 0.8
    seconds = configuration.batch_size / whole
    rounds = [_round(seconds, configuration.batch_size, one, disturbed) for one in range(ROUNDS)]
    return Measured(configuration, "float32", rounds)


def _round(seconds: float, batch: int, seed: int, disturbed: bool) -> RoundFigures:
    compute = seconds * np.random.default_rng(seed).gamma(60, 1 / 60, REQUESTS)
    return RoundFigures(
        requests=RequestTimes(
            device=["cpu:0"] * REQUESTS,
            thread=np.zeros(REQUESTS, np.int32),
            batch_size=np.full(REQUESTS, batch, np.int32),
            start=np.concatenate([[0], np.cumsum(compute)[:-1]]),
            copy_in=np.full(REQUESTS, seconds / 20),
            compute=compute,
            copy_out=np.full(REQUESTS, seconds / 100),
            device_seconds=np.full(REQUESTS, np.nan),
        ),
        seconds=float(compute.sum()),
        cpu_seconds=2.0,
        memory_kib=200_000,
        process_threads=4,
        clock_mhz=3200.0,
        load=0.5,
        others=0.2 if disturbed else 0.01,
        disturbed=disturbed,
        warmup_seconds=0.1,
        steady=True,
    )


def gate(verdict: Verdict, name: str = "accuracy-float32", subject: str = INT8) -> GateRecord:
    return GateRecord(name=name, subject=subject, verdict=verdict, reason=f"{name} says {verdict}")


def run_ending(name: str, verdict: Verdict, **more: Any) -> RunEnding:
    """Return how an evaluation of a nightly ended, with a gate that passed and one that decides."""
    status = {Verdict.FAIL: 1, Verdict.INCONCLUSIVE: 3}.get(verdict, 0)
    return RunEnding(
        **{
            "name": name,
            "kind": "evaluation",
            "verdict": verdict,
            "exit_status": status,
            "gates": (gate(Verdict.PASS, "images", "corrupt"), gate(verdict)),
            "run_id": f"20261101-020000-{name}",
            "report": f"runs/20261101-020000-{name}/report.html",
            "seconds": 12.0,
            "model": "tiny",
            "engine": "openvino",
            "precisions": tuple(RATES),
            **more,
        }
    )


EXPLAINED = Explained(
    precision=INT8,
    against="force_float32",
    images=600,
    lost=40,
    won=2,
    layers=(
        ExplainedLayer(layer="conv3_2_3x3", kind="Convolution", snr_db=-1.25, begins=True),
        ExplainedLayer(layer="fc", kind="InnerProduct", snr_db=4.5, begins=False),
    ),
    layer_images=32,
    origins=("conv3_2_3x3",),
    lost_images=(ExplainedImage(image="a.jpg", true="7", before="7", after="1"),),
    classes=(ExplainedClass(class_id="seven", lost=30, won=0, images=60),),
)


def nightly(night: int, runs: Sequence[RunEnding], **more: Any) -> NightlyRecord:
    """Return a night of the suite ``smoke``."""
    created = START + timedelta(days=night)
    verdicts = [run.verdict for run in runs]
    order = list(Verdict)
    return NightlyRecord(
        **{
            "run_id": f"{created:%Y%m%d-%H%M%S}-smoke",
            "created_utc": created,
            "suite": "smoke",
            "description": "A suite.",
            "parameters": {"suite": "smoke", "out": "artifacts", "conf": []},
            "host": "a host",
            "seconds": 60.0,
            "verdict": max(verdicts, key=order.index),
            "exit_status": max((run.exit_status for run in runs), key=(0, 3, 2, 4, 1).index),
            "runs": tuple(runs),
            **more,
        }
    )
