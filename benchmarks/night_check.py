"""The simulation of a night against real runs: ``python -m benchmarks.night --check``.

One network in one precision on two cores, images decoded and the network compiled already. Rates
are taken from a run on one device, and how much slower a core is while the other one works from
the bare engine; both predict one device and two, each device a core. A run on one Dask worker
gives what Dask, Prefect and the flow cost for a shard; it predicts two Dask workers. No prediction
of more than one uses anything of the run that it is held against.
"""

from __future__ import annotations

import os
import statistics
import tempfile
from contextlib import ExitStack
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.machine import machine
from benchmarks.night import Night, Place, Rates, simulate
from benchmarks.night_runs import NETWORKS, PRECISION, SHARDS, Cluster, Observed, observed
from benchmarks.pipeline import bare_rate, halves, networks, prepared
from mlubench.devices.engine_host import engine_host
from mlubench.devices.pool import DevicePool
from mlubench.evaluate.options import EvaluateParameters
from mlubench.networks.choose import choose_network
from mlubench.runs.folders import Run

#: How far a prediction may be off.
WITHIN = 0.15
_BARE_ROUNDS = 3
_BARE_SECONDS = 4.0
_FEW = 48
#: Images of a run: some tens of seconds of a core.
_IMAGES = {"squeezenet": 1536, "se_resnet50": 384}


def check(network: str, console: Console) -> int:
    """Print predictions beside runs; return 0 where all are within :data:`WITHIN`."""
    with tempfile.TemporaryDirectory() as folder, console.status("measuring"):
        asked = _asked(network, Path(folder))
        console.print(f"{network} {PRECISION}, {asked.image_num} images; {machine()}")
        slowdown = _slowdown(asked)
        one = observed(asked, ["--devices", "cpu:0/2"])
        two = observed(asked, ["--devices", "cpu:0/2", "cpu:1/2"])
        far_one, far_two = _dask(asked, Path(folder))
    console.print(f"a core beside another that works takes {slowdown:.2f} times as long")
    here, there = local_rates(one, slowdown), dask_rates(far_one, slowdown)
    for name, rates in (("devices", here), ("Dask workers", there)):
        console.print(f"{name}: {_words(rates)}")
    table = Table("run", "seconds", "simulated", "ratio", "cores busy with others'", box=None)
    within = True
    for name, run, rates, devices in (
        ("1 device", one, here, 1),
        ("2 devices", two, here, 2),
        ("1 Dask worker", far_one, there, 1),
        ("2 Dask workers", far_two, there, 2),
    ):
        seconds = predicted(rates, run.images, devices)
        ratio = seconds / run.stage
        within &= abs(ratio - 1) <= WITHIN
        figures = (f"{run.stage:.2f}", f"{seconds:.2f}", f"{ratio:.3f}", f"{run.disturbed:.2f}")
        table.add_row(name, *figures)
    console.print(table)
    return 0 if within else 1


def local_rates(one: Observed, slowdown: float) -> Rates:
    """Return what things cost, from a run on one device of this host."""
    return Rates(
        cards=(one.images / sum(one.inferring),),
        load=max(0.0, one.stage - one.span),
        host=0.0,
        keep=one.flow / SHARDS,
        decode=0.0,
        build=0.0,
        others=one.others / SHARDS,
        slowdown=slowdown,
    )


def dask_rates(one: Observed, slowdown: float) -> Rates:
    """Return what things cost, from a run on one Dask worker: a shard's way is added."""
    # The first shard's way is before the span.
    way = (one.span - sum(one.inferring)) / (SHARDS - 1)
    slot = one.workers / SHARDS
    return Rates(
        cards=(one.images / sum(one.inferring),),
        load=max(0.0, one.stage - one.span - way),
        host=0.0,
        keep=one.flow / SHARDS,
        decode=0.0,
        build=0.0,
        slot=slot,
        wait=max(0.0, way - slot),
        others=one.others / SHARDS,
        slowdown=slowdown,
    )


def predicted(rates: Rates, images: int, devices: int) -> float:
    """Return the simulated seconds of inference on so many cores of this host."""
    night = Night(networks=1, images=images, decodings=0, shard=images // SHARDS)
    cores = len(os.sched_getaffinity(0))
    place = Place(hosts=1, cards=devices, cores=cores, on_cores=True)
    return simulate(night, place, rates).total


def _words(rates: Rates) -> str:
    return (
        f"{rates.cards[0]:.1f} images/s, loading {rates.load:.2f} s; ms a shard: "
        f"flow {1e3 * rates.keep:.1f}, servers {1e3 * rates.others:.1f}, "
        f"Dask worker {1e3 * rates.slot:.1f}, waiting {1e3 * rates.wait:.1f}"
    )


def _asked(network: str, folder: Path) -> EvaluateParameters:
    # As the tests find it: tests/conftest.py.
    root = Path(__file__).resolve().parents[1]
    data = Path(os.environ.get("MLUBENCH_TEST_DATA", root.parent / "shared" / "data"))
    found = list(networks(data, folder))[NETWORKS.index(network)]
    return found.model_copy(update={"image_num": _IMAGES[network], "precision": (PRECISION,)})


def _slowdown(asked: EvaluateParameters) -> float:
    """Return how many times longer the bare engine takes on a core while another core works.

    The images are decoded and the network compiled meanwhile, for the runs after it.
    """
    network, run = choose_network(asked), Run(asked.out)
    with DevicePool(engine_host(asked.engine), ("cpu:0/2",)) as devices:
        compiled, _ = prepared(asked, network, run, devices)
    groups = halves()
    rate = bare_rate(compiled, 4, groups[:1])
    batches = max(4, round(_BARE_SECONDS * rate / asked.batch_size))
    found = []
    for _ in range(_BARE_ROUNDS):
        alone = bare_rate(compiled, batches, groups[:1])
        found.append(2 * alone / bare_rate(compiled, batches, groups))
    return max(1.0, statistics.median(found))


def _dask(asked: EvaluateParameters, folder: Path) -> tuple[Observed, Observed]:
    """Return a run on one Dask worker and one on two, each after one that warms them."""
    with ExitStack() as stack:
        cluster = stack.enter_context(Cluster(folder).running())
        runs = []
        for core in sorted(os.sched_getaffinity(0))[:2]:
            stack.enter_context(cluster.worker(core))
            few = asked.model_copy(update={"image_num": _FEW})
            for images in (few, asked):
                run = observed(images, ["--devices", "cpu:0/2"], cluster)
            runs.append(run)
        one, two = runs
    return one, two
