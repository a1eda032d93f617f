"""How a device is best kept busy: a short measured search, whose result is kept (``--tune``).

All ways are loaded side by side and measured in interleaved rounds, so that a drift of the
machine favours none. Another way than the engine's usual one is chosen only where it is surely
faster. A stream has one thread in each, so streams and requests in flight change no answer. How a
batch is computed may hang on its size; it is searched for only where nobody named one.
"""

from __future__ import annotations

import functools
import json
import os
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mlubench.devices.host_load import cpu_model
from mlubench.devices.names import cores_of
from mlubench.devices.pool import DevicePool
from mlubench.engines.interface import Concurrency
from mlubench.engines.measuring import MeasureSetup
from mlubench.engines.traits import traits
from mlubench.metrics.rank_sum import greater_p
from mlubench.networks.compile import Compiled
from mlubench.runs.record import TriedRecord, TuningRecord
from mlubench.speed.measure.requests import Measurement
from mlubench.speed.measure.rounds import interleave
from mlubench.speed.measure.session import Load, Measuring
from mlubench.store import Store, write_json

_FILE = "tuning.json"
#: Raised by one whenever the search is another.
_CODE_VERSION = 2
#: Each way is measured in so many rounds of so many seconds, after so many of warming up.
_ROUNDS, _SECONDS, _WARM_UP = 8, 0.1, 0.02
_REQUESTS_AT_LEAST = 4
#: All comparisons together take another way for faster that is not in so many searches.
_LEVEL = 0.01


@dataclass(frozen=True)
class Way:
    """A way to keep a device busy: concurrency, and threads of the host that give it work."""

    concurrency: Concurrency
    threads: int = 1


