"""Measuring every configuration in interleaved rounds."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product

import numpy as np

from mlubench.devices.names import cores_of
from mlubench.engines.interface import BuildSpec
from mlubench.engines.measuring import MeasureSetup
from mlubench.engines.precisions import is_quantised
from mlubench.networks.choose import Network
from mlubench.networks.compile import Compiled, build_spec
from mlubench.runs.record import TuningRecord
from mlubench.speed.benchmark.options import BenchParameters
from mlubench.speed.benchmark.throughput import Configuration, Measured, RequestTimes, RoundFigures
from mlubench.speed.measure.requests import Measurement
from mlubench.speed.measure.rounds import interleave
from mlubench.speed.measure.session import Load, Measuring, Prepared, WarmedUp
from mlubench.speed.measure.tuning import Candidate, Search, tuned, ways
from mlubench.store import Store

#: Every activation's range in a network that is compiled for its speed alone; mm_build's own.
MADE_UP = (-1.0, 1.0)


@dataclass(frozen=True)
class Variant:
    """A network as it is compiled for the benchmark: precision, batch (of a static one), shape."""

    precision: str
    batch_size: int
    dynamic_shape: bool


def variants(asked: BenchParameters) -> list[Variant]:
    """Return the networks to compile; a dynamic one is compiled once for all batches."""
    wanted = product(asked.precision, asked.batch_size, asked.dynamic_shape)
    return list(dict.fromkeys(variant_of(asked, *one) for one in wanted))


def variant_of(asked: BenchParameters, precision: str, batch: int, dynamic: bool) -> Variant:
    """Return the network that runs a batch."""
    return Variant(precision, asked.batch_size[0] if dynamic else batch, dynamic)


def bench_spec(
    network: Network, asked: BenchParameters, variant: Variant, *, calibrated: bool
) -> BuildSpec:
    """Return how a network is compiled for the benchmark.

    Without images to calibrate on, its ranges are made up: they change its answers, not its
    speed.

    Raises:
        ConfigError: as :func:`mlubench.networks.compile.build_spec`.
    """
    options = asked.network(variant.batch_size, variant.dynamic_shape)
    spec = build_spec(network, options, variant.precision)
    made_up = is_quantised(spec.precision) and not calibrated and spec.random_calib_range is None
    return replace(spec, random_calib_range=MADE_UP) if made_up else spec


def device_sets(devices: Sequence[str]) -> list[tuple[str, ...]]:
    """Return the first 1, 2, 4, ... devices, and all of them."""
    counts = [1 << power for power in range(len(devices).bit_length())]
    return [
        tuple(devices[:count])
        for count in sorted({*counts, len(devices)} - {0})
        if count <= len(devices)
    ]


def configurations(asked: BenchParameters, infer_depth: int) -> list[Configuration]:
    """Return what is measured: the whole matrix on all devices, the largest batch on fewer too.

    Args:
        asked: the options.
        infer_depth: requests in flight, where the options do not say it.
    """
    everything = product(asked.precision, asked.batch_size, asked.dynamic_shape, [asked.devices])
    fewer = product(
        asked.precision,
        [max(asked.batch_size)],
        asked.dynamic_shape[:1],
        device_sets(asked.devices)[:-1],
    )
    return [
        Configuration(
            precision=precision,
            batch_size=batch,
            dynamic_shape=dynamic,
            devices=tuple(devices),
            threads=asked.threads,
            infer_depth=asked.infer_depth or infer_depth,
        )
        for precision, batch, dynamic, devices in [*everything, *fewer]
    ]


def tune_configurations(
    measuring: Measuring,
    asked: BenchParameters,
    compiled: Mapping[Variant, Compiled],
    store: Store,
    progress: Callable[[int, int], None],
) -> dict[str, TuningRecord]:
    """Return how all devices are best kept busy, by network and batch (:func:`tuned_name`).

    Args:
        measuring: the devices.
        asked: the options.
        compiled: the networks.
        store: where results are kept.
        progress: called with (measurements done, measurements in all); each search begins anew.

    Raises:
        DeviceError: a device failed.
        StoreError: the store cannot be written.
    """
    tried = ways(
        measuring.host.name, cores_of(measuring.names), threads=asked.threads, more_threads=True
    )
    found = {}
    for one in configurations(asked, measuring.infer_depth):
        if tuned_name(one) not in found:
            network = compiled[variant_of(asked, one.precision, one.batch_size, one.dynamic_shape)]
            devices = list(measuring.descriptions.values())
            search = Search(
                [Candidate(network.key, network.folder, one.batch_size, way) for way in tried],
                devices,
            )
            found[tuned_name(one)] = tuned(search, store, lambda: measuring, progress)
    return found


def tuned_name(one: Configuration) -> str:
    """Return what a configuration is tuned under, whatever its devices."""
    shape = "dynamic" if one.dynamic_shape else "static"
    return f"{one.precision}, batch {one.batch_size}, {shape}"


def measure_rounds(
    measuring: Measuring,
    asked: BenchParameters,
    compiled: Mapping[Variant, Compiled],
    tuning: Mapping[str, TuningRecord],
    progress: Callable[[int, int], None],
) -> list[Measured]:
    """Measure every configuration in each round, in an order that favours none.

    All networks stay loaded, so that a round differs from another by nothing but its time.

    Args:
        measuring: the devices.
        asked: the options.
        compiled: the networks.
        tuning: what :func:`tune_configurations` found; empty where nothing was tuned.
        progress: called with (measurements done, measurements in all).

    Raises:
        DeviceError: a device failed.
    """
    rigs = _loaded(measuring, asked, compiled, tuning)
    total = asked.rounds * len(rigs)
    rounds: dict[str, list[RoundFigures]] = {rig.configuration.name: [] for rig in rigs}
    for done, rig in enumerate(_in_turn(rigs, asked.rounds)):
        progress(done, total)
        warm = measuring.warm_up(rig.key, asked.warmup / 1e3, rig.configuration.devices)
        found = measuring.measure(
            rig.key,
            rig.load,
            iterations=asked.iterations,
            duration=asked.duration / 1e3,
            devices=rig.configuration.devices,
        )
        rounds[rig.configuration.name].append(round_figures(measuring.label, found, warm))
    progress(total, total)
    return [
        Measured(
            configuration=rig.configuration,
            executed_precision=rig.prepared.executed_precision,
            rounds=rounds[rig.configuration.name],
            speed_only=rig.speed_only,
        )
        for rig in rigs
    ]


@dataclass(frozen=True)
class _Rig:
    """A configuration that is loaded on its devices."""

    configuration: Configuration
    prepared: Prepared
    load: Load
    speed_only: bool

    @property
    def key(self) -> str:
        return self.configuration.name


def _loaded(
    measuring: Measuring,
    asked: BenchParameters,
    compiled: Mapping[Variant, Compiled],
    tuning: Mapping[str, TuningRecord],
) -> list[_Rig]:
    rigs = []
    for one in configurations(asked, measuring.infer_depth):
        variant = variant_of(asked, one.precision, one.batch_size, one.dynamic_shape)
        network, setup = compiled[variant], None
        if (search := tuning.get(tuned_name(one))) is not None:
            best = search.best
            one = replace(one, threads=best.threads, infer_depth=best.requests)
            setup = MeasureSetup(streams=best.streams, one_thread=bool(best.streams))
        prepared = measuring.prepare(one.name, network.folder, setup, one.devices)
        load = Load(
            shapes=(prepared.default_shapes(one.batch_size),),
            threads=one.threads,
            infer_depth=one.infer_depth,
            warmup=0.0,
        )
        measuring.configure(one.name, load, one.devices)
        rigs.append(_Rig(one, prepared, load, network.speed_only))
    return rigs


def _in_turn(rigs: Sequence[_Rig], rounds: int) -> Iterator[_Rig]:
    for order in interleave(rigs, rounds):
        yield from order


def round_figures(label: Callable[[str], str], found: Measurement, warm: WarmedUp) -> RoundFigures:
    """Return a measurement as a round's figures.

    Args:
        label: returns the name of a device that hides no simulation.
        found: the measurement.
        warm: the warm-up before it.
    """
    names = np.asarray([label(name) for name in found.devices], object)
    requests = RequestTimes(
        device=list(names[found.device]),
        thread=found.thread,
        batch_size=np.asarray(found.samples, np.int32)[found.group],
        start=found.moments[:, 0],
        copy_in=found.copy_in,
        compute=found.compute,
        copy_out=found.copy_out,
        device_seconds=found.device_seconds,
    )
    return RoundFigures(
        requests=requests,
        seconds=found.wall_seconds,
        cpu_seconds=found.machine.cpu_seconds,
        memory_kib=found.memory_kib,
        process_threads=found.threads,
        clock_mhz=found.machine.clock_mhz,
        load=found.machine.load,
        others=found.machine.others,
        disturbed=found.machine.disturbed,
        warmup_seconds=warm.seconds,
        steady=warm.steady,
    )
