"""Every layer's time of a compiled network, by the network's own names of the layers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mlubench.devices.engine_host import engine_host
from mlubench.engines.measuring import MeasureSetup
from mlubench.engines.traits import device_names, traits
from mlubench.errors import ConfigError
from mlubench.networks.compiled_file import OfflineModel, read_offline_model
from mlubench.speed.measure.session import Load, Measuring
from mlubench.speed.profile.times import LayerTimes, merged, usual_times

_KEY = "layers"
#: An engine tells of the last requests only; so many rounds of them make a mean.
ROUNDS = 20


@dataclass(frozen=True)
class ProfileAsked:
    """How layers are timed.

    Attributes:
        batch_size: of a dynamic network; None is what it was compiled with.
        device: its name or number.
        streams: inferences side by side.
        warmup: milliseconds.
        conf: further folders of catalogues.
    """

    batch_size: int | None
    device: str
    streams: int
    warmup: int
    conf: tuple[Path, ...]


def profile_models(paths: Sequence[Path], asked: ProfileAsked) -> list[LayerTimes]:
    """Return the layers' times of compiled networks of one engine.

    Args:
        paths: what ``mlubench compile`` wrote; one or more.
        asked: how.

    Raises:
        ConfigError: one is no compiled network, or its engine does not tell its layers' times.
        DeviceError: the device failed.
    """
    models = [read_offline_model(path) for path in paths]
    engine = models[0].engine
    for model in models:
        if model.engine != engine:
            raise ConfigError(
                f"was compiled for {model.engine}, the other for {engine}",
                where=str(model.path),
                expected="networks of one engine",
            )
        refuse_profile(model.engine, str(model.path))
    batches = [asked.batch_size or model.spec.batch_size for model in models]
    if len(set(batches)) > 1:
        raise ConfigError(
            f"runs batches of {batches[1]}, the other of {batches[0]}",
            where=str(models[1].path),
            expected="the same batch",
            fix="compile one of them again, with the other's --batch_size",
        )
    names = device_names(engine, [asked.device])
    with Measuring(engine_host(engine, asked.conf), names) as measuring:
        setup = MeasureSetup(streams=asked.streams, profile=True)
        return [_profile_alone(measuring, model, setup, asked) for model in models]


def refuse_profile(engine: str, where: str) -> None:
    """Refuse an engine that does not tell its layers' times.

    Raises:
        ConfigError: with the reason.
    """
    reason = traits(engine).not_in_run.get("perf_path")
    if reason is not None:
        raise ConfigError(
            reason, where=where, fix="run mm_run itself: mlubench run --native --perf_path"
        )


def _profile_alone(
    measuring: Measuring, model: OfflineModel, setup: MeasureSetup, asked: ProfileAsked
) -> LayerTimes:
    """Profile a network with one request in flight for each stream."""
    prepared = measuring.prepare(_KEY, model.path, setup)
    batch = asked.batch_size or model.spec.batch_size
    shape = prepared.default_shapes(batch)
    if shape[0][0] != batch:
        raise ConfigError(
            f"the network was compiled for batches of {shape[0][0]}",
            where=f"--batch_size {batch}",
            expected=str(shape[0][0]),
        )
    load = Load(shapes=(shape,), infer_depth=asked.streams, warmup=asked.warmup / 1e3)
    return profile_layers(measuring, model, setup, load)


def profile_layers(
    measuring: Measuring, model: OfflineModel, setup: MeasureSetup, load: Load
) -> LayerTimes:
    """Measure a network's layers on the first device, apart from any other measurement.

    To time layers slows a network, by more the smaller they are.

    Args:
        measuring: the devices.
        model: the network.
        setup: how it is loaded; with ``profile``.
        load: how the device is loaded; of several shapes the first is taken.

    Raises:
        ConfigError: the engine does not tell its layers' times.
        DeviceError: the device failed.
    """
    devices = measuring.names[:1]
    prepared = measuring.prepare(_KEY, model.path, setup, devices)
    depth = load.threads * load.infer_depth
    one_shape = Load(shapes=load.shapes[:1], infer_depth=depth, warmup=load.warmup)
    measuring.configure(_KEY, one_shape, devices)
    rounds = []
    for _ in range(ROUNDS):
        measuring.measure(_KEY, one_shape, iterations=2 * depth, duration=0, devices=devices)
        told = measuring.layers(_KEY)
        rounds.append({(one.layer, one.kind, one.arithmetic): one.seconds for one in told})
    measuring.forget(_KEY, devices)
    name = f"{model.name} {model.spec.precision}"
    return LayerTimes(name, prepared.executed_precision, merged(usual_times(rounds)))
