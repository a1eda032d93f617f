"""A device of a run: its worker, started again where it fails, until the device counts as lost."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlubench.devices.engine_host import EngineHost
from mlubench.errors import DeviceError, MlubenchError
from mlubench.worker.client import Worker

if TYPE_CHECKING:
    from mlubench.engines.interface import Concurrency

#: A device that failed this often in a row is lost.
FAILURES = 3


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
