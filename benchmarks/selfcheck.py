"""Whether speed can be judged here: ``python -m benchmarks.selfcheck`` (make bench-selfcheck).

A build is compared with itself twenty times: no comparison may fail. Then with a worker that takes
a tenth longer for each request: each comparison must fail. All rounds of a comparison are
interleaved, as in a benchmark. It takes about six minutes and wants a quiet machine.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from rich.console import Console

from mlubench.devices.engine_host import engine_host
from mlubench.metrics.speed import SpeedChange, compare_speed
from mlubench.metrics.verdict import Verdict
from mlubench.networks.choose import choose_network
from mlubench.networks.compile import Compiled, build_spec, compile_network
from mlubench.networks.importing import import_network
from mlubench.networks.options import NetworkParameters
from mlubench.presentation.text import verdict_text
from mlubench.runs.folders import Run
from mlubench.speed.measure.rounds import interleave
from mlubench.speed.measure.session import Load, Measuring

_SLOW = "benchmarks.slow_engine"
_ROUNDS = 20
_WARM_SECONDS, _SECONDS = 0.05, 0.25
#: One request at a time: its time is the engine's alone, and a late host is a slower device.
_IN_FLIGHT = 1


def main() -> int:
    """Make the comparisons; 0 where all are as they must be, 1 where not."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--same", type=int, default=20, help="comparisons with itself")
    parser.add_argument("--slowed", type=int, default=3, help="comparisons with a slowed worker")
    given = parser.parse_args()
    console = Console(highlight=False)
    with (
        tempfile.TemporaryDirectory() as folder,
        Measuring(engine_host("openvino"), ["cpu:0"]) as well,
        Measuring(engine_host(_SLOW), ["cpu:0"]) as slow,
    ):
        network = _sample(Path(folder), well)
        same = [_compare(well, well, network, place) for place in range(given.same)]
        slower = [_compare(well, slow, network, place) for place in range(given.slowed)]
    for title, changes in (("with itself", same), ("with a worker slowed by a tenth", slower)):
        console.print(f"{len(changes)} comparisons {title}:")
        for change in changes:
            console.print(f"  {verdict_text(change.verdict):<12} {change.reason}", soft_wrap=True)
    alarms = sum(change.verdict is Verdict.FAIL for change in same)
    caught = sum(change.verdict is Verdict.FAIL for change in slower)
    console.print(f"false alarms: {alarms} of {len(same)}; caught: {caught} of {len(slower)}")
    return 0 if not alarms and caught == len(slower) else 1


def _sample(out: Path, measuring: Measuring) -> Compiled:
    asked, run = NetworkParameters(batch_size=8, out=out), Run(out)
    network = choose_network(asked)
    return compile_network(
        import_network(network, run.store),
        build_spec(network, asked, "force_float32"),
        None,
        measuring.host,
        measuring.engine,
        run.store,
        ["cpu:0/1"],
    )


def _compare(well: Measuring, other: Measuring, network: Compiled, place: int) -> SpeedChange:
    """Compare two loadings of one network, round by round in turn."""
    sides = {f"a{place}": well, f"b{place}": other}
    load = Load(shapes=(((8, 56, 56, 3),),), infer_depth=_IN_FLIGHT, warmup=0.2)
    for key, measuring in sides.items():
        measuring.prepare(key, network.folder)
        measuring.configure(key, load)
    rounds: dict[str, list[float]] = {key: [] for key in sides}
    for order in interleave(list(sides), _ROUNDS):
        for key in order:
            sides[key].warm_up(key, _WARM_SECONDS)
            found = sides[key].measure(key, load, iterations=10, duration=_SECONDS)
            rounds[key].append(found.throughput)
    for key, measuring in sides.items():
        measuring.forget(key)
    return compare_speed(*rounds.values())


if __name__ == "__main__":
    sys.exit(main())
