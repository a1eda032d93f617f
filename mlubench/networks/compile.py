"""A network compiled in one precision, kept under a key over everything that affects it."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mlubench import engines
from mlubench.devices.engine_host import EngineHost
from mlubench.engines.interface import BuildSpec
from mlubench.engines.precisions import is_quantised
from mlubench.engines.traits import engine_module
from mlubench.errors import ConfigError, DeviceError
from mlubench.networks.calibration import CalibrationImages
from mlubench.networks.choose import Network
from mlubench.networks.flags import QUANTISATION
from mlubench.networks.importing import ImportedNetwork
from mlubench.networks.layer_graph import check_keep_float
from mlubench.networks.options import NetworkParameters
from mlubench.store import Store, content_key, source_digest

#: A build that failed on so many devices is not tried on another.
_ATTEMPTS = 3
#: Of mlubench/engines, what compiling uses in every engine.
_SHARED_BY_BUILDERS = ("checks.py", "interface.py", "precisions.py")
#: In an engine's own folder, what loads, runs, measures or watches: it decides about no network.
_NOT_BUILDING = ("cnmon.py", "comparing.py", "measuring.py", "sampler.py", "session.py")


@dataclass(frozen=True)
class Compiled:
    """A compiled network.

    Attributes:
        precision: MagicMind's name of the numeric mode that was asked for.
        folder: the engine's files, with the store's manifest.
        key: its content key.
        speed_only: whether its ranges were made up, so that its answers mean nothing.
        seconds: that its building took; None where it was kept from an earlier run.
    """

    precision: str
    folder: Path
    key: str
    speed_only: bool = False
    seconds: float | None = field(default=None, compare=False)


def build_spec(network: Network, asked: NetworkParameters, precision: str) -> BuildSpec:
    """Return how the network is compiled in a precision.

    Flags of quantisation change nothing of a precision that is not quantised; left out of its
    spec, they do not compile it anew.

    Raises:
        ConfigError: ``--build_config`` names no JSON object, or dimensions are not the network's.
    """
    _check_dims(network, asked)
    flags = asked.spec_fields()
    if not is_quantised(precision):
        flags = {name: value for name, value in flags.items() if name not in QUANTISATION}
    return BuildSpec(
        precision=precision,
        batch_size=asked.batch_size,
        dynamic_shape=asked.dynamic_shape,
        input_size=network.preprocess.crop_shape,
        means=network.means,
        variances=network.variances,
        **flags,
    )


def _check_dims(network: Network, asked: NetworkParameters) -> None:
    """Only the batch of a network may vary; its images are those that it was made for."""
    expected = (len(network.means), *network.preprocess.crop_shape)
    for flag in ("dim_range_min", "dim_range_max"):
        dims = getattr(asked, flag)
        if dims is not None and dims[1:] != expected:
            raise ConfigError(
                f"{dims} varies more than the batch",
                where=f"--{flag}",
                expected="N," + ",".join(map(str, expected)),
                fix="give the network's own channels, height and width",
            )


def compile_network(
    imported: ImportedNetwork,
    spec: BuildSpec,
    calibration: CalibrationImages | None,
    engine: EngineHost,
    facts: Mapping[str, str],
    store: Store,
    devices: Sequence[str],
) -> Compiled:
    """Return the compiled network, built in a worker of its own unless the store has it.

    Args:
        imported: the network.
        spec: how it is compiled.
        calibration: images to calibrate on; unused where the precision is not calibrated.
        engine: the engine and where it runs.
        facts: what the engine says of itself; another version compiles anew.
        store: where compiled networks are kept.
        devices: addresses of where it may be compiled; where one fails, the next is tried. The
            result does not depend on it.

    Raises:
        ConfigError: the engine has not got what the spec asks for, or the network has not the
            layers.
        DeviceError: the engine failed.
        NetworkError: a file of the network changed meanwhile.
        StoreError: the store cannot be written.
    """
    check_keep_float(imported.files, spec.keep_float)
    calibrates = is_quantised(spec.precision) and spec.random_calib_range is None
    calibrated = calibration if calibrates else None
    parts: dict[str, Any] = {
        "network": imported.identity(),
        "spec": spec.to_json(),
        "calibration": calibrated and calibrated.identity(),
        "engine": engine.name,
        "facts": dict(facts),
        "builder": source_digest(*builder_sources(engine.name)),
    }

    seconds: list[float] = []

    def build(folder: Path) -> None:
        _verify(calibrated)
        start = time.monotonic()
        _build(_request(imported, spec, calibrated, folder), engine, devices)
        seconds.append(time.monotonic() - start)
        imported.check_unchanged()

    folder = store.get("compiled", parts, build)
    return Compiled(
        precision=spec.precision,
        folder=folder,
        key=content_key(parts),
        speed_only=spec.random_calib_range is not None,
        seconds=seconds[-1] if seconds else None,
    )


def builder_sources(engine: str) -> list[Path]:
    """Return the files whose code decides what an engine compiles.

    They are the engine's own, but for those that measure, run or compare, and what it shares with
    other engines. An engine that is one module is that file.
    """
    own = Path(engine_module(engine).__file__)
    files = sorted(own.parent.rglob("*.py")) if own.name == "__init__.py" else [own]
    shared = [Path(engines.__file__).with_name(name) for name in _SHARED_BY_BUILDERS]
    return [*shared, *(file for file in files if file.name not in _NOT_BUILDING)]


def _build(request: Mapping[str, Any], engine: EngineHost, devices: Sequence[str]) -> None:
    """Build on the first device that can; each try has a worker of its own.

    The bytes must not depend on what a process built before, and calibration may use all cores.
    """
    *others, last = devices[:_ATTEMPTS]
    for address in others:
        with suppress(DeviceError):
            return _build_on(request, engine, address)
    return _build_on(request, engine, last)


def _build_on(request: Mapping[str, Any], engine: EngineHost, address: str) -> None:
    worker = engine.start(address)
    try:
        worker.call(request, silence=engine.silence.build)
    finally:
        worker.close()


def _verify(calibration: CalibrationImages | None) -> None:
    """Check the calibration images' pixels, which decide about the network for good."""
    if calibration is not None:
        calibration.images.verify(0, calibration.images.shape[0])


def _request(
    imported: ImportedNetwork,
    spec: BuildSpec,
    calibration: CalibrationImages | None,
    folder: Path,
) -> dict[str, Any]:
    return {
        "do": "build",
        "network": imported.files.to_json(),
        "spec": spec.to_json(),
        "calibration": calibration
        and {
            "pixels": str(calibration.images.path),
            "shape": list(calibration.images.shape),
            "rows": calibration.sound(),
        },
        "folder": str(folder),
    }
