"""A device of a run: its worker, started anew where it dies, until the device counts as lost."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from mlubench.errors import WorkerError
from mlubench.worker.client import Worker

#: A device whose worker died this often in a row is lost.
DEATHS = 3
#: Seconds without progress after which a worker counts as hung.
RUN_SILENCE = 300.0
LOAD_SILENCE = 900.0
BUILD_SILENCE = 3600.0


class Device:
    """A device and its worker, started anew where it died.

    Attributes:
        name: as asked for, such as ``cpu:0``.
    """

    def __init__(self, engine: str, name: str, address: str) -> None:
        self.name = name
        self._engine = engine
        self._address = address
        self._worker: Worker | None = None
        self._deaths: list[WorkerError] = []

    @property
    def worker(self) -> Worker:
        """The worker, started where there is none.

        Raises:
            WorkerError: it does not start.
            ConfigError: there is no such device.
        """
        if self._worker is None:
            self._worker = Worker.start(self._engine, self._address)
        return self._worker

    @property
    def lost(self) -> bool:
        """Whether its workers died too often."""
        return len(self._deaths) >= DEATHS

    def check(self) -> None:
        """Raise its worker's last words where it is lost."""
        if self.lost:
            raise self._deaths[-1]

    def load(self, folder: Path, batch_size: int | None) -> dict[str, Any] | None:
        """Load a compiled network, in a new worker where one dies; None where it is lost.

        Args:
            folder: the compiled network.
            batch_size: as in :meth:`DevicePool.load`.

        Raises:
            EngineError: the engine refuses the network.
        """
        request = {"do": "load", "folder": str(folder), "batch_size": batch_size}
        while not self.lost:
            with suppress(WorkerError), self._counted_death():
                return self.worker.call(request, silence=LOAD_SILENCE)
        return None

    def send(self, request: Mapping[str, Any]) -> None:
        """As :meth:`Worker.send`."""
        with self._counted_death():
            self.worker.send(request)

    def receive(self, progress: Callable[[int], None]) -> dict[str, Any]:
        """As :meth:`Worker.receive`, of a shard."""
        with self._counted_death():
            answer = self.worker.receive("run", silence=RUN_SILENCE, progress=progress)
        self._deaths.clear()
        return answer

    @contextmanager
    def _counted_death(self) -> Iterator[None]:
        try:
            yield
        except WorkerError as error:
            self._worker = None
            self._deaths.append(error)
            raise

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
