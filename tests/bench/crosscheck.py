"""Speeds against other tools: ``python -m tests.bench.crosscheck`` (make bench-crosscheck).

On the same compiled network, in rounds that alternate:

1. MLPerf's LoadGen against this project's scenarios, through the same lanes in one process. *In one
   run* compares what LoadGen says of its own queries with what this project makes of them: clock
   and statistics. *Apart* compares LoadGen's runs with runs of this project's own generator: the
   whole; in Server with the same arrivals.
2. OpenVINO's benchmark_app against ``mlubench run --disable_data_copy``, whose inputs are filled
   once, too: the same streams, threads, requests and precision.

What counts is the median of the ratios. It wants a quiet machine.
"""

from __future__ import annotations

import argparse
import re
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from mlubench.caffe import write_random_caffemodel
from mlubench.engines.interface import load_engine
from mlubench.engines.measuring import MeasureSetup
from mlubench.pipeline.devices import engine_host
from mlubench.pipeline.machine import between, now
from mlubench.pipeline.measuring import Load, Measuring
from mlubench.pipeline.offline import OfflineModel, compile_offline
from mlubench.pipeline.parameters import CompileParameters
from mlubench.worker.measure import input_groups
from mlubench.worker.pump import Feed
from mlubench.worker.scenarios import LaneSystem, some_latencies
from tests.bench.loadgen import PERCENTILES, Figures, Plan, by_loadgen, by_own

_ROOT = Path(__file__).resolve().parent.parent.parent
_LOADGEN_LIMIT, _BENCHMARK_APP_LIMIT = 0.02, 0.03
#: So many lanes that a Server run never waits for one: LoadGen does not see who waits outside.
_MANY = 64
#: The share of the Offline rate at which queries arrive.
_LOAD = 0.5
#: A run of SingleStream has no arrivals.
_NONE = np.zeros(0)
_HINTS = {"force_float32": "f32", "force_float16": "f16", "qint8_mixed_float16": "f16"}


@dataclass(frozen=True)
class Check:
    """One figure of two tools, a pair for each round.

    Attributes:
        what: the figure.
        theirs: of the other tool.
        ours: of this project.
        limit: how far the median of ours over theirs may be from 1; None is not judged.
    """

    what: str
    theirs: list[float]
    ours: list[float]
    limit: float | None

    @property
    def ratio(self) -> float:
        """The median of the rounds' ratios."""
        pairs = zip(self.ours, self.theirs, strict=True)
        return statistics.median(own / other for own, other in pairs)

    @property
    def passed(self) -> bool:
        """Whether it is within its limit."""
        return self.limit is None or abs(self.ratio - 1) <= self.limit


