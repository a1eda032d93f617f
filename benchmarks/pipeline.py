"""``make bench-pipeline``: how much of the engine's own rate a warm evaluation reaches.

In one run, on the same cores, rounds of a warm int8 inference of all images (decoded, compiled,
loaded; from the first image to the last) alternate with rounds of the bare engine on the same
file, and with rounds of one device of half the cores against two. What counts is the ratio of a
pair; the machine's speed cancels out of it.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.photographs import photographs
from mlubench.devices.engine_host import engine_host
from mlubench.devices.pool import DevicePool
from mlubench.devices.shards import cut
from mlubench.engines.precisions import REFERENCE
from mlubench.evaluate.images import choose_images
from mlubench.evaluate.inference import infer_images
from mlubench.evaluate.options import EvaluateParameters, check_parameters
from mlubench.evaluate.shard_files import Workspace, read_shard
from mlubench.images.decoding.cache import DecodedImages
from mlubench.images.decoding.decoder import decode_images
from mlubench.networks.caffe import write_random_caffemodel
from mlubench.networks.calibration import CalibrationImages
from mlubench.networks.choose import Network, choose_network
from mlubench.networks.compile import Compiled, build_spec, compile_network
from mlubench.networks.importing import import_network
from mlubench.runs.folders import Run

_PRECISION = "qint8_mixed_float16"
#: Images of a round: some seconds of either network.
_MANY, _FEW = 4096, 768
_ROOT = Path(__file__).resolve().parents[1]


def main() -> None:
    """Print the rates of each round and the median ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=6)
    # As the tests find it: tests/conftest.py.
    data = Path(os.environ.get("MLUBENCH_TEST_DATA", _ROOT.parent / "shared" / "data"))
    parser.add_argument("--data", type=Path, default=data)
    arguments = parser.parse_args()
    console = Console(width=100, highlight=False)
    with tempfile.TemporaryDirectory() as folder:
        for asked in networks(arguments.data, Path(folder)):
            table, ratio = _measure(asked, arguments.rounds, console)
            console.print(table)
            console.print(f"median of {arguments.rounds} ratios: {ratio:.3f}")
            ratio, bare = _two_over_one(asked, arguments.rounds)
            console.print(
                f"two devices of a half of the cores over one of them: {ratio:.3f}; "
                f"the bare engine's: {bare:.3f}\n"
            )


def networks(data: Path, folder: Path) -> Iterator[EvaluateParameters]:
    """SqueezeNet v1.1, and SE-ResNet-50 with random weights, on real images where they are.

    Else the embedded sample.
    """
    if not data.is_dir():
        yield check_parameters(precision=(_PRECISION,), out=folder / "artifacts")
        return
    weights = folder / "random.caffemodel"
    prototxt = data / "prototxt" / "SE-ResNet-50.prototxt"
    write_random_caffemodel(prototxt, weights, seed=0)
    squeezenet = (data / "squeezenet_v1.1.prototxt", data / "squeezenet_v1.1.caffemodel", 227)
    photos = photographs(data, folder, _MANY)
    for (text, caffemodel, size), images in ((squeezenet, _MANY), ((prototxt, weights, 224), _FEW)):
        yield check_parameters(
            prototxt=text,
            caffemodel=caffemodel,
            input_size=size,
            means=(104, 117, 123),
            label_order="2012",
            image_dir=photos.scored,
            label_file=photos.labels,
            label_file_order="2012",
            calibration_dir=photos.calibration,
            image_num=images,
            precision=(_PRECISION,),
            out=folder / "artifacts",
        )


def _two_over_one(asked: EvaluateParameters, rounds: int) -> tuple[float, float]:
    """Return the median ratio of two devices, a half of the cores each, over the first of them.

    And the same of the bare engine, in a process of its own for each: what the machine gives.
    """
    network, run = choose_network(asked), Run(asked.out)
    one = asked.model_copy(update={"devices": ("cpu:0/2",)})
    two = asked.model_copy(update={"devices": ("cpu:0/2", "cpu:1/2")})
    host = engine_host(asked.engine)
    groups = halves()
    ratios, bare = [], []
    with DevicePool(host, one.devices) as single, DevicePool(host, two.devices) as both:
        compiled, images = prepared(asked, network, run, single)
        batches = images.shape[0] // asked.batch_size // 2
        for number in range(rounds):
            pair = [
                lambda: _evaluate(one, network, single, compiled, images),
                lambda: _evaluate(two, network, both, compiled, images),
            ]
            figures = [way() for way in (pair if number % 2 else pair[::-1])]
            first, second = figures if number % 2 else figures[::-1]
            ratios.append(second / first)
            alone = bare_rate(compiled, batches, groups[:1])
            bare.append(bare_rate(compiled, batches, groups) / alone)
    return statistics.median(ratios), statistics.median(bare)


