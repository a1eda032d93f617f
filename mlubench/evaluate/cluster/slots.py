"""The slots of a Dask worker: cards or groups of cores, each with a device worker process."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlubench.devices.device import Device
from mlubench.devices.engine_host import engine_host
from mlubench.devices.names import addresses
from mlubench.engines.interface import Concurrency
from mlubench.engines.traits import traits
from mlubench.errors import StoreError
from mlubench.evaluate.cluster.messages import ShardAnswer, ShardOrder
from mlubench.store import make_folder

if TYPE_CHECKING:
    from distributed import Worker

#: Of a Dask worker: further folders of catalogues, with an engines.yaml that is right there.
CONF = "MLUBENCH_CONF"


def host_name(worker: Worker) -> str:
    """Return what a Dask worker is called: its ``--name``, or the name of its host."""
    name = str(worker.name)
    return socket.gethostname() if "://" in name else name


class Slot:
    """A card or a group of cores, and its device worker."""

    def __init__(self, engine: str, name: str, address: str, worker: Worker) -> None:
        conf = [Path(one) for one in os.environ.get(CONF, "").split(os.pathsep) if one]
        self._engine = engine_host(engine, conf)
        self._name, self._address = name, address
        self._worker = worker.address
        self._host = host_name(worker)
        self._folder = Path(worker.local_directory) / "mlubench"
        self._device: Device | None = None
        self._loaded = ""
        self._executed = ""

    @property
    def _label(self) -> str:
        return f"{self._host}/{self._name}"

    @property
    def description(self) -> str:
        """What the engine says of the device."""
        return self._device.description if self._device else ""

    def device(self) -> Device:
        """Return the device with a worker that runs.

        Raises:
            DeviceError: it does not start.
            ConfigError: there is no such engine or device.
        """
        if self._device is None:
            device = Device(self._engine, self._label, self._address)
            device.start()
            if device.lost:
                raise device.cause
            self._device = device
        return self._device

    def engine_facts(self) -> Mapping[str, str]:
        """Return what the engine says of itself; raises as :meth:`device`."""
        return self.device().worker.engine

    def infer(self, order: ShardOrder, folder: Path) -> ShardAnswer:
        """Infer a shard; after a failure the device worker is a new one.

        Raises:
            DeviceError: the device failed.
            StoreError: the pixels cannot be written.
        """
        try:
            return self._infer(order, folder)
        except BaseException:
            self.close()
            raise

    def _infer(self, order: ShardOrder, folder: Path) -> ShardAnswer:
        device = self.device()
        if self._loaded != order.network:
            loaded = device.load(folder, None, Concurrency())
            if loaded is None:
                raise device.cause
            self._loaded, self._executed = order.network, str(loaded["executed_precision"])
        make_folder(self._folder)
        name = self._name.replace(":", "-")
        pixels, out = self._folder / f"{name}.u8", self._folder / f"{name}.npz"
        _write(pixels, order.pixels)
        device.send(
            {
                "do": "run",
                "pixels": str(pixels),
                "shape": list(order.shape),
                "first": 0,
                "images": order.shape[0],
                "out": str(out),
            }
        )
        answer = device.receive(lambda _: None)
        return ShardAnswer(
            worker=self._worker,
            host=socket.gethostname(),
            device=self._label,
            description=device.description,
            executed_precision=self._executed,
            started=answer["started"],
            seconds=answer["seconds"],
            results=_taken(out),
        )

    def close(self) -> None:
        """End the device worker."""
        if self._device is not None:
            self._device.close()
        self._device, self._loaded = None, ""


def _write(path: Path, data: bytes) -> None:
    try:
        path.write_bytes(data)
    except OSError as error:
        raise StoreError(f"cannot be written: {error.strerror}", where=str(path)) from error


def _taken(path: Path) -> bytes:
    """Return what a device worker wrote, and remove it."""
    try:
        data = path.read_bytes()
        path.unlink()
    except OSError as error:
        raise StoreError(f"cannot be read: {error.strerror}", where=str(path)) from error
    return data


class Slots:
    """The slots of a Dask worker: as many as it has of the engine's resource, and threads."""

    def __init__(self, worker: Worker, engine: str) -> None:
        family = traits(engine).family
        resources: Mapping[str, Any] = worker.state.total_resources
        self.count = max(1, min(int(resources.get(family, 0)), worker.state.nthreads))
        names = [f"{family}:{number}" for number in range(self.count)]
        self._free = [
            Slot(engine, name, address, worker)
            for name, address in zip(names, addresses(names), strict=True)
        ]
        self._changed = threading.Condition()

    @contextmanager
    def one(self) -> Iterator[Slot]:
        """Hold a slot, waiting where all are held."""
        with self._changed:
            self._changed.wait_for(lambda: self._free)
            slot = self._free.pop(0)
        try:
            yield slot
        finally:
            with self._changed:
                self._free.insert(0, slot)  # it has the network loaded
                self._changed.notify()

    def close_idle(self) -> None:
        """End the device workers of the slots that nobody holds."""
        with self._changed:
            for slot in self._free:
                slot.close()
