"""A night's matrix on 1 to 256 cards: ``python -m benchmarks.night`` (make bench-night).

A discrete-event simulation of what the pipeline does, from rates that were measured or are stated:
networks one after the other, each compiled in every precision; per precision the network is loaded
on every card, and the images are cut into shards that the cards take, two ahead each, through one
process that hands them out and keeps their results. Hosts share nothing but that process, which
runs on the first of them. A core is shared in slices by all that want it.

``--check`` holds it against real runs: :mod:`benchmarks.night_check`.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import simpy
from rich.console import Console
from rich.table import Table

from benchmarks.night_runs import NETWORKS
from mlubench.devices.shards import cut

#: As :class:`mlubench.devices.pool.DevicePool` does it.
_AHEAD = 2
_BATCH = 8
#: Seconds that a core works for one before it turns to the next, as an operating system does it.
_SLICE = 0.01


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
        slot: a core's time for a shard before the card gets it, while the card waits: what a Dask
            worker does.
        wait: likewise, that no core is busy.
        others: of other processes, for a shard, which nobody waits for: of servers.
        slowdown: how many times longer a core takes while another one of its host works.
    """

    cards: tuple[float, ...]
    load: float
    host: float
    keep: float
    decode: float
    build: float
    slot: float = 0.0
    wait: float = 0.0
    others: float = 0.0
    slowdown: float = 1.0


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
        on_cores: whether a card is a core, the first of them the first card.
        straggler: by how much the first card is slower than the others.
        lost_after: seconds after which the last host is gone; its shards are done elsewhere.
    """

    hosts: int = 1
    cards: int = 8
    cores: int = 32
    on_cores: bool = False
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
    hosts = [_Cores(env, place.cores, rates.slowdown) for _ in range(place.hosts)]
    cards = []
    for host, cores in enumerate(hosts):
        for card in range(place.cards):
            slower = place.straggler if host == card == 0 else 1.0
            ends = place.lost_after if host == place.hosts - 1 else float("inf")
            own = card if place.on_cores else None
            one = _Card(env, rates, _Flow(flow, hosts[0]), cores, own, slower, ends, told)
            cards += [env.process(one.serve(waiting, undone)) for _ in range(_AHEAD)]
    yield env.all_of(cards)


class _Cores:
    """The cores of a host, each shared in slices by all that want it."""

    def __init__(self, env: simpy.Environment, count: int, slowdown: float) -> None:
        self._env, self._slowdown = env, slowdown
        self._cores = [simpy.Resource(env, 1) for _ in range(count)]

    def work(self, seconds: float, core: int | None = None) -> Iterator[Any]:
        """Work so long, on one of the cores or wherever fewest want to."""
        while seconds > 0:
            one = self._cores[core] if core is not None else min(self._cores, key=_wanted)
            with one.request() as turn:
                yield turn
                others = any(other.count for other in self._cores if other is not one)
                slower = self._slowdown if others else 1.0
                yield self._env.timeout(min(seconds, _SLICE / slower) * slower)
                seconds -= _SLICE / slower


def _wanted(core: simpy.Resource) -> int:
    return int(core.count + len(core.queue))


@dataclass(frozen=True)
class _Flow:
    """The process that hands out and keeps, and the cores that it runs on."""

    turn: simpy.Resource
    cores: _Cores


class _Card:
    """A card and its worker: shards' inputs and results overlap with inference."""

    def __init__(
        self,
        env: simpy.Environment,
        rates: Rates,
        flow: _Flow,
        cores: _Cores,
        own: int | None,
        slower: float,
        ends: float,
        told: Told,
    ) -> None:
        self._env, self._rates, self._told = env, rates, told
        self._flow, self._cores, self._card = flow, cores, simpy.Resource(env, 1)
        self._own, self._slower, self._ends = own, slower, ends

    def serve(self, waiting: list[int], undone: simpy.Container) -> Iterator[Any]:
        """Take shards until all are done; what a lost host had is put back."""
        while undone.level:
            if self._env.now >= self._ends:
                return
            if not waiting:
                # Another card may be lost with a shard.
                yield self._env.timeout(_SLICE)
                continue
            images = waiting.pop()
            yield from self._infer(images)
            if self._env.now >= self._ends:
                waiting.append(images)
                return
            if self._rates.others:
                self._env.process(self._flow.cores.work(self._rates.others))
            with self._flow.turn.request() as turn:
                yield turn
                yield from self._flow.cores.work(self._rates.keep)
            if undone.level:
                yield undone.get(1)

    def _infer(self, images: int) -> Iterator[Any]:
        with self._card.request() as turn:
            yield turn
            yield from self._cores.work(self._rates.slot, self._own)
            yield self._env.timeout(self._rates.wait)
            seconds = images * self._slower / self._rates.cards[0]
            host = self._env.process(self._cores.work(images * self._rates.host))
            yield self._env.all_of([self._env.process(self._compute(seconds)), host])
            self._told.busy += seconds
            self._told.shards += 1

    def _compute(self, seconds: float) -> Iterator[Any]:
        if self._own is None:
            yield self._env.timeout(seconds)
        else:
            yield from self._cores.work(seconds, self._own)


def main() -> int:
    """Print the tables, or check the simulation against real runs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--network", choices=NETWORKS, default=NETWORKS[0], help="of --check")
    parser.add_argument(
        "--cards", type=float, nargs="+", default=[640.0, 2016.0, 3500.0], help="images/s"
    )
    parser.add_argument("--load", type=float, default=2.0, help="s")
    parser.add_argument("--host", type=float, default=80e-6, help="core s an image")
    parser.add_argument("--keep", type=float, default=4e-3, help="s a shard")
    parser.add_argument("--decode", type=float, default=1.9e-3, help="core s an image")
    parser.add_argument("--build", type=float, default=60.0, help="s a network and precision")
    given = parser.parse_args()
    console = Console(highlight=False, width=100)
    if given.check:
        from benchmarks.night_check import check  # it simulates

        return check(given.network, console)
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


if __name__ == "__main__":
    sys.exit(main())
