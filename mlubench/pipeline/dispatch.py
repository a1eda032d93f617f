"""Shards to device workers: one thread a device, each shard until it is done.

A shard whose worker fails goes to another device, and the run goes on while one device is left.
"""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from mlubench.engines.interface import BuildSpec
from mlubench.errors import DeviceError, MlubenchError
from mlubench.pipeline.devices import Device, EngineHost, addresses, build_addresses
from mlubench.pipeline.shards import Shard
from mlubench.reports.device_names import grouped

#: A shard that failed on so many devices, or so often on all that are left, ends the run.
ATTEMPTS = 3
_PROGRESS_SECONDS = 0.25
#: How many shards a worker has at a time, the one that it infers included.
_AHEAD = 2


@dataclass(frozen=True)
class Job:
    """What is done with each shard.

    Attributes:
        model: the compiled network, for workers that are started anew.
        request: makes the worker's request for a shard on the device of that name.
        keep: called with a shard, the device's name, how earlier attempts at it failed and the
            worker's answer, on the device's thread; the shard is done when it returns. A
            DeviceError says that the worker must do it again.
        progress: called from the calling thread, a few times a second, with the number of
            images done; it goes back where a shard that had begun must be done again.
        batch_size: as in :meth:`DevicePool.load`.
    """

    model: Path
    request: Callable[[Shard, str], Mapping[str, Any]]
    keep: Callable[[Shard, str, Sequence[str], Mapping[str, Any]], None]
    progress: Callable[[int], None]
    batch_size: int | None = None


@dataclass(frozen=True)
class Loaded:
    """A network as the devices run it."""

    executed_precision: str
    classes: int


class DevicePool:
    """The devices of a run; a context manager that starts and ends their workers.

    Args:
        engine: the engine and where it runs.
        names: the devices, such as ``("cpu:0", "cpu:1")``.

    Attributes:
        engine: what the engine says of itself (``Engine.describe``).
        host: the engine and where it runs.

    Raises:
        DeviceError: no worker starts.
        ConfigError: there is no such engine or device.
    """

    engine: Mapping[str, str]

    def __init__(self, engine: EngineHost, names: Sequence[str]) -> None:
        self.host = engine
        self._devices = [
            Device(engine, name, address)
            for name, address in zip(names, addresses(names), strict=True)
        ]

    def __enter__(self) -> Self:
        try:
            with ThreadPoolExecutor(len(self._devices)) as starters:
                workers = list(starters.map(Device.start, self._devices))
            self._alive()
        except BaseException:
            self.close()
            raise
        self.engine = next(worker.engine for worker in workers if worker is not None)
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
    def descriptions(self) -> dict[str, str]:
        """What the engine says of each device, by name; why it is lost, where it is."""
        return {device.name: device.description for device in self._devices}

    @property
    def lost(self) -> dict[str, str]:
        """The devices that are lost, by name, and how that began."""
        return {one.name: one.words(one.cause) for one in self._devices if one.lost}

    @property
    def names(self) -> list[str]:
        """The devices that are not lost."""
        return [device.name for device in self._alive()]

    def label(self, name: str) -> str:
        """Return a name of a device, or of the engine, that hides no simulation."""
        return f"{name} (simulated)" if self.engine.get("simulated") else name

    def build_addresses(self) -> list[str]:
        """Return the addresses of where a network may be compiled."""
        return build_addresses(self.host.name, self.names)

    def check(self, spec: BuildSpec) -> None:
        """Ask the engine whether it has what a network is to be compiled for.

        Raises:
            ConfigError: it has not; names the flag and the reason.
        """
        request = {"do": "check", "spec": spec.to_json()}
        if not any(device.call(request) is not None for device in self._alive()):
            self._alive()

    def load(self, model: Path, batch_size: int | None = None) -> Loaded:
        """Load a compiled network on every device.

        Args:
            model: the compiled network.
            batch_size: of a dynamic network, where it is not the one that it was compiled for.

        Raises:
            DeviceError: it cannot be loaded; no device is left.
        """
        with ThreadPoolExecutor(len(self._devices)) as loaders:
            loaded = list(loaders.map(lambda device: device.load(model, batch_size), self._alive()))
        self._alive()
        answers = [answer for answer in loaded if answer is not None]
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
            threading.Thread(target=_Server(device, job, work).serve, daemon=True)
            for device in self._alive()
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            while thread.is_alive():
                thread.join(_PROGRESS_SECONDS)
                job.progress(work.images_done())
        job.progress(work.images_done())
        try:
            work.check()
        except DeviceError:
            self._alive()  # raises where it was the last one
            raise

    def _alive(self) -> list[Device]:
        """Return the devices that are not lost.

        Raises:
            DeviceError: all are; names each and how that began.
        """
        alive = [device for device in self._devices if not device.lost]
        if not alive:
            raise self._all_lost()
        return alive

    def _all_lost(self) -> DeviceError:
        first = self._devices[0].cause
        if len(self._devices) == 1:
            return first
        reasons = "; ".join(grouped([f"{name}: {why}" for name, why in self.lost.items()]))
        return type(first)(
            f"no device is left: {reasons}",
            where=f"--devices {' '.join(self.lost)}",
            fix=f"{first.fix}\n    The same command goes on where this one ended.".strip(),
        )