def halves() -> tuple[Sequence[int], Sequence[int]]:
    """Return the cores of this process in two groups."""
    cores = sorted(os.sched_getaffinity(0))
    return cores[: len(cores) // 2], cores[len(cores) // 2 :]


def _measure(asked: EvaluateParameters, rounds: int, console: Console) -> tuple[Table, float]:
    network, run = choose_network(asked), Run(asked.out)
    table = Table("round", "evaluate, images/s", "bare engine, images/s", "ratio", box=None)
    table.title = f"{network.name} {_PRECISION}, batch {asked.batch_size}, warm"
    ratios = []
    with (
        DevicePool(engine_host(asked.engine), asked.devices) as devices,
        console.status("measuring"),
    ):
        compiled, images = prepared(asked, network, run, devices)
        for number in range(rounds):
            # In turn, so that a drift of the machine does not favour one of them.
            pair = [
                lambda: _evaluate(asked, network, devices, compiled, images),
                lambda: bare_rate(compiled, images.shape[0] // asked.batch_size),
            ]
            figures = [one() for one in (pair if number % 2 else pair[::-1])]
            mine, bare = figures if number % 2 else figures[::-1]
            ratios.append(mine / bare)
            table.add_row(str(number + 1), f"{mine:.0f}", f"{bare:.0f}", f"{mine / bare:.3f}")
    return table, statistics.median(ratios)


def prepared(
    asked: EvaluateParameters, network: Network, run: Run, devices: DevicePool
) -> tuple[Compiled, DecodedImages]:
    """Return the compiled network and the decoded images: what a warm run finds."""
    chosen = choose_images(asked, network.order, run.data)
    scored = decode_images(chosen.scored, network.preprocess, run.decoded, _silent)
    calibration = None
    if chosen.calibration is not None:
        decoded = decode_images(chosen.calibration, network.preprocess, run.decoded, _silent)
        calibration = CalibrationImages(decoded, network.preprocess)
    (precision,) = asked.precision
    compiled = compile_network(
        import_network(network, run.store),
        build_spec(network, asked, precision),
        calibration,
        devices.host,
        devices.engine,
        run.store,
        devices.build_addresses(),
    )
    return compiled, scored


def _evaluate(
    asked: EvaluateParameters,
    network: Network,
    devices: DevicePool,
    compiled: Compiled,
    images: DecodedImages,
) -> float:
    """Return the images per second of whole inferences, from the first image to the last."""
    shards = cut(images.shape[0], asked.batch_size, asked.shards, len(asked.devices))
    with tempfile.TemporaryDirectory() as folder:
        done = infer_images(
            devices, compiled, images, shards, network.order, Workspace(Path(folder)), _silent
        )
        facts = [read_shard(path).facts for path in done.shards]
    first = min(fact["started_utc"] for fact in facts)
    last = max(fact["started_utc"] + timedelta(seconds=fact["seconds"]) for fact in facts)
    return images.shape[0] / float((last - first).total_seconds())


def bare_rate(
    compiled: Compiled, batches: int, groups: Sequence[Sequence[int]] | None = None
) -> float:
    """Return the images per second of the engine alone, in a process for each group of cores."""
    path = str(compiled.folder / "model.xml")
    hint = "f32" if compiled.precision == REFERENCE else "f16"
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", "benchmarks.bare_engine", path, cores, str(batches), hint],
            cwd=_ROOT,
            stdout=subprocess.PIPE,
            text=True,
        )
        for cores in (
            ",".join(map(str, group)) for group in groups or [sorted(os.sched_getaffinity(0))]
        )
    ]
    return sum(float(process.communicate()[0]) for process in processes)


def _silent(done: int, total: int) -> None:
    """Show no progress: it would be measured too."""


if __name__ == "__main__":
    main()
