"""``make bench-cold``: a cold evaluation over what cannot be avoided.

SqueezeNet v1.1 in three precisions, nothing in the cache. Unavoidable are decoding the images once,
calibrating and building each precision, and the engine's own time for all images in each. An
evaluation is timed from its flow's begin to its last answer, so importing the network, starting
and loading workers are its own affair.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import tempfile
import time
from datetime import datetime, timedelta
from pathlib import Path

import pyarrow.parquet as pq
from rich.console import Console
from rich.table import Table

from benchmarks.pipeline import bare_rate, networks
from flows.launch import prepare_prefect
from mlubench.devices.engine_host import engine_host
from mlubench.devices.pool import DevicePool
from mlubench.evaluate.images import choose_images
from mlubench.evaluate.options import EvaluateParameters, check_parameters
from mlubench.images.decoding.decoder import Decoding
from mlubench.networks.calibration import CalibrationImages
from mlubench.networks.choose import choose_network
from mlubench.networks.compile import build_spec, compile_network
from mlubench.networks.importing import import_network
from mlubench.runs.folders import Run

_PRECISIONS = ("force_float32", "force_float16", "qint8_mixed_float16")
_PART_NAMES = ("decode", "build", *_PRECISIONS)


def main() -> None:
    """Print the parts, the whole and the ratio of each round."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    # As the tests find it: tests/conftest.py.
    root = Path(__file__).resolve().parents[1]
    data = Path(os.environ.get("MLUBENCH_TEST_DATA", root.parent / "shared" / "data"))
    parser.add_argument("--data", type=Path, default=data)
    given = parser.parse_args()
    table = Table(
        "round", *(f"{name}, s" for name in _PART_NAMES), "evaluation, s", "ratio", box=None
    )
    ratios = []
    with tempfile.TemporaryDirectory() as folder:
        prepare_prefect(Path(folder) / "artifacts")
        asked = next(iter(networks(given.data, Path(folder))))
        asked = check_parameters(**{**asked.model_dump(), "precision": _PRECISIONS})
        _evaluation(asked, Path(folder) / "first")  # Prefect's first run makes its database
        for number in range(given.rounds):
            ways = (_parts, _evaluation)
            found = {
                way: way(asked, Path(folder) / f"{number}-{way.__name__}")
                for way in (ways if number % 2 else ways[::-1])
            }
            parts, whole = found[_parts], sum(found[_evaluation])
            ratios.append(whole / sum(parts))
            table.add_row(
                str(number + 1),
                *(f"{part:.2f}" for part in parts),
                f"{whole:.2f}",
                f"{ratios[-1]:.3f}",
            )
    console = Console(width=120, highlight=False)
    console.print(table)
    console.print(f"median of {given.rounds} ratios: {statistics.median(ratios):.3f}")


def _parts(asked: EvaluateParameters, out: Path) -> list[float]:
    """Return the seconds of what cannot be avoided."""
    asked = asked.model_copy(update={"out": out})
    network, run = choose_network(asked), Run(out)
    chosen = choose_images(asked, network.order, run.data)
    begun = time.perf_counter()
    decoded = [
        Decoding(dataset, network.preprocess, run.decoded).run(
            workers=len(os.sched_getaffinity(0)), progress=lambda *_: None
        )
        for dataset in (chosen.scored, chosen.calibration)
        if dataset is not None
    ]
    seconds = [time.perf_counter() - begun]
    imported = import_network(network, run.store)
    with DevicePool(engine_host(asked.engine), asked.devices) as devices:
        compiled = [
            compile_network(
                imported,
                build_spec(network, asked, precision),
                CalibrationImages(decoded[-1], network.preprocess),
                devices.host,
                devices.engine,
                run.store,
                devices.build_addresses(),
            )
            for precision in asked.precision
        ]
    seconds.append(sum(one.seconds or 0.0 for one in compiled))
    images = decoded[0].shape[0]
    batches = images // asked.batch_size
    seconds += [images / bare_rate(one, batches) for one in compiled]
    shutil.rmtree(out)
    return seconds


def _evaluation(asked: EvaluateParameters, out: Path) -> list[float]:
    """Return the seconds of a cold evaluation, from its begin to its last answer."""
    from flows.evaluate import evaluate

    evaluate(asked.model_copy(update={"out": out}), return_state=True)
    (record,) = (out / "runs").glob("[!.]*/run.json")
    begun = datetime.fromisoformat(json.loads(record.read_text())["begun_utc"])
    shards = pq.read_table(record.with_name("shards.parquet")).to_pylist()
    ended = max(one["started_utc"] + timedelta(seconds=one["seconds"]) for one in shards)
    shutil.rmtree(out)
    return [(ended - begun).total_seconds()]


if __name__ == "__main__":
    main()
