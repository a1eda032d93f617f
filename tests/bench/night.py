"""A night's matrix on 1 to 256 cards: ``python -m tests.bench.night`` (make bench-night).

A discrete-event simulation of what the pipeline does, from rates that were measured or are stated:
networks one after the other, each compiled in every precision; per precision the network is loaded
on every card, and the images are cut into shards that the cards take, two ahead each, through one
process that hands them out and keeps their results. Hosts share nothing but that process.

``--check`` evaluates SqueezeNet v1.1 on one device (a core), takes the rates from that run,
predicts the seconds of two devices, and evaluates on two.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import simpy
from rich.console import Console
from rich.table import Table

from mlubench.pipeline.parameters import EvaluateParameters
from mlubench.pipeline.shards import cut
from tests.bench.pipeline import networks

#: As :class:`mlubench.pipeline.dispatch.DevicePool` does it.
_AHEAD = 2
_BATCH = 8


@dataclass(frozen=True)
class Rates:
    """What things cost; seconds, of one card or one core.

    Attributes:
        cards: images per second of a card, in each precision.
        load: loading a network on a card.
        host: a core's time for an image on its way to a card and back.
        keep: of the flow's process, for a shard.
        decode: a core's time for an image, once for all precisions.
        build: compiling a network in a precision.
    """

    cards: tuple[float, ...]
    load: float
    host: float
    keep: float
    decode: float
    build: float


@dataclass(frozen=True)
class Night:
    """What is run.

    Attributes:
        networks: how many; each in as many precisions as there are rates of a card.
        images: for each.
        decodings: how many of the networks need the images decoded in a way of their own.
        shard: images of a shard.
    """

    networks: int = 18
    images: int = 50_000
    decodings: int = 3
    shard: int = 512


@dataclass(frozen=True)
class Place:
    """Where it is run.

    Attributes:
        hosts: how many.
        cards: of each.
        cores: of each.
        straggler: by how much the first card is slower than the others.
        lost_after: seconds after which the last host is gone; its shards are done elsewhere.
    """

    hosts: int = 1
    cards: int = 8
    cores: int = 32
    straggler: float = 1.0
    lost_after: float = float("inf")

    @property
    def all_cards(self) -> int:
        """Of all hosts."""
        return self.hosts * self.cards


@dataclass
class Told:
    """Where a night's time went, in seconds.

    Attributes:
        total: of the night.
        busy: cards' seconds of inference.
        loading: of loading, on all cards at once.
        building: of compiling.
        decoding: of waiting for images to be decoded.
        shards: how many were done, those done again included.
    """

    total: float = 0.0
    busy: float = 0.0
    loading: float = 0.0
    building: float = 0.0
    decoding: float = 0.0
    shards: int = 0

    def utilisation(self, place: Place) -> float:
        """The share of the cards' time that they inferred."""
        return self.busy / (self.total * place.all_cards)


def simulate(night: Night, place: Place, rates: Rates) -> Told:
    """Return how long a night takes and where the time goes."""
    env = simpy.Environment()
    told = Told()
    env.run(env.process(_networks(env, night, place, rates, told)))
    told.total = env.now
    return told


def _networks(
    env: simpy.Environment, night: Night, place: Place, rates: Rates, told: Told
) -> Iterator[simpy.Event]:
    for network in range(night.networks):
        building = len(rates.cards) * rates.build  # one after the other
        # The images are decoded while the network is compiled.
        decoding = 0.0
        if network < night.decodings:
            decoding = night.images * rates.decode / (place.hosts * place.cores)
        yield env.timeout(max(building, decoding))
        told.building += building
        told.decoding += max(0.0, decoding - building)
        for card in rates.cards:
            yield env.timeout(rates.load)
            told.loading += rates.load
            yield env.process(_precision(env, night, place, replace(rates, cards=(card,)), told))


