"""Speeds against other tools: ``python -m benchmarks.crosscheck`` (make bench-crosscheck).

On the same compiled network, in rounds that alternate:

1. MLPerf's LoadGen against this project's scenarios, through the same lanes in one process. *In one
   run* compares what LoadGen says of its own queries with what this project makes of them: clock
   and statistics. *Apart* compares LoadGen's runs with runs of this project's own generator: the
   whole; in Server with the same arrivals.
2. OpenVINO's benchmark_app against ``mlubench run --disable_data_copy``, whose inputs are filled
   once, too: the same streams, threads, requests and precision.

What counts is the median of the ratios of many short pairs, with its distribution-free 95 %
interval. In one run, and against benchmark_app, the median must be within its limit. Two runs apart
have other queues, and a p99 of a hundred queries is one of them: there it is outside where the
whole interval is. Pairs of runs during which others had the machine are made again; it wants a
quiet one all the same.
"""

from __future__ import annotations

import argparse
import os
import re
import resource
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from rich.console import Console
from rich.table import Table

from benchmarks.loadgen import PERCENTILES, Figures, LoadGenRun, Plan, by_loadgen, by_own
from mlubench.devices.engine_host import engine_host
from mlubench.devices.host_load import DISTURBED, between, now
from mlubench.engines.interface import load_engine
from mlubench.engines.measuring import MeasureSetup
from mlubench.magicmind_sample.gen_model import compile_offline
from mlubench.magicmind_sample.options import CompileParameters
from mlubench.metrics.latency import interval_ranks
from mlubench.networks.caffe import write_random_caffemodel
from mlubench.networks.compiled_file import OfflineModel
from mlubench.speed.measure.session import Load, Measuring
from mlubench.worker.measure.bench import input_groups
from mlubench.worker.measure.loadgen import Limits, closed_loop
from mlubench.worker.measure.pump import Feed
from mlubench.worker.measure.scenarios import LaneSystem, some_latencies

_ROOT = Path(__file__).resolve().parents[1]
_LOADGEN_LIMIT, _BENCHMARK_APP_LIMIT = 0.02, 0.03
#: So many lanes that a Server run never waits for one: LoadGen does not see who waits outside.
_MANY = 64
#: The share of the Offline rate at which queries arrive.
_LOAD = 0.5
#: Pairs that others disturbed are made again; so many times the rounds at most.
_TRIES = 5

T = TypeVar("T")
U = TypeVar("U")
_HINTS = {"force_float32": "f32", "force_float16": "f16", "qint8_mixed_float16": "f16"}


@dataclass(frozen=True)
class Check:
    """One figure of two tools, a pair for each round.

    Attributes:
        what: the figure.
        theirs: of the other tool.
        ours: of this project.
        limit: how far the median of ours over theirs may be from 1.
        disturbed: rounds in which others had a part of the machine.
        apart: whether the two are of different runs' queries.
    """

    what: str
    theirs: list[float]
    ours: list[float]
    limit: float
    disturbed: int
    apart: bool = False

    @property
    def ratios(self) -> list[float]:
        """Ours over theirs of each round, the least first."""
        pairs = zip(self.ours, self.theirs, strict=True)
        return sorted(own / other for own, other in pairs)

    @property
    def ratio(self) -> float:
        """The median of the rounds' ratios."""
        return statistics.median(self.ratios)

    @property
    def interval(self) -> tuple[float, float]:
        """The median's 95 % interval; all there is where the rounds are too few for one."""
        ratios = self.ratios
        low, high = interval_ranks(len(ratios), 0.5)
        return ratios[(low or 1) - 1], ratios[(high or len(ratios)) - 1]

    @property
    def passed(self) -> bool:
        """Whether it is within its limit; apart, whether it may be."""
        low, high = self.interval if self.apart else (self.ratio, self.ratio)
        return low <= 1 + self.limit and high >= 1 - self.limit


@dataclass(frozen=True)
class _Pair:
    """A run of the other tool, one of this project, and the share that others had meanwhile."""

    theirs: Any
    ours: Any
    others: float