def ways(engine: str, cores: int, *, threads: int = 1, more_threads: bool = False) -> list[Way]:
    """Return the ways to try, the engine's usual one first.

    Args:
        engine: its name.
        cores: of a device.
        threads: of the host on each device, usually.
        more_threads: whether another number of threads may be tried.
    """
    one = traits(engine)
    usual = one.infer_depth or cores + 1
    if one.streams:
        half = max(1, cores // 2)
        pairs = [(cores, usual), (cores, 2 * cores), (cores, max(2, cores)), (cores, usual + 2)]
        pairs += [(half, half + 1), (half, 2 * half)]
    else:
        pairs = [(0, usual), *((0, depth) for depth in (usual - 1, usual + 1, 2 * usual))]
    found = [Way(Concurrency(streams, max(2, requests)), threads) for streams, requests in pairs]
    if more_threads and not one.streams:
        found.append(Way(found[0].concurrency, threads + 1))
    return list(dict.fromkeys(found))


@dataclass(frozen=True)
class Candidate:
    """What a device may be given: a compiled network in batches of a size, in a way.

    Attributes:
        network: the compiled network's content key: network, precision, the engine's version.
        model: its files.
        batch_size: images of a request.
        way: how the device is kept busy with them.
    """

    network: str
    model: Path
    batch_size: int
    way: Way

    def key_parts(self) -> dict[str, Any]:
        """Return what its speed hangs on, but for the machine."""
        return {
            "network": self.network,
            "batch_size": self.batch_size,
            **vars(self.way.concurrency),
            "threads": self.way.threads,
        }


@dataclass(frozen=True)
class Search:
    """What is compared.

    Attributes:
        tried: the candidates, the usual one first.
        devices: what the engine says of each device.
    """

    tried: Sequence[Candidate]
    devices: Sequence[str]

    def key_parts(self) -> dict[str, Any]:
        """Return all that the result hangs on."""
        return {
            "tried": [one.key_parts() for one in self.tried],
            "devices": sorted(self.devices),
            "host": [cpu_model(), len(os.sched_getaffinity(0))],
            "code": _CODE_VERSION,
        }


class _DisturbedError(Exception):
    """A search that is not kept."""

    def __init__(self, record: TuningRecord) -> None:
        super().__init__(record)
        self.record = record


def tuned(
    search: Search,
    store: Store,
    measuring: Callable[[], Measuring],
    progress: Callable[[int, int], None],
) -> TuningRecord:
    """Return how devices are best kept busy with a network; measured unless the store knows it.

    What was measured while others had much of the host is not kept.

    Args:
        search: what is tried, and on which devices.
        store: where results are kept.
        measuring: gives the devices where they are needed; nothing else uses them meanwhile.
        progress: called with (measurements done, measurements in all).

    Raises:
        DeviceError: a device failed.
        StoreError: the store cannot be written.
    """

    def build(folder: Path) -> None:
        record = _searched(measuring(), search, progress)
        if record.disturbed:
            raise _DisturbedError(record)  # which leaves no entry
        write_json(folder / _FILE, record.model_dump(mode="json"))

    try:
        folder = store.get("tuned", search.key_parts(), build)
    except _DisturbedError as error:
        return error.record
    return TuningRecord.model_validate(json.loads((folder / _FILE).read_bytes()))


def tune_networks(
    devices: DevicePool,
    compiled: Sequence[Compiled],
    batch_size: int,
    store: Store,
    progress: Callable[[int, int], None],
) -> dict[str, TuningRecord]:
    """Return how an evaluation's devices are best kept busy, by precision.

    Args:
        devices: the devices, idle.
        compiled: the network in each precision.
        batch_size: images of a batch.
        store: as for :func:`tuned`.
        progress: likewise; each precision begins anew.

    Raises:
        DeviceError: as :func:`tuned`.
        StoreError: likewise.
    """
    tried = ways(devices.host.name, cores_of(devices.names))
    found = list(devices.descriptions.values())
    with measuring_apart(devices) as measuring:
        return {
            one.precision: tuned(
                Search([Candidate(one.key, one.folder, batch_size, way) for way in tried], found),
                store,
                measuring,
                progress,
            )
            for one in compiled
        }


@contextmanager
def measuring_apart(devices: DevicePool) -> Iterator[Callable[[], Measuring]]:
    """Give devices with workers of their own, which start where something is measured."""
    with ExitStack() as stack:
        yield functools.cache(lambda: stack.enter_context(Measuring(devices.host, devices.names)))


def concurrency_of(tuning: TuningRecord | None) -> Concurrency:
    """Return what a session is loaded with; the engine's own choice where nothing was tuned."""
    if tuning is None:
        return Concurrency()
    return Concurrency(tuning.best.streams, tuning.best.requests)


def chosen(rounds: Sequence[Sequence[float]]) -> tuple[int, list[float]]:
    """Return the place of the best one, and of each the p that it is faster than the first.

    The best is the one with the highest median of those that are surely faster than the first:
    by Mann and Whitney's one-sided test, with Bonferroni's correction for how many are compared;
    the first where none is.

    Args:
        rounds: per way, images per second of each round.
    """
    first = np.asarray(rounds[0])
    p_faster = [1.0, *(greater_p(first, np.asarray(one)) for one in rounds[1:])]
    level = _LEVEL / max(1, len(rounds) - 1)
    sure = [place for place, p in enumerate(p_faster) if p <= level]
    best = max(sure, key=lambda place: statistics.median(rounds[place]), default=0)
    return best, p_faster


def _searched(
    measuring: Measuring, search: Search, progress: Callable[[int, int], None]
) -> TuningRecord:
    found = _measured(measuring, search, progress)
    rounds = [[one.throughput for one in measurements] for measurements in found]
    disturbed = [one.machine.disturbed for measurements in found for one in measurements]
    best, p_faster = chosen(rounds)
    return TuningRecord(
        tried=[
            TriedRecord(
                batch_size=one.batch_size,
                streams=one.way.concurrency.streams,
                requests=one.way.concurrency.requests,
                threads=one.way.threads,
                images_per_second=[_rounded(rate) for rate in rates],
                p_faster=p,
            )
            for one, rates, p in zip(search.tried, rounds, p_faster, strict=True)
        ],
        chosen=best,
        disturbed=2 * sum(disturbed) >= len(disturbed),
    )


def _rounded(rate: float) -> float:
    """Return four digits: a rate is known no better."""
    return float(f"{rate:.4g}")


def _measured(
    measuring: Measuring, search: Search, progress: Callable[[int, int], None]
) -> list[list[Measurement]]:
    """Return the measurement of each candidate in each round."""
    loads = _loaded(measuring, search)
    found: dict[str, list[Measurement]] = {key: [] for key in loads}
    total = _ROUNDS * len(loads)
    try:
        for order in interleave(list(loads), _ROUNDS):
            for key in order:
                progress(sum(map(len, found.values())), total)
                measuring.warm_up(key, _WARM_UP)
                one = measuring.measure(
                    key, loads[key], iterations=_REQUESTS_AT_LEAST, duration=_SECONDS
                )
                found[key].append(one)
    finally:
        for key in loads:
            measuring.forget(key)
    progress(total, total)
    return list(found.values())


def _loaded(measuring: Measuring, search: Search) -> Mapping[str, Load]:
    loads = {}
    for number, one in enumerate(search.tried):
        key = f"tune {number}"
        streams = one.way.concurrency.streams
        setup = MeasureSetup(streams=streams, one_thread=bool(streams))
        prepared = measuring.prepare(key, one.model, setup)
        loads[key] = Load(
            shapes=(prepared.default_shapes(one.batch_size),),
            threads=one.way.threads,
            infer_depth=one.way.concurrency.requests,
            warmup=_WARM_UP,
        )
        measuring.configure(key, loads[key])
    return loads