def main() -> int:
    """Make the checks; 0 where all are within their limits, 1 where not."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=3.0, help="of each run")
    parser.add_argument("--data", type=Path, default=_ROOT.parent / "shared" / "data")
    parser.add_argument("--only", choices=("loadgen", "benchmark_app"))
    asked = parser.parse_args()
    console = Console(highlight=False, width=100)
    passed = True
    with tempfile.TemporaryDirectory() as folder:
        for model in _models(asked.data, Path(folder)):
            before = now()
            checks = list(_checks(model, asked.rounds, asked.seconds, asked.only))
            console.print(_table(f"{model.name} {model.spec.precision}, batch 1", checks))
            load = between(before, now(), 0.0, 1).load
            console.print(f"load of the last minute: {load:.2f}")
            passed = passed and all(one.passed for one in checks)
    return 0 if passed else 1


def _checks(model: OfflineModel, rounds: int, seconds: float, only: str | None) -> Iterator[Check]:
    if only != "benchmark_app":
        for scenario in ("SingleStream", "Offline", "Server"):
            yield from _against_loadgen(model, scenario, rounds, seconds)
    if only != "loadgen":
        yield _against_benchmark_app(model, rounds, seconds)


def _models(data: Path, folder: Path) -> Iterator[OfflineModel]:
    """SqueezeNet v1.1, and SE-ResNet-50 with random weights; ranges are made up."""
    squeezenet = {
        "prototxt": data / "squeezenet_v1.1.prototxt",
        "caffemodel": data / "squeezenet_v1.1.caffemodel",
        "input_size": 227,
    }
    weights = folder / "random.caffemodel"
    prototxt = data / "prototxt" / "SE-ResNet-50.prototxt"
    write_random_caffemodel(prototxt, weights, seed=0)
    senet = {"prototxt": prototxt, "caffemodel": weights, "input_size": 224}
    for files, precision in (
        (squeezenet, "qint8_mixed_float16"),
        (squeezenet, "force_float32"),
        (senet, "qint8_mixed_float16"),
    ):
        ranges = {"random_calib_range": (-128.0, 128.0)} if "int8" in precision else {}
        options = {**files, **ranges, "precision": precision, "batch_size": 1, "out": folder}
        yield compile_offline(CompileParameters.model_validate(options), lambda *_: None)


def _against_loadgen(
    model: OfflineModel, scenario: str, rounds: int, seconds: float
) -> Iterator[Check]:
    engine = load_engine(model.engine)
    engine.use_device("cpu:0/1")
    single = scenario == "SingleStream"
    measured = engine.measure(model.path, MeasureSetup(streams=1 if single else 0))
    groups = input_groups(measured.inputs, [[one.dims for one in measured.inputs]], None, 2)
    lanes = measured.notified_lanes({"SingleStream": 1, "Offline": 3}.get(scenario, _MANY))
    system = LaneSystem(lanes, Feed(groups), True, 1, measured.bind_thread)
    for _ in range(10):
        some_latencies(system, 1, 1 if single else 3)
    rate = by_own(system, Plan("SingleStream", 1.0, 0.0), _NONE).rate
    if not single:
        rate *= _LOAD if scenario == "Server" else 1.0
    plan = Plan(scenario, seconds, rate)
    runs, own = [], []
    for number in range(rounds):
        if number % 2 and own:  # ABBA; the first pair gives the arrivals
            own.append(by_own(system, plan, runs[-1].due))
            runs.append(by_loadgen(system, plan))
        else:
            runs.append(by_loadgen(system, plan))
            own.append(by_own(system, plan, runs[-1].due))
    system.close()
    measured.close()
    told = [one.told for one in runs]
    yield from _compared(f"{scenario}, LoadGen in one run", told, [one.seen for one in runs])
    yield from _compared(f"{scenario}, LoadGen apart", told, own)


def _compared(what: str, theirs: list[Figures], ours: list[Figures]) -> Iterator[Check]:
    limit = _LOADGEN_LIMIT
    yield Check(
        f"{what}: queries/s", [one.rate for one in theirs], [one.rate for one in ours], limit
    )
    if what.startswith("Offline"):
        return  # a sample's latency there is its place in the queue
    for name in PERCENTILES:
        pair = ([one.latencies[name] for one in figures] for figures in (theirs, ours))
        yield Check(f"{what}: p{name:g}, ms", *pair, limit)


def _against_benchmark_app(model: OfflineModel, rounds: int, seconds: float) -> Check:
    theirs, ours = [], []
    with Measuring(engine_host(model.engine), ["cpu:0"]) as measuring:
        streams = measuring.infer_depth - 1
        prepared = measuring.prepare("run", model.path, MeasureSetup(streams=streams))
        shapes = (prepared.default_shapes(1),)
        load = Load(shapes=shapes, infer_depth=streams, copy=False, warmup=0.3)
        measuring.configure("run", load)

        def own() -> float:
            measuring.warm_up("run", load.warmup)
            return measuring.measure("run", load, iterations=100, duration=seconds).throughput

        for number in range(rounds):
            if number % 2:
                ours.append(own())
            theirs.append(_benchmark_app(model, streams, seconds))
            if not number % 2:
                ours.append(own())
    return Check("benchmark_app: images/s", theirs, ours, _BENCHMARK_APP_LIMIT)


def _benchmark_app(model: OfflineModel, streams: int, seconds: float) -> float:
    count = str(streams)
    command = [
        *(str(Path(sys.executable).with_name("benchmark_app")), "-d", "CPU", "-hint", "none"),
        *("-m", str(model.path / "model.xml"), "-infer_precision", _HINTS[model.spec.precision]),
        *("-nstreams", count, "-nthreads", count, "-nireq", count, "-pin", "NO"),
        *("-t", str(round(seconds))),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    (rate,) = re.findall(r"Throughput:\s+([\d.]+)", done.stdout)
    return float(rate)


def _table(title: str, checks: list[Check]) -> Table:
    table = Table("figure", title=title, box=None, title_justify="left")
    for heading in ("theirs", "ours", "median of ratios", "limit", ""):
        table.add_column(heading, justify="right")
    for one in checks:
        table.add_row(
            one.what,
            f"{statistics.median(one.theirs):.4g}",
            f"{statistics.median(one.ours):.4g}",
            f"{one.ratio:.4f}",
            "" if one.limit is None else f"{100 * one.limit:g} %",
            "" if one.passed else "outside",
        )
    return table


if __name__ == "__main__":
    sys.exit(main())