def _precision(
    env: simpy.Environment, night: Night, place: Place, rates: Rates, told: Told
) -> Iterator[simpy.Event]:
    count = max(1, round(night.images / night.shard))
    waiting = [one.images for one in cut(night.images, _BATCH, count, place.all_cards)][::-1]
    flow = simpy.Resource(env, 1)
    undone = simpy.Container(env, init=len(waiting))
    cards = []
    for host in range(place.hosts):
        cores = simpy.Resource(env, place.cores)
        for card in range(place.cards):
            slower = place.straggler if host == card == 0 else 1.0
            ends = place.lost_after if host == place.hosts - 1 else float("inf")
            one = _Card(env, rates, flow, cores, slower, ends, told)
            cards += [env.process(one.serve(waiting, undone)) for _ in range(_AHEAD)]
    yield env.all_of(cards)


class _Card:
    """A card and its worker: shards' inputs and results overlap with inference."""

    def __init__(
        self,
        env: simpy.Environment,
        rates: Rates,
        flow: simpy.Resource,
        cores: simpy.Resource,
        slower: float,
        ends: float,
        told: Told,
    ) -> None:
        self._env, self._rates, self._told = env, rates, told
        self._flow, self._cores, self._card = flow, cores, simpy.Resource(env, 1)
        self._slower, self._ends = slower, ends

    def serve(self, waiting: list[int], undone: simpy.Container) -> Iterator[Any]:
        """Take shards until all are done; what a lost host had is put back."""
        while undone.level:
            if self._env.now >= self._ends:
                return
            if not waiting:
                # Another card may be lost with a shard.
                yield self._env.timeout(self._rates.keep)
                continue
            images = waiting.pop()
            yield from self._infer(images)
            if self._env.now >= self._ends:
                waiting.append(images)
                return
            yield from self._hold(self._flow, self._rates.keep)
            if undone.level:
                yield undone.get(1)

    def _infer(self, images: int) -> Iterator[Any]:
        with self._card.request() as turn:
            yield turn
            seconds = images * self._slower / self._rates.cards[0]
            host = self._env.process(self._hold(self._cores, images * self._rates.host))
            yield self._env.all_of([self._env.timeout(seconds), host])
            self._told.busy += seconds
            self._told.shards += 1

    def _hold(self, resource: simpy.Resource, seconds: float) -> Iterator[Any]:
        with resource.request() as turn:
            yield turn
            yield self._env.timeout(seconds)


