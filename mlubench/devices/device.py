"""A device of a run: its worker, started anew where it fails, until the device counts as lost."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlubench import catalogue
from mlubench.catalogue.engines import EngineEntry, Silence
from mlubench.devices.listing import Counted
from mlubench.engines.traits import traits
from mlubench.errors import DeviceError, MlubenchError
from mlubench.worker.client import Worker

if TYPE_CHECKING:
    from mlubench.engines.interface import Concurrency

#: A device that failed this often in a row is lost.
FAILURES = 3
_ALL_CORES = "cpu:0/1"


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


class Device:
    """A device and its worker, started anew where it failed.

    Attributes:
        name: as asked for, such as ``cpu:0``.
        description: what the engine says of it; why it is lost, where it is.
    """

    def __init__(self, engine: EngineHost, name: str, address: str) -> None:
        self.name = name
        self.description = ""
        self._engine = engine
        self._address = address
        self._worker: Worker | None = None
        self._failures: list[DeviceError] = []
        self._loaded: Mapping[str, Any] = {}

    @property
    def worker(self) -> Worker:
        """The worker, started where there is none.

        Raises:
            DeviceError: it does not start.
            ConfigError: there is no such device.
        """
        if self._worker is None:
            self._worker = self._engine.start(self._address)
            self.description = self._worker.description
        return self._worker

    @property
    def lost(self) -> bool:
        """Whether it failed too often."""
        return len(self._failures) >= FAILURES

    @property
    def cause(self) -> DeviceError:
        """How the failures of a lost device began; later ones may only follow from it."""
        return self._failures[0]

    def words(self, error: MlubenchError) -> str:
        """Return what an error says in one line, to stand behind the device's name."""
        own = error.where in (self.name, self._address)
        return (error.what if own else str(error)).splitlines()[0]

    def start(self) -> Worker | None:
        """Return its worker, started as often as may be; None where the device is lost.

        Raises:
            ConfigError: there is no such device.
        """
        while not self.lost:
            with suppress(DeviceError), self.counted_failure():
                return self.worker
        return None

    def load(
        self, model: Path, batch_size: int | None, concurrency: Concurrency
    ) -> dict[str, Any] | None:
        """Load a compiled network, in a new worker where one fails; None where it is lost.

        Args:
            model: the compiled network.
            batch_size: as in :meth:`DevicePool.load`.
            concurrency: likewise.
        """
        self._loaded = {
            "do": "load",
            "model": str(model),
            "batch_size": batch_size,
            "concurrency": vars(concurrency),
        }
        return self.call(self._loaded)

    def call(self, request: Mapping[str, Any]) -> dict[str, Any] | None:
        """Carry out a request, in a new worker where one fails; None where the device is lost."""
        while not self.lost:
            with suppress(DeviceError), self.counted_failure():
                return self.worker.call(request, silence=self._engine.silence.load)
        return None

    def revive(self) -> bool:
        """Load the network again after a failure; whether the device is there still."""
        try:
            return self.call(self._loaded) is not None
        except MlubenchError as error:  # it was loaded before: the device is not what it was
            self._give_up(error)
            return False

    def send(self, request: Mapping[str, Any]) -> None:
        """As :meth:`Worker.send`."""
        with self.counted_failure():
            self.worker.send(request)

    def receive(self, progress: Callable[[int], None]) -> dict[str, Any]:
        """As :meth:`Worker.receive`, of a shard."""
        with self.counted_failure():
            answer = self.worker.receive("run", silence=self._engine.silence.run, progress=progress)
        self._failures.clear()
        return answer

    @contextmanager
    def counted_failure(self) -> Iterator[None]:
        """Count a failure and end the worker: what an SDK does after one is anybody's guess.

        Raises:
            DeviceError: what was raised within.
        """
        try:
            yield
        except DeviceError as error:
            if self._worker is not None:
                self._worker.kill()
                self._worker = None
            self._failures.append(error)
            if self.lost:
                self._give_up(error)
            raise

    def _give_up(self, error: MlubenchError) -> None:
        lost = DeviceError(error.what, where=error.where, expected=error.expected, fix=error.fix)
        last = error if isinstance(error, DeviceError) else lost
        self._failures = [*self._failures, *[last] * FAILURES]
        self.description = f"lost: {self.words(self.cause)}"

    def close(self) -> None:
        """End the worker."""
        if self._worker is not None:
            self._worker.close()
            self._worker = None


def addresses(names: Sequence[str]) -> list[str]:
    """Return the engine's addresses of devices: ``cpu:1`` of two becomes ``cpu:1/2``.

    The cores are divided by the highest group that was asked for: ``cpu:0`` alone has all of
    them, ``cpu:0 cpu:1`` have half each. Other names stand for themselves.
    """
    groups = [re.fullmatch(r"cpu:([0-9]+)", name) for name in names]
    count = max((int(group[1]) + 1 for group in groups if group), default=1)
    return [f"{name}/{count}" if group else name for name, group in zip(names, groups, strict=True)]


def cores_of(names: Sequence[str]) -> int:
    """Return the cores that each of the devices has at least, where they are groups of cores."""
    cores = len(os.sched_getaffinity(0))
    groups = [re.fullmatch(r"cpu:[0-9]+/([0-9]+)", address) for address in addresses(names)]
    return min((max(1, cores // int(group[1])) for group in groups if group), default=cores)


def build_addresses(engine: str, names: Sequence[str]) -> list[str]:
    """Return where a network may be compiled: all cores, or any of a run's devices.

    Args:
        engine: the engine's name.
        names: the run's devices.
    """
    return addresses(names) if traits(engine).builds_on_device else [_ALL_CORES]
