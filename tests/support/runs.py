"""Run folders for tests of what is done with finished runs, written without running anything."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from mlubench.evaluate.accuracy import Setup, accuracy_rows, accuracy_table
from mlubench.evaluate.predictions import predictions_table
from mlubench.metrics.verdict import Verdict
from mlubench.runs.bench_record import BenchRecord
from mlubench.runs.parquet import write_parquet
from mlubench.runs.record import DatasetRecord, ImageCounts, ModelRecord, RunRecord
from mlubench.runs.schemas import SHARDS
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
CLASSES = 10
PRECISIONS = ("force_float32", "qint8_mixed_float16")


def answers(images: int, wrong: Sequence[int] = (), share: float = 0.8) -> np.ndarray:
    """Return the best class of each image, int16 [images].

    Image i is of class i % 10; a fifth is wrong in every run alike, and those of ``wrong``.
    """
    labels = np.arange(images) % CLASSES
    missed = np.random.default_rng(0).random(images) >= share
    missed[list(wrong)] = True
    return np.where(missed, (labels + 1) % CLASSES, labels).astype(np.int16)


def right_ones(images: int) -> list[int]:
    """Return the images that every run has right, unless it is told otherwise."""
    return np.flatnonzero(answers(images) == np.arange(images) % CLASSES).tolist()


def write_evaluation(
    out: Path,
    night: int,
    best: Mapping[str, np.ndarray] | None = None,
    *,
    images: int = 2000,
    score: float = 0.75,
    corrupt: Sequence[int] = (),
    weights: str = "b" * 64,
    digest: str = "c" * 32,
    verdict: Verdict = Verdict.PASS,
    **facts: Any,
) -> Path:
    """Write an evaluation's run folder; return it.

    Args:
        out: folder of runs and caches.
        night: how many days after the first one it began.
        best: per precision, the best class of each image; by default :func:`answers`.
        images: how many.
        score: of every best class.
        corrupt: images that could not be decoded.
        weights: digest of the network's weights.
        digest: of the images.
        verdict: the run's own.
        facts: further fields of run.json.
    """
    given = best or dict.fromkeys(PRECISIONS, answers(images))
    labels = np.arange(images) % CLASSES
    predictions = predictions_table(
        [f"image_{place:05d}.JPEG" for place in range(images)],
        [f"n{label:02d}" for label in labels],
        labels,
        set(corrupt),
        {precision: _top(classes, score) for precision, classes in given.items()},
    )
    setup = Setup(
        model="tiny",
        dataset="pictures",
        engine="openvino",
        engine_version="1",
        batch_size=8,
        dynamic_shape=False,
        executed_precision=dict.fromkeys(given, "float32"),
    )
    created = START + timedelta(days=night)
    run_id = f"{created:%Y%m%d-%H%M%S}-tiny"
    counts = ImageCounts(
        expected=images,
        scored=images - len(corrupt),
        corrupt=len(corrupt),
        missing=0,
        duplicate=0,
    )
    record = RunRecord(
        **{
            "run_id": run_id,
            "created_utc": created,
            "parameters": {},
            "model": ModelRecord(name="tiny", prototxt_sha256="a" * 64, weights_sha256=weights),
            "dataset": DatasetRecord(
                name="pictures", digest=digest, images=counts, calibration_images=300
            ),
            "engine": "openvino",
            "engine_version": "1",
            "devices": ["cpu:0: a processor"],
            "host": "a host",
            "seconds": {"infer": 1.0},
            "verdict": verdict,
            **facts,
        }
    )
    folder = out / "runs" / run_id
    record.write(folder / "run.json")
    write_parquet(folder / "predictions.parquet", predictions)
    rows = accuracy_table(accuracy_rows(predictions, setup, {}))
    write_parquet(folder / "accuracy.parquet", rows)
    write_parquet(folder / "shards.parquet", _shards(given, images, created))
    return folder


def _shards(precisions: Iterable[str], images: int, started: datetime) -> pa.Table:
    """Return one shard for each precision."""
    shard = {
        "shard": 0,
        "first_image": 0,
        "images": images,
        "device": "cpu:0",
        "host": "a host",
        "attempts": 1,
        "started_utc": started,
        "seconds": 1.0,
        "failures": [],
    }
    rows = [{"precision": precision, **shard} for precision in sorted(precisions)]
    return pa.Table.from_pylist(rows, schema=SHARDS)


def _top(classes: np.ndarray, score: float) -> tuple[np.ndarray, np.ndarray]:
    index = (classes[:, np.newaxis] + np.arange(5)) % CLASSES
    scores = np.tile(np.linspace(score, 0.01, 5, dtype=np.float32), (len(classes), 1))
    return index.astype(np.int16), scores


def write_benchmark(
    out: Path,
    night: int,
    throughput: Mapping[str, Sequence[float]],
    *,
    memory_kib: int = 100_000,
    weights: str = "b" * 64,
) -> Path:
    """Write a benchmark's run folder; return it.

    Args:
        out: folder of runs and caches.
        night: how many days after the first one it began.
        throughput: per precision, images per second of each round.
        memory_kib: of the workers.
        weights: digest of the network's weights.
    """
    measured = [
        Measured(
            configuration=Configuration(precision, 8, False, ("cpu:0",), 1, 2),
            executed_precision="float32",
            rounds=[_round(one, memory_kib) for one in rounds],
        )
        for precision, rounds in throughput.items()
    ]
    rows = throughput_rows(measured, model="tiny", engine="openvino", engine_version="1")
    created = START + timedelta(days=night)
    run_id = f"{created:%Y%m%d-%H%M%S}-tiny-bench"
    record = BenchRecord(
        run_id=run_id,
        created_utc=created,
        parameters={"precision": list(throughput)},
        model=ModelRecord(name="tiny", prototxt_sha256="a" * 64, weights_sha256=weights),
        engine="openvino",
        engine_version="1",
        engine_facts={"version": "1"},
        devices=["cpu:0: a processor"],
        host="a host",
        seconds={"measure": 1.0},
        disturbed=False,
    )
    folder = out / "runs" / run_id
    record.write(folder / "run.json")
    write_parquet(folder / "throughput.parquet", throughput_table(rows))
    write_parquet(folder / "latencies.parquet", latencies_table(rows))
    return folder


def _round(throughput: float, memory_kib: int) -> RoundFigures:
    """Return ten requests of eight images, one after the other."""
    seconds = 80 / throughput
    count = 10
    stage = np.full(count, seconds / count)
    requests = RequestTimes(
        device=["cpu:0"] * count,
        thread=np.zeros(count, np.int32),
        batch_size=np.full(count, 8, np.int32),
        start=np.arange(count) * stage,
        copy_in=stage * 0.1,
        compute=stage * 0.8,
        copy_out=stage * 0.1,
        device_seconds=stage * 0.7,
    )
    return RoundFigures(
        requests=requests,
        seconds=seconds,
        cpu_seconds=seconds,
        memory_kib=memory_kib,
        process_threads=4,
        clock_mhz=None,
        load=1.0,
        others=0.0,
        disturbed=False,
        warmup_seconds=0.1,
        steady=True,
    )
