"""``make bench-reporting``: seconds and memory of merging, judging and writing a finished run.

Predictions of a network that is never run are made up: shards as the devices' workers leave
them, of 50,000 and of 1,000,000 images in three precisions. What is measured is all that an
evaluation does with them but its page: merging, judging, and writing the Parquet files and the
samples' text files. Each size is a process of its own, so that its memory is its own.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.machine import machine
from mlubench.devices.shards import cut
from mlubench.engines.interface import NetworkFiles
from mlubench.evaluate import results
from mlubench.evaluate.images import ChosenImages
from mlubench.evaluate.inference import Inferred
from mlubench.evaluate.options import EvaluateParameters
from mlubench.evaluate.shard_files import ShardFacts, write_shard
from mlubench.images.datasets.dataset import Dataset, ImageRef
from mlubench.images.datasets.labels import imagenet_order
from mlubench.images.datasets.source import FolderSource
from mlubench.images.decoding.cache import DecodedImages, Records
from mlubench.images.decoding.preprocess import Preprocess
from mlubench.networks.choose import Network, OnnxFile
from mlubench.networks.importing import ImportedNetwork
from mlubench.networks.options import DEFAULT_PRECISIONS

_ROOT = Path(__file__).resolve().parents[1]
_SIZES = (50_000, 1_000_000)
_CLASSES = 1000
_CORRUPT_EVERY = 10_007
#: What is measured by itself: functions of mlubench.evaluate.results, and what they do.
_PARTS = {
    "_merged": "merge",
    "accuracy_rows": "judge",
    "_wrong_order": "label order",
    "shards_table": "shards",
    "_record": "run.json",
    "write_parquet": "Parquet files",
    "_write_seed_folders": "text files",
}


def main() -> None:
    """Print seconds and memory of each size; with ``--size`` measure one, for the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int)
    parser.add_argument("--sizes", type=int, nargs="+", default=_SIZES)
    arguments = parser.parse_args()
    if arguments.size is not None:
        with tempfile.TemporaryDirectory() as folder:
            print(json.dumps(_measure(arguments.size, Path(folder))))  # noqa: T201  # its output
        return
    columns = [
        "images x 3",
        "all, s",
        "processor, s",
        *(f"{part}, s" for part in _PARTS.values()),
        "memory, MB",
    ]
    table = Table(*columns, box=None)
    table.title = machine()
    for size in arguments.sizes:
        found = _in_a_process(size)
        parts = [f"{found['parts'].get(part, 0):.1f}" for part in _PARTS.values()]
        seconds = [f"{found[name]:.1f}" for name in ("all", "processor")]
        table.add_row(f"{size:,}", *seconds, *parts, f"{found['memory'] / 1e6:.0f}")
    Console(width=140).print(table)


def _in_a_process(size: int) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.reporting", "--size", str(size)]
    done = subprocess.run(command, cwd=_ROOT, capture_output=True, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def _measure(size: int, folder: Path) -> dict[str, Any]:
    """Return seconds in all and by part, and the process's memory at its peak, in bytes."""
    evaluation = _evaluation(size, folder)
    parts: dict[str, float] = {}
    for name, part in _PARTS.items():
        if hasattr(results, name):
            setattr(results, name, _timed(getattr(results, name), part, parts))
    start, busy = time.perf_counter(), time.process_time()
    results.write_run(evaluation, folder / "runs", lambda _: None)  # measured elsewhere
    seconds, busy = time.perf_counter() - start, time.process_time() - busy
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return {"all": seconds, "processor": busy, "parts": parts, "memory": memory}


def _timed(function: Callable[..., Any], part: str, parts: dict[str, float]) -> Callable[..., Any]:
    def timed(*arguments: Any, **options: Any) -> Any:
        start = time.perf_counter()
        try:
            return function(*arguments, **options)
        finally:
            parts[part] = parts.get(part, 0.0) + time.perf_counter() - start

    return timed


def _evaluation(size: int, folder: Path) -> results.Evaluation:
    """Make up what a run has measured: three quarters of the answers right, some flipped."""
    random = np.random.default_rng(0)
    order = imagenet_order("2012")
    labels = random.integers(0, _CLASSES, size).astype(np.int16)
    names = [f"ILSVRC2012_val_{number:08d}.JPEG" for number in range(size)]
    images = tuple(
        ImageRef(name, order.class_ids[label])
        for name, label in zip(names, labels.tolist(), strict=True)
    )
    corrupt = range(_CORRUPT_EVERY, size, _CORRUPT_EVERY)
    digests = "".join(f"{number:064x}" for number in range(size))
    pixels = folder / "images.u8"
    with pixels.open("wb") as stream:
        stream.truncate(size * 227 * 227 * 3)  # black ones, that take no room
    records = Records(images, digests, dict.fromkeys(corrupt, ("truncated", "made up")))
    digest = "0" * 64
    return results.Evaluation(
        asked=EvaluateParameters(model="squeezenet_v1_1", dataset="imagenet_val", out=folder),
        network=Network(
            name="made-up",
            files=OnnxFile(folder / "made-up.onnx"),
            preprocess=Preprocess("short", 256, 227),
            means=(104, 117, 123),
            variances=(1, 1, 1),
            order=order,
        ),
        imported=ImportedNetwork(NetworkFiles(folder / "made-up.onnx"), digest, digest),
        chosen=ChosenImages(Dataset("made-up", folder, images, FolderSource(folder)), labels, None),
        scored=DecodedImages(pixels, (size, 227, 227, 3), records, digest, ()),
        calibrated_on=300,
        unfit=(),
        inferred=[
            Inferred(precision, "made up", digest, _shards(random, labels, precision, folder))
            for precision in DEFAULT_PRECISIONS
        ],
        engine_name="none",
        engine={"version": "0"},
        devices={"cpu:0": "none"},
        begun=datetime.now(UTC),
    )


def _shards(
    random: np.random.Generator, labels: np.ndarray, precision: str, folder: Path
) -> tuple[Path, ...]:
    paths = []
    for shard in cut(len(labels), 8, None, 1):
        true = labels[shard.first : shard.first + shard.images]
        top = random.integers(0, _CLASSES, (len(true), 5)).astype(np.int16)
        right = random.random(len(true)) < 0.75
        top[right, 0] = true[right]
        score = np.sort(random.random((len(true), 5), np.float32), axis=1)[:, ::-1]
        paths.append(folder / "shards" / precision / f"{shard.index:08d}.parquet")
        write_shard(
            paths[-1],
            precision=precision,
            first_image=shard.first,
            top_index=top,
            top_score=np.ascontiguousarray(score),
            facts=ShardFacts(
                shard=shard.index,
                device="cpu:0",
                host="none",
                attempts=1,
                failures=[],
                started_utc=datetime(2026, 11, 1, tzinfo=UTC),
                seconds=1.0,
                images=shard.images,
            ),
        )
    return tuple(paths)


if __name__ == "__main__":
    main()