class _Work:
    """The shards that are still to be done, shared by the devices' threads."""

    def __init__(self, shards: Sequence[Shard], devices: Sequence[Device]) -> None:
        self._waiting = deque(shards)
        self._in_flight = 0
        self._failures: dict[int, list[str]] = {shard.index: [] for shard in shards}
        self._blamed: dict[int, Counter[str]] = {shard.index: Counter() for shard in shards}
        self._done = {shard.index: 0 for shard in shards}
        self._devices = {device.name for device in devices}
        self._error: MlubenchError | None = None
        self._ended = False
        self._changed = threading.Condition()

    def take(self) -> Shard | None:
        """Return a shard, once there is one; None when nothing is left to do."""
        with self._changed:
            while not self._waiting and self._in_flight and self._error is None:
                self._changed.wait()
            return self._next()

    def take_ahead(self) -> Shard | None:
        """Return a shard for a device that is still busy, unless others would go without."""
        with self._changed:
            return self._next() if len(self._waiting) >= len(self._devices) else None

    def _next(self) -> Shard | None:
        if not self._waiting or self._error is not None:
            return None
        self._in_flight += 1
        return self._waiting.popleft()

    def failures(self, shard: Shard) -> list[str]:
        """Return how the attempts at a shard failed, in the order in which they did."""
        return list(self._failures[shard.index])

    def give_back(self, shard: Shard) -> None:
        """Put back a shard that was taken and not begun."""
        with self._changed:
            self._in_flight -= 1
            self._waiting.append(shard)
            self._changed.notify_all()

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

    def failed(self, shard: Shard, how: str) -> None:
        """Put back a shard whose attempt failed."""
        self.reached(shard, 0)
        self._failures[shard.index].append(how)
        self.give_back(shard)

    def blame(self, shard: Shard, device: str, error: DeviceError) -> None:
        """Note that a device is well though an attempt at a shard failed on it.

        Another attempt helps no more where so many devices failed, or all that are left did.
        """
        with self._changed:
            blamed = self._blamed[shard.index]
            blamed[device] += 1
            hopeless = blamed.total() >= ATTEMPTS and self._devices <= blamed.keys()
            if (hopeless or len(blamed) >= ATTEMPTS) and self._error is None:
                self._error = error
            self._changed.notify_all()

    def end(self, error: MlubenchError) -> None:
        """End the run: what happened would happen again."""
        with self._changed:
            self._error = self._error or error
            self._ended = True
            self._changed.notify_all()

    def device_lost(self, device: str, error: MlubenchError) -> None:
        """Note that a device takes no more shards."""
        with self._changed:
            self._devices.discard(device)
            if not self._devices and self._error is None:
                self._error = error
            self._changed.notify_all()

    def check(self) -> None:
        """Raise what ended the run before its end."""
        if self._error is not None and (self._waiting or self._ended):
            raise self._error


class _Server:
    """Takes shards for a device until there are none, or it is lost.

    The worker has its next shard before it is done with one, and what is done is kept while it
    goes on: a device never waits for the host.
    """

    def __init__(self, device: Device, job: Job, work: _Work) -> None:
        self._device = device
        self._job = job
        self._work = work
        self._sent: deque[Shard] = deque()  # the first one is being inferred
        self._lost = False

    def serve(self) -> None:
        """Run until nothing is left to do."""
        while self._fill():
            self._try(self._finish, self._sent[0])

    def _fill(self) -> bool:
        """Give the worker up to two shards; False where it has none and none is left."""
        while not self._lost and len(self._sent) < _AHEAD:
            shard = self._work.take_ahead() if self._sent else self._work.take()
            if shard is None:
                break
            self._try(self._send, shard)
        return bool(self._sent)

    def _send(self, shard: Shard) -> None:
        try:
            self._device.send(self._job.request(shard, self._device.name))
        except DeviceError:
            self._work.give_back(shard)  # not begun; what the worker died of comes before it
            raise
        self._sent.append(shard)

    def _finish(self, shard: Shard) -> None:
        answer = self._device.receive(partial(self._work.reached, shard))
        with self._device.counted_failure():
            self._job.keep(shard, self._device.name, self._work.failures(shard), answer)
        self._sent.popleft()
        self._work.finished(shard)

    def _try(self, step: Callable[[Shard], None], shard: Shard) -> None:
        """Do a step; a failed device is revived, any other failure ends the run."""
        try:
            step(shard)
        except DeviceError as error:
            self._recover(error)
        except Exception as error:
            self._lost = True
            self._sent.clear()
            self._work.end(_told(error, self._device))

    def _recover(self, error: DeviceError) -> None:
        """Put back what the worker had, and start it anew; the shard is at fault if that works."""
        begun = self._sent.popleft() if self._sent else None
        if begun is not None:
            self._work.failed(begun, f"{self._device.name}: {self._device.words(error)}")
        while self._sent:
            self._work.give_back(self._sent.popleft())
        if not self._device.revive(self._job.model, self._job.batch_size):
            self._lost = True
            self._work.device_lost(self._device.name, error)
        elif begun is not None:
            self._work.blame(begun, self._device.name, error)


def _told(error: Exception, device: Device) -> MlubenchError:
    """Return an error that ends the run well told, whatever it was."""
    if isinstance(error, MlubenchError):
        return error
    told = MlubenchError(f"{type(error).__name__}: {error}", where=f"a shard on {device.name}")
    told.__cause__ = error
    return told
