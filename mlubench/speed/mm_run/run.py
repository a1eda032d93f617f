"""One compiled network measured as mm_run measures: load, warm up, keep requests in flight."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from mlubench.devices.card_power import sampled
from mlubench.devices.engine_host import engine_host
from mlubench.engines.magicmind.sampler import CardUse
from mlubench.engines.measuring import MeasureSetup
from mlubench.engines.traits import device_names, traits
from mlubench.errors import ConfigError
from mlubench.networks.compiled_file import OfflineModel, read_offline_model
from mlubench.speed.measure.requests import Measurement
from mlubench.speed.measure.session import Load, Measuring, Prepared, WarmedUp
from mlubench.speed.mm_run.options import RunParameters
from mlubench.speed.mm_run.tool.results import Shape, Timing
from mlubench.speed.mm_run.tool.shapes import shape_groups
from mlubench.speed.profile.layers import profile_layers
from mlubench.speed.profile.times import LayerTimes
from mlubench.store import make_folder

_KEY = "run"
#: Clocks of --trace_time that read the device's own.
_DEVICE_CLOCKS = ("dev", "both")


@dataclass(frozen=True)
class Bed:
    """On what a network was measured.

    Attributes:
        asked: the options.
        model: the network.
        engine: the engine's name, which says where it is simulated.
        engine_version: its version.
        devices: what the engine says of each device, by name.
        prepared: the network as it was loaded.
        load_seconds: how long loading took.
    """

    asked: RunParameters
    model: OfflineModel
    engine: str
    engine_version: str
    devices: Mapping[str, str]
    prepared: Prepared
    load_seconds: float


@dataclass(frozen=True, eq=False)
class ModelRun:
    """A run and what it found.

    Attributes:
        bed: on what.
        groups: the input shapes that took turns, by the inputs' names.
        load: how the devices were loaded.
        warmed: the warm-up.
        found: the measurement.
        use: of the cards that report it, by name.
        layers: their times, where they were asked for.
        timings: of what was done before, in mm_run's words.
    """

    bed: Bed
    groups: tuple[tuple[Shape, ...], ...]
    load: Load
    warmed: WarmedUp
    found: Measurement
    use: Mapping[str, CardUse] = field(default_factory=dict)
    layers: LayerTimes | None = None
    timings: tuple[Timing, ...] = ()


def run_model(asked: RunParameters) -> ModelRun:
    """Measure a compiled network.

    Raises:
        ConfigError: an option is wrong, has no meaning on the engine, or does not fit the network.
        DeviceError: a device failed.
    """
    model = read_offline_model(asked.magicmind_model)
    refuse_meaningless(asked, model.engine)
    make_folders(asked)
    with Measuring(engine_host(model.engine, asked.conf), run_devices(asked, model)) as measuring:
        bed = prepare(measuring, _KEY, asked, model, requests=asked.threads * _depth(asked))
        groups = shape_groups(asked, [(one.name, one.dims) for one in bed.prepared.inputs])
        load = run_load(asked, model, bed.prepared, groups)
        warmed = measuring.configure(_KEY, load)
        with sampled(measuring.host, measuring.names) as use:
            found = measuring.measure(
                _KEY,
                load,
                iterations=asked.iterations,
                duration=asked.duration / 1e3,
                outputs=asked.output_path,
            )
        layers = _look_inside(measuring, bed, load)
    timings = (
        Timing("CreateEngine", round(1e3 * bed.load_seconds, 3)),
        Timing("WarmUp", round(1e3 * warmed.seconds, 3)),
    )
    return ModelRun(bed, groups, load, warmed, found, use, layers, timings)


def make_folders(asked: RunParameters) -> None:
    """Make the folders that the options name: before the run, whose figures would be lost.

    Raises:
        StoreError: one cannot be made.
    """
    trace, debug, perf = asked.trace_path, asked.debug_path, asked.perf_path
    for folder in (asked.output_path, trace, debug, perf, asked.out):
        if folder is not None:
            make_folder(folder)


def _look_inside(measuring: Measuring, bed: Bed, load: Load) -> LayerTimes | None:
    """Write the layers' outputs, and return their times, where they are asked for.

    Both slow a network, so they have runs of their own.
    """
    asked, model = bed.asked, bed.model
    if asked.debug_path is not None:
        measuring.dump(_KEY, model.path, load, asked.debug_path)
    measuring.forget(_KEY)
    if asked.perf_path is None:
        return None
    setup = _setup(asked, requests=asked.threads * _depth(asked), profile=True)
    return profile_layers(measuring, model, setup, load)


def run_devices(asked: RunParameters, model: OfflineModel) -> tuple[str, ...]:
    """Return the names of the devices.

    Raises:
        ConfigError: one is named twice.
    """
    names = device_names(model.engine, asked.devices)
    if len(set(names)) < len(names):
        raise ConfigError(
            "one device is named twice", where="--devices", expected="each once", fix=""
        )
    return names


def prepare(
    measuring: Measuring,
    key: str,
    asked: RunParameters,
    model: OfflineModel,
    *,
    requests: int,
    streams: int = 0,
) -> Bed:
    """Load a network on all devices, and say on what it is measured.

    Args:
        measuring: the devices.
        key: later calls name it.
        asked: the options.
        model: the network.
        requests: how many will be in flight on a device.
        streams: where the options name none; 0 leaves it to the engine.

    Raises:
        ConfigError: the engine has not got what the options ask for.
        DeviceError: it cannot be loaded.
    """
    begin = time.perf_counter()
    prepared = measuring.prepare(key, model.path, _setup(asked, requests, streams))
    return Bed(
        asked=asked,
        model=model,
        engine=measuring.label(model.engine),
        engine_version=measuring.engine["version"],
        devices={measuring.label(name): text for name, text in measuring.descriptions.items()},
        prepared=prepared,
        load_seconds=time.perf_counter() - begin,
    )


def _setup(
    asked: RunParameters, requests: int, streams: int = 0, *, profile: bool = False
) -> MeasureSetup:
    return MeasureSetup(
        streams=asked.streams or streams,
        profile=profile,
        requests=requests,
        pinned=asked.bind_cluster,
        plugin=tuple(str(path.resolve()) for path in asked.plugin),
    )


def _depth(asked: RunParameters) -> int:
    """Requests in flight of each thread: one where nothing is to overlap."""
    return 1 if asked.datatransfer_opt is False else asked.infer_depth


def run_load(
    asked: RunParameters,
    model: OfflineModel,
    prepared: Prepared,
    groups: Sequence[Sequence[Shape]],
) -> Load:
    """Return how the devices are loaded.

    Args:
        asked: the options.
        model: the network.
        prepared: as it was loaded.
        groups: the input shapes that take turns.

    Raises:
        ConfigError: input files or shapes do not fit the network.
    """
    files = asked.input_files
    if files and len(files) != len(prepared.inputs):
        raise ConfigError(
            f"names {len(files)} files",
            where="--input_files",
            expected=f"{len(prepared.inputs)}: " + ", ".join(one.name for one in prepared.inputs),
        )
    if files and len(groups) > 1:
        raise ConfigError(
            "there is one set of files for several shapes",
            where="--input_files and --run_config",
            expected="one of the two",
        )
    if asked.disable_data_copy and len(groups) > _depth(asked):
        raise ConfigError(
            f"{len(groups)} shapes do not fit {_depth(asked)} requests in flight, each of which "
            "keeps its inputs",
            where="--run_config and --disable_data_copy",
            expected="a request in flight for each of the shapes",
            fix=f"give --infer_depth {len(groups)}, or leave out --disable_data_copy",
        )
    for group in groups:
        check_batch(model, group[0][1][0])
    return Load(
        shapes=tuple(tuple(dims for _, dims in group) for group in groups),
        inputs=tuple(path.resolve() for path in files) or None,
        threads=asked.threads,
        infer_depth=_depth(asked),
        buffer_depth=asked.buffer_depth,
        copy=not asked.disable_data_copy,
        warmup=asked.warmup / 1e3,
        host_async=asked.host_async,
    )


def check_batch(model: OfflineModel, batch: int) -> None:
    """Refuse a batch that a dynamic network was not compiled for.

    Raises:
        ConfigError: it is beyond the network's range.
    """
    low, high = model.spec.dim_range or (batch, batch)
    if not low <= batch <= high:
        raise ConfigError(
            f"the network was compiled for batches of {low} to {high}",
            where=f"--batch_size {batch}",
            expected=f"{low} to {high}",
        )


def refuse_meaningless(asked: RunParameters, engine: str) -> None:
    """Refuse by name what has no meaning on an engine; nothing is ignored.

    Raises:
        ConfigError: names the option, the reason and what to do.
    """
    device_clock = asked.trace_time in _DEVICE_CLOCKS
    for name, reason in traits(engine).not_in_run.items():
        if device_clock if name == "trace_time" else getattr(asked, name):
            with_tool = traits(engine).family == "mlu"
            raise ConfigError(
                reason,
                where=f"--{name}",
                fix="leave it out" + (", or run mm_run itself with --native" * with_tool),
            )
