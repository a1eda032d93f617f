"""Shards to device workers: one thread a device, each shard until it is done.

A shard whose worker fails goes to another device, and the run goes on while one device is left.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from mlubench.devices.device import Device
from mlubench.devices.engine_host import EngineHost
from mlubench.devices.names import addresses, build_addresses, grouped
from mlubench.devices.shard_queue import Work, told
from mlubench.devices.shards import Shard
from mlubench.engines.interface import BuildSpec, Concurrency
from mlubench.engines.traits import device_names
from mlubench.errors import ConfigError, DeviceError

_PROGRESS_SECONDS = 0.25
#: How many shards a worker has at a time, the one that it infers included.
_AHEAD = 2


@dataclass(frozen=True)
class Job:
    """What is done with each shard.

    Attributes:
        request: makes the worker's request for a shard on the device of that name.
        keep: called with a shard, the device's name, how earlier attempts at it failed and the
            worker's answer, on the device's thread; the shard is done when it returns. A
            DeviceError says that the worker must do it again.
        progress: called from the calling thread, a few times a second, with the number of
            images done; it goes back where a shard that had begun must be done again.
        arrival: called with each shard, in their order, on a thread of its own; returns once the
            shard can be begun, raises where it never can. Where it is absent, all can.
    """

    request: Callable[[Shard, str], Mapping[str, Any]]
    keep: Callable[[Shard, str, Sequence[str], Mapping[str, Any]], None]
    progress: Callable[[int], None]
    arrival: Callable[[Shard], None] | None = None


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

    def load(
        self,
        model: Path,
        batch_size: int | None = None,
        concurrency: Concurrency = Concurrency(),
    ) -> Loaded:
        """Load a compiled network on every device.

        Args:
            model: the compiled network.
            batch_size: of a dynamic network, where it is not the one that it was compiled for.
            concurrency: how much each device does at once.

        Raises:
            ConfigError: a device has not got so many streams.
            DeviceError: it cannot be loaded; no device is left.
        """
        load = partial(Device.load, model=model, batch_size=batch_size, concurrency=concurrency)
        with ThreadPoolExecutor(len(self._devices)) as loaders:
            loaded = list(loaders.map(load, self._alive()))
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
        work = Work(shards, self.names, arrived=job.arrival is None)
        if job.arrival is not None:
            # Not waited for: it ends with the last shard, or with what it waits for.
            threading.Thread(target=work.arrive, args=(job.arrival,), daemon=True).start()
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


class _Server:
    """Takes shards for a device until there are none, or it is lost.

    The worker has its next shard before it is done with one, and what is done is kept while it
    goes on: a device never waits for the host.
    """

    def __init__(self, device: Device, job: Job, work: Work) -> None:
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
            self._work.end(told(error, f"a shard on {self._device.name}"))

    def _recover(self, error: DeviceError) -> None:
        """Put back what the worker had, and start it anew; the shard is at fault if that works."""
        begun = self._sent.popleft() if self._sent else None
        if begun is not None:
            self._work.failed(begun, f"{self._device.name}: {self._device.words(error)}")
        while self._sent:
            self._work.give_back(self._sent.popleft())
        if not self._device.revive():
            self._lost = True
            self._work.device_lost(self._device.name, error)
        elif begun is not None:
            self._work.blame(begun, self._device.name, error)


@contextmanager
def one_device(engine: EngineHost, device_id: int) -> Iterator[DevicePool]:
    """Give the device; what is wrong with it is told of ``--device_id``.

    Raises:
        ConfigError: the engine or the device is not there.
    """
    (name,) = device_names(engine.name, [str(device_id)])
    try:
        with DevicePool(engine, [name]) as devices:
            yield devices
    except ConfigError as error:
        if error.where != "--devices":
            raise
        raise ConfigError(
            f"there is no device {name}",
            where=f"--device_id {device_id}",
            expected=error.expected,
            fix="give the number of one that is there, or leave --device_id out",
        ) from error