def main() -> int:
    """Print the tables, or check the simulation against real runs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true")
    parser.add_argument(
        "--cards", type=float, nargs="+", default=[640.0, 2016.0, 3500.0], help="images/s"
    )
    parser.add_argument("--load", type=float, default=2.0, help="s")
    parser.add_argument("--host", type=float, default=60e-6, help="core s an image")
    parser.add_argument("--keep", type=float, default=4e-3, help="s a shard")
    parser.add_argument("--decode", type=float, default=2e-3, help="core s an image")
    parser.add_argument("--build", type=float, default=60.0, help="s a network and precision")
    given = parser.parse_args()
    console = Console(highlight=False, width=100)
    if given.check:
        return _check(console)
    rates = Rates(tuple(given.cards), given.load, given.host, given.keep, given.decode, given.build)
    for table in (_sizes(rates), _shards(rates), _troubles(rates)):
        console.print(table)
        console.print()
    return 0


_PLACES = tuple(
    Place(hosts=hosts, cards=cards)
    for hosts, cards in ((1, 1), (1, 2), (1, 4), (1, 8), (1, 16), (2, 8), (4, 8), (8, 8), (32, 8))
)


def _sizes(rates: Rates) -> Table:
    table = _table("A night on so many cards", "hosts", "cards", *_FIGURES)
    for place in _PLACES:
        table.add_row(str(place.hosts), str(place.all_cards), *_figures(Night(), place, rates))
    return table


def _shards(rates: Rates) -> Table:
    table = _table("Images of a shard, 8 and 64 cards", "images", "cards", *_FIGURES)
    for shard in (64, 128, 256, 512, 1024, 2048, 4096):
        for hosts in (1, 8):
            place = Place(hosts=hosts)
            figures = _figures(Night(shard=shard), place, rates)
            table.add_row(str(shard), str(place.all_cards), *figures)
    return table


def _troubles(rates: Rates) -> Table:
    table = _table("What goes wrong, 64 cards on 8 hosts", "trouble", "shard", *_FIGURES)
    for shard in (128, 512, 2048):
        for name, place in (
            ("none", Place(hosts=8)),
            ("a card at half its speed", Place(hosts=8, straggler=2.0)),
            ("a host lost after a minute", Place(hosts=8, lost_after=60.0)),
        ):
            table.add_row(name, str(shard), *_figures(Night(shard=shard), place, rates))
    return table


_FIGURES = ("minutes", "cards busy", "loading", "decoding", "shards", "compiled anew, minutes")


def _figures(night: Night, place: Place, rates: Rates) -> list[str]:
    """A night on which every network was in the cache, and how long one takes where none was."""
    told = simulate(night, place, replace(rates, build=0.0))
    cold = simulate(night, place, rates)
    return [
        f"{told.total / 60:.1f}",
        f"{100 * told.utilisation(place):.0f} %",
        *(f"{100 * part / told.total:.0f} %" for part in (told.loading, told.decoding)),
        str(told.shards),
        f"{cold.total / 60:.1f}",
    ]


def _table(title: str, *headings: str) -> Table:
    table = Table(title=title, title_justify="left", box=None)
    for heading in headings:
        table.add_column(heading, justify="right")
    return table


def _check(console: Console) -> int:
    """Predict two devices from one; 0 where the prediction is within 15 %."""
    root = Path(__file__).resolve().parent.parent.parent
    # As the tests find it: tests/conftest.py.
    data = Path(os.environ.get("MLUBENCH_TEST_DATA", root.parent / "shared" / "data"))
    with tempfile.TemporaryDirectory() as folder:
        asked = next(iter(networks(data, Path(folder))))
        _evaluate(asked, ["cpu:0/2"])  # compiles and decodes
        one = _evaluate(asked, ["cpu:0/2"])
        two = _evaluate(asked, ["cpu:0/2", "cpu:1/2"])
    predicted = _predicted(one, 2)
    ratio = predicted / two.seconds
    console.print(f"one device: {one.seconds:.2f} s; two: {two.seconds:.2f} s")
    console.print(f"two, predicted from one: {predicted:.2f} s, ratio {ratio:.3f}")
    return 0 if abs(ratio - 1) <= _WITHIN else 1


_WITHIN = 0.15
#: Images of a run that the simulation is checked against.
_CHECKED = 1024


@dataclass(frozen=True)
class _Run:
    """An evaluation: the seconds of inference, and its shards'."""

    seconds: float
    precisions: int
    images: int
    shard_seconds: Sequence[float]


def _evaluate(asked: EvaluateParameters, devices: Sequence[str]) -> _Run:
    command = [str(Path(sys.executable).with_name("mlubench")), "eval", "--out", str(asked.out)]
    command += ["--prototxt", str(asked.prototxt), "--caffemodel", str(asked.caffemodel)]
    command += ["--input_size", str(asked.input_size), "--means", "104", "117", "123"]
    command += ["--label_order", "2012", "--image_dir", str(asked.image_dir)]
    command += ["--label_file", str(asked.label_file), "--label_file_order", "2012"]
    command += ["--calibration_dir", str(asked.calibration_dir), "--image_num", str(_CHECKED)]
    command += ["--shards", "16", "--devices", *devices]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    runs = (asked.out / "runs").glob("[!.]*/run.json")
    if done.returncode not in (0, 1, 3):
        raise RuntimeError(done.stdout + done.stderr)
    newest = max(runs, key=lambda path: path.stat().st_mtime)
    record = json.loads(newest.read_text())
    shards = pq.read_table(newest.with_name("shards.parquet")).to_pylist()
    return _Run(
        seconds=record["seconds"]["infer"],
        precisions=len({shard["precision"] for shard in shards}),
        images=record["dataset"]["images"]["scored"],
        shard_seconds=[shard["seconds"] for shard in shards],
    )


def _predicted(one: _Run, devices: int) -> float:
    """Return the seconds of inference on so many devices, from a run on one."""
    busy = sum(one.shard_seconds)
    rest = (one.seconds - busy) / one.precisions
    rates = Rates(
        cards=(one.images * one.precisions / busy,) * one.precisions,
        load=max(rest, 0.0),
        host=0.0,
        keep=1e-3,
        decode=0.0,
        build=0.0,
    )
    night = Night(1, one.images, decodings=0, shard=one.images // 16)
    return simulate(night, replace(Place(), cards=devices), rates).total


if __name__ == "__main__":
    sys.exit(main())
