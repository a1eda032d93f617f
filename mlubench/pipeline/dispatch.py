"""Shards to device workers: one thread a device, each shard until it is done.

A shard whose worker fails goes to another device; a worker that dies is started again, once
or twice, and then its device counts as lost. The run goes on while one device is left.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from mlubench.engines.interface import BuildSpec
from mlubench.errors import DeviceError, MlubenchError, WorkerError
from mlubench.pipeline.shards import Shard
from mlubench.worker.client import Worker

#: A shard that failed this often, on whatever devices, ends the run.
ATTEMPTS = 3
#: A device whose worker died this often is lost.
DEATHS = 2
#: Seconds without progress after which a worker counts as hung.
RUN_SILENCE = 300.0
LOAD_SILENCE = 900.0
BUILD_SILENCE = 3600.0
_PROGRESS_SECONDS = 0.25


@dataclass(frozen=True)
class Job:
    """What is done with each shard.

    Attributes:
        folder: the compiled network, for workers that are started anew.
        request: makes the worker's request for a shard on the device of that name.
        keep: called with a shard, the device's name and which attempt succeeded, on the
            device's thread; the shard is done when it returns.
        progress: called from the calling thread, a few times a second, with the number of
            images done; it goes back where a shard that had begun must be done again.
        batch_size: as in :meth:`DevicePool.load`.
    """

    folder: Path
    request: Callable[[Shard, str], Mapping[str, Any]]
    keep: Callable[[Shard, str, int], None]
    progress: Callable[[int], None]
    batch_size: int | None = None


@dataclass(frozen=True)
class Loaded:
    """A network as the devices run it."""

    executed_precision: str
    classes: int


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
        self._deaths = 0

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
        return self._deaths >= DEATHS

    def call(
        self,
        request: Mapping[str, Any],
        *,
        silence: float,
        progress: Callable[[int], None] | None = None,
    ) -> dict[str, Any]:
        """As :meth:`Worker.call`; counts deaths."""
        try:
            return self.worker.call(request, silence=silence, progress=progress)
        except WorkerError:
            self._worker = None
            self._deaths += 1
            raise

    def close(self) -> None:
        """End the worker."""
        if self._worker is not None:
            self._worker.close()
            self._worker = None


class DevicePool:
    """The devices of a run; a context manager that starts and ends their workers.

    Args:
        engine: the engine's name.
        names: the devices, such as ``("cpu:0", "cpu:1")``.

    Raises:
        WorkerError: a worker does not start.
        ConfigError: there is no such engine or device.
    """

    def __init__(self, engine: str, names: Sequence[str]) -> None:
        self.engine_name = engine
        self._devices = [
            Device(engine, name, address)
            for name, address in zip(names, addresses(names), strict=True)
        ]

    def __enter__(self) -> Self:
        try:
            with ThreadPoolExecutor(len(self._devices)) as starters:
                list(starters.map(lambda device: device.worker, self._devices))
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End every worker."""
        for device in self._devices:
            device.close()

    @property
    def engine(self) -> dict[str, str]:
        """What the engine says of itself (``Engine.describe``)."""
        return self._alive()[0].worker.engine

    def descriptions(self) -> dict[str, str]:
        """Return what the engine says of each device, by name."""
        return {device.name: device.worker.description for device in self._alive()}

    def check(self, spec: BuildSpec) -> None:
        """Ask the engine whether it has what a network is to be compiled for.

        Raises:
            ConfigError: it has not; names the flag and the reason.
        """
        request = {"do": "check", "spec": spec.to_json()}
        self._alive()[0].call(request, silence=LOAD_SILENCE)

    def load(self, folder: Path, batch_size: int | None = None) -> Loaded:
        """Load a compiled network on every device.

        Args:
            folder: the compiled network.
            batch_size: of a dynamic network, where it is not the one that it was compiled for.

        Raises:
            EngineError: it cannot be loaded.
            WorkerError: no device is left.
        """
        request = _load_request(folder, batch_size)
        with ThreadPoolExecutor(len(self._devices)) as loaders:
            answers = list(loaders.map(lambda device: _load(device, request), self._alive()))
        executed = {str(answer["executed_precision"]) for answer in answers}
        return Loaded(" | ".join(sorted(executed)), int(answers[0]["classes"]))

    def run(self, shards: Sequence[Shard], job: Job) -> None:
        """Infer shards with the network that :meth:`load` loaded.

        Raises:
            DeviceError: a shard failed too often, or no device is left.
            MlubenchError: a result could not be kept.
        """
        work = _Work(shards, self._alive())
        threads = [
            threading.Thread(target=_serve, args=(device, job, work), daemon=True)
            for device in self._alive()
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            while thread.is_alive():
                thread.join(_PROGRESS_SECONDS)
                job.progress(work.images_done())
        work.check()

    def _alive(self) -> list[Device]:
        alive = [device for device in self._devices if not device.lost]
        if not alive:
            raise WorkerError(
                "no device is left",
                where=", ".join(device.name for device in self._devices),
                fix="see that the devices are well, then run again; what is done is kept",
            )
        return alive


def addresses(names: Sequence[str]) -> list[str]:
    """Return the engine's addresses of devices: ``cpu:1`` of two becomes ``cpu:1/2``.

    The cores are divided by the highest group that was asked for: ``cpu:0`` alone has all of
    them, ``cpu:0 cpu:1`` have half each. Other names stand for themselves.
    """
    groups = [name.removeprefix("cpu:") for name in names if name.startswith("cpu:")]
    count = max((int(group) + 1 for group in groups if group.isdigit()), default=1)
    return [
        f"{name}/{count}"
        if name.startswith("cpu:") and name.removeprefix("cpu:").isdigit()
        else name
        for name in names
    ]


class _Work:
    """The shards that are still to be done, shared by the devices' threads."""

    def __init__(self, shards: Sequence[Shard], devices: Sequence[Device]) -> None:
        self._waiting = deque(shards)
        self._in_flight = 0
        self._attempts: dict[int, int] = {}
        self._done = {shard.index: 0 for shard in shards}
        self._devices = len(devices)
        self._error: MlubenchError | None = None
        self._changed = threading.Condition()

    def take(self) -> tuple[Shard, int] | None:
        """Return a shard and which attempt this is; None when nothing is left to do."""
        with self._changed:
            while not self._waiting and self._in_flight and self._error is None:
                self._changed.wait()
            if not self._waiting or self._error is not None:
                return None
            self._in_flight += 1
            shard = self._waiting.popleft()
            self._attempts[shard.index] = self._attempts.get(shard.index, 0) + 1
            return shard, self._attempts[shard.index]

    def reached(self, shard: Shard, images: int) -> None:
        """Note how many images of a shard are done."""
        self._done[shard.index] = images

    def images_done(self) -> int:
        """Return how many images are done, of finished shards and of those in flight."""
        return sum(self._done.values())

    def finished(self, shard: Shard) -> None:
        """Note that a taken shard is done."""
        self.reached(shard, shard.images)
        with self._changed:
            self._in_flight -= 1
            self._changed.notify_all()

    def failed(self, shard: Shard, error: MlubenchError) -> None:
        """Put a shard back, or end the run where another attempt would not help."""
        self.reached(shard, 0)
        with self._changed:
            self._in_flight -= 1
            self._waiting.append(shard)
            if not isinstance(error, DeviceError) or self._attempts[shard.index] >= ATTEMPTS:
                self._error = error
            self._changed.notify_all()

    def device_lost(self, error: MlubenchError) -> None:
        """Note that a device takes no more shards."""
        with self._changed:
            self._devices -= 1
            if not self._devices and self._error is None:
                self._error = error
            self._changed.notify_all()

    def check(self) -> None:
        """Raise what ended the run before its end."""
        if self._error is not None and self._waiting:
            raise self._error


def _serve(device: Device, job: Job, work: _Work) -> None:
    """Take shards for a device until there are none, or it is lost."""
    while (taken := work.take()) is not None:
        shard, attempt = taken
        try:
            request = job.request(shard, device.name)
            progress = partial(work.reached, shard)
            device.call(request, silence=RUN_SILENCE, progress=progress)
            job.keep(shard, device.name, attempt)
        except Exception as error:
            work.failed(shard, _told(error, device))
            if isinstance(error, WorkerError) and not _revive(device, job):
                work.device_lost(error)
                return
        else:
            work.finished(shard)


def _told(error: Exception, device: Device) -> MlubenchError:
    """Return an error that ends the run well told, whatever it was."""
    if isinstance(error, MlubenchError):
        return error
    told = MlubenchError(f"{type(error).__name__}: {error}", where=f"a shard on {device.name}")
    told.__cause__ = error
    return told


def _load(device: Device, request: Mapping[str, Any]) -> dict[str, Any]:
    return device.call(request, silence=LOAD_SILENCE)


def _load_request(folder: Path, batch_size: int | None) -> dict[str, Any]:
    """Return what to say to a worker that is to load a network."""
    return {"do": "load", "folder": str(folder), "batch_size": batch_size}


def _revive(device: Device, job: Job) -> bool:
    """Start a dead worker again and load the network; False where the device is lost."""
    while not device.lost:
        try:
            _load(device, _load_request(job.folder, job.batch_size))
        except WorkerError:
            continue
        except MlubenchError:
            return False
        return True
    return False