@dataclass(frozen=True)
class Asked:
    """How long is measured: pairs of runs that nobody disturbed, and runs' seconds."""

    rounds: int
    seconds: float


def main() -> int:
    """Make the checks; 0 where all are within their limits, 1 where not."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--seconds", type=float, default=1.0, help="of each run, at least")
    # As the tests find it: tests/conftest.py.
    data = Path(os.environ.get("MLUBENCH_TEST_DATA", _ROOT.parent / "shared" / "data"))
    parser.add_argument("--data", type=Path, default=data)
    parser.add_argument("--only", choices=("loadgen", "benchmark_app"))
    parser.add_argument("--network", default="", help="part of its name and precision")
    given = parser.parse_args()
    asked = Asked(given.rounds, given.seconds)
    console = Console(highlight=False, width=100)
    passed = True
    with tempfile.TemporaryDirectory() as folder:
        for model in _models(given.data, Path(folder)):
            title = f"{model.name} {model.spec.precision}, batch 1"
            if given.network not in title:
                continue
            checks = list(_checks(model, asked, given.only))
            console.print(_table(title, checks))
            passed = passed and all(one.passed for one in checks)
    return 0 if passed else 1


def _checks(model: OfflineModel, asked: Asked, only: str | None) -> Iterator[Check]:
    if only != "benchmark_app":
        for scenario in ("SingleStream", "Offline", "Server"):
            yield from _against_loadgen(model, scenario, asked)
    if only != "loadgen":
        yield _against_benchmark_app(model, asked)


def _pairs(rounds: int, theirs: Callable[[], T], ours: Callable[[T | None], U]) -> list[_Pair]:
    """Return so many pairs of runs during which others left the machine alone.

    The order in a pair alternates (ABBA). Pairs that were disturbed are made again, up to
    so many times in all; where there are too few then, the least disturbed ones are taken.

    Args:
        rounds: how many.
        theirs: a run of the other tool.
        ours: a run of this project, given the last one of the other tool.
    """
    pairs: list[_Pair] = []
    for number in range(_TRIES * rounds):
        before, own = now(), _own_seconds()
        if number % 2 and pairs:
            second = ours(pairs[-1].theirs)
            first = theirs()
        else:
            first = theirs()
            second = ours(first)
        used = _own_seconds() - own
        others = between(before, now(), used, os.cpu_count() or 1).others
        pairs.append(_Pair(first, second, others))
        if sum(one.others <= DISTURBED for one in pairs) == rounds:
            break
    return sorted(pairs, key=lambda one: one.others)[:rounds]


def _own_seconds() -> float:
    """Processor time of this process and of the children that it waited for."""
    spent = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(one.ru_utime + one.ru_stime for one in spent)


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


def _against_loadgen(model: OfflineModel, scenario: str, asked: Asked) -> Iterator[Check]:
    engine = load_engine(model.engine)
    engine.use_device("cpu:0/1")
    single = scenario == "SingleStream"
    measured = engine.measure(model.path, MeasureSetup(streams=1 if single else 0))
    groups = input_groups(measured.inputs, [[one.dims for one in measured.inputs]], None, 2)
    lanes = measured.notified_lanes({"SingleStream": 1, "Offline": 3}.get(scenario, _MANY))
    system = LaneSystem(lanes, Feed(groups), True, 1, measured.bind_thread)
    for _ in range(10):
        some_latencies(system, 1, 1 if single else 3)
    rate = closed_loop(system, 1, 1 if single else 3, Limits(50, 1.0)).throughput
    plan = Plan(scenario, asked.seconds, rate * (_LOAD if scenario == "Server" else 1.0))

    def own(last: LoadGenRun | None) -> Figures:
        assert last is not None
        return by_own(system, plan, last.due)

    pairs = _pairs(asked.rounds, lambda: by_loadgen(system, plan), own)
    system.close()
    measured.close()
    told = [one.theirs.told for one in pairs]
    seen = [one.theirs.seen for one in pairs]
    disturbed = _disturbed(pairs)
    yield from _compared(f"{scenario}, in one run", told, seen, disturbed)
    apart = [one.ours for one in pairs]
    yield from _compared(f"{scenario}, apart", told, apart, disturbed)


def _compared(
    what: str, theirs: list[Figures], ours: list[Figures], disturbed: int
) -> Iterator[Check]:
    apart = what.endswith("apart")
    rates = ([one.rate for one in figures] for figures in (theirs, ours))
    yield Check(f"{what}: queries/s", *rates, _LOADGEN_LIMIT, disturbed, apart)
    if what.startswith("Offline"):
        return  # a sample's latency there is its place in the queue
    for name in PERCENTILES:
        pair = ([one.latencies[name] for one in figures] for figures in (theirs, ours))
        yield Check(f"{what}: p{name:g}, ms", *pair, _LOADGEN_LIMIT, disturbed, apart)


def _against_benchmark_app(model: OfflineModel, asked: Asked) -> Check:
    with Measuring(engine_host(model.engine), ["cpu:0"]) as measuring:
        streams = measuring.infer_depth - 1
        prepared = measuring.prepare("run", model.path, MeasureSetup(streams=streams))
        shapes = (prepared.default_shapes(1),)
        load = Load(shapes=shapes, infer_depth=streams, copy=False, warmup=0.3)
        measuring.configure("run", load)
        pairs: list[_Pair] = []
        for number in range(_TRIES * asked.rounds):
            runs = [_benchmark_app, _own_run]
            found: dict[Any, tuple[float, float]] = {}
            for one in runs[::-1] if number % 2 else runs:
                found[one] = one(model, measuring, load, asked.seconds)
            (theirs, others), (ours, more) = found[_benchmark_app], found[_own_run]
            pairs.append(_Pair(theirs, ours, max(others, more)))
            if sum(one.others <= DISTURBED for one in pairs) == asked.rounds:
                break
    pairs = sorted(pairs, key=lambda one: one.others)[: asked.rounds]
    return Check(
        "benchmark_app: images/s",
        [one.theirs for one in pairs],
        [one.ours for one in pairs],
        _BENCHMARK_APP_LIMIT,
        _disturbed(pairs),
    )


def _own_run(
    _: OfflineModel, measuring: Measuring, load: Load, seconds: float
) -> tuple[float, float]:
    """Return images per second, and the share of the machine that others had."""
    measuring.warm_up("run", load.warmup)
    found = measuring.measure("run", load, iterations=100, duration=seconds)
    return found.throughput, found.machine.others


def _disturbed(pairs: list[_Pair]) -> int:
    return sum(one.others > DISTURBED for one in pairs)


def _benchmark_app(
    model: OfflineModel, _: Measuring, load: Load, seconds: float
) -> tuple[float, float]:
    """Return images per second, and the share of the machine that others had."""
    count = str(load.infer_depth)
    command = [
        *(str(Path(sys.executable).with_name("benchmark_app")), "-d", "CPU", "-hint", "none"),
        *("-m", str(model.path / "model.xml"), "-infer_precision", _HINTS[model.spec.precision]),
        *("-nstreams", count, "-nthreads", count, "-nireq", count, "-pin", "NO"),
        *("-t", str(max(1, round(seconds)))),
    ]
    before, own = now(), _own_seconds()
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    others = between(before, now(), _own_seconds() - own, os.cpu_count() or 1).others
    (rate,) = re.findall(r"Throughput:\s+([\d.]+)", done.stdout)
    return float(rate), others


def _table(title: str, checks: list[Check]) -> Table:
    table = Table("figure", title=title, box=None, title_justify="left")
    for heading in ("theirs", "ours", "ratio", "95 % interval", "limit", "", "disturbed"):
        table.add_column(heading, justify="right")
    for one in checks:
        table.add_row(
            one.what,
            f"{statistics.median(one.theirs):.4g}",
            f"{statistics.median(one.ours):.4g}",
            f"{one.ratio:.4f}",
            "{:.3f} to {:.3f}".format(*one.interval),
            f"{100 * one.limit:g} %",
            "" if one.passed else "outside",
            f"{one.disturbed} of {len(one.ours)}",
        )
    return table


if __name__ == "__main__":
    sys.exit(main())
