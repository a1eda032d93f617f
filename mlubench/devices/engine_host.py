"""Where an engine runs: its interpreter, variables and timeouts."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mlubench import catalogue
from mlubench.catalogue.engines import EngineEntry, Silence
from mlubench.engines.traits import traits
from mlubench.worker.client import Worker


@dataclass(frozen=True)
class Counted:
    """What an engine says of its devices.

    Attributes:
        devices: how many there are.
        simulated: what the engine says where it is a simulated one; else empty.
    """

    devices: int
    simulated: str = ""


@dataclass(frozen=True)
class EngineHost:
    """An engine, and where its workers run.

    Attributes:
        name: the engine's name.
        python: the interpreter that has its SDK.
        environment: variables that the SDK needs.
        silence: how long a worker may give no sign of life.
    """

    name: str
    python: str = sys.executable
    environment: Mapping[str, str] = field(default_factory=dict)
    silence: Silence = field(default_factory=Silence)

    def variables(self) -> dict[str, str]:
        """Return the environment of its workers, MLU_VISIBLE_DEVICES among it."""
        return {**os.environ, **self.environment}

    def start(self, address: str = "") -> Worker:
        """Start a worker on the device of that address, or on none; see :meth:`Worker.start`."""
        return Worker.start(self.name, address, self.python, self.environment)


def engine_host(name: str, conf: Sequence[Path] = ()) -> EngineHost:
    """Return where the engine of that name runs, as ``engines.yaml`` says.

    Args:
        name: the engine's name.
        conf: further folders of catalogues.

    Raises:
        ConfigError: there is no such engine, or a catalogue is wrong.
    """
    traits(name)  # a wrong name is told before anything is started
    entry = catalogue.engines(conf).get(name, EngineEntry())
    return EngineHost(name, entry.python or sys.executable, entry.environment, entry.silence)


def require_engine(engine: EngineHost) -> None:
    """Start an engine that may be absent, before anything slow is done that needs it.

    Raises:
        ConfigError: it is not installed there; says what was looked for.
        DeviceError: it does not start.
    """
    if traits(engine.name).installed_apart:
        engine.start().close()


def count_devices(engine: EngineHost) -> Counted:
    """Return how many devices the engine sees, and whether it is a simulated one.

    Raises:
        ConfigError: the engine is not installed there.
        DeviceError: it could not say.
    """
    worker = engine.start()
    try:
        answer = worker.call({"do": "count"}, silence=engine.silence.load)
        return Counted(int(answer["devices"]), worker.engine.get("simulated", ""))
    finally:
        worker.close()
