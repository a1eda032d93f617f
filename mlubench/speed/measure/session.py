"""Measuring networks on devices: the workers that hold them loaded, and what they found."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

from mlubench.devices.engine_host import EngineHost
from mlubench.devices.host_load import between, now
from mlubench.devices.names import addresses
from mlubench.engines.measuring import LayerTime, MeasureSetup, TensorInfo
from mlubench.engines.traits import traits
from mlubench.errors import MlubenchError
from mlubench.speed.measure.requests import Measurement, measurement
from mlubench.worker.client import Worker


@dataclass(frozen=True)
class Load:
    """How a network is loaded while it is measured.

    Attributes:
        shapes: groups of one shape for each input, which take turns.
        inputs: a file of raw bytes for each input; None is random data.
        threads: of the host, on each device.
        infer_depth: requests in flight of each thread.
        buffer_depth: sets of inputs that take turns.
        copy: whether inputs are copied in and outputs out for each request.
        warmup: seconds, at least; 0 is none.
        host_async: whether each request in flight has a thread of the host of its own.
    """

    shapes: tuple[tuple[tuple[int, ...], ...], ...]
    inputs: tuple[Path, ...] | None = None
    threads: int = 1
    infer_depth: int = 2
    buffer_depth: int = 2
    copy: bool = True
    warmup: float = 0.2
    host_async: bool = False

    def request(self, key: str) -> dict[str, Any]:
        """Return the worker's request."""
        return {
            "do": "configure",
            "key": key,
            "shapes": self.shapes,
            "inputs": None if self.inputs is None else [str(path) for path in self.inputs],
            "threads": self.threads,
            "infer_depth": self.infer_depth,
            "buffer_depth": self.buffer_depth,
            "copy": self.copy,
            "warmup": self.warmup,
            "host_async": self.host_async,
        }


@dataclass(frozen=True)
class Prepared:
    """A network as it is loaded.

    Attributes:
        inputs: in its order.
        outputs: likewise.
        executed_precision: the arithmetic that the device uses.
        processes: ids of the workers' processes.
    """

    inputs: tuple[TensorInfo, ...]
    outputs: tuple[TensorInfo, ...]
    executed_precision: str
    processes: tuple[int, ...]

    def default_shapes(self, batch: int) -> tuple[tuple[int, ...], ...]:
        """Return a shape for each input, open dimensions filled with the batch."""
        return tuple(
            tuple(batch if size == -1 else size for size in info.dims) for info in self.inputs
        )


@dataclass(frozen=True)
class WarmedUp:
    """How a warm-up went: seconds of the slowest device, and whether all got steady."""

    seconds: float
    steady: bool


class Measuring:
    """Workers that hold networks loaded to be measured; a context manager.

    A worker that fails ends the measurement: a figure of a device that was started anew in the
    middle would be none.

    Args:
        engine: the engine and where it runs.
        names: the devices.

    Attributes:
        engine: what the engine says of itself.
        descriptions: what it says of each device, by name.

    Raises:
        DeviceError: a worker does not start.
        ConfigError: there is no such engine or device.
    """

    engine: Mapping[str, str]
    descriptions: Mapping[str, str]

    def __init__(self, engine: EngineHost, names: Sequence[str]) -> None:
        self.host = engine
        self.names = tuple(names)
        self._workers: dict[str, Worker] = {}

    def __enter__(self) -> Self:
        try:
            for name, address in zip(self.names, addresses(self.names), strict=True):
                self._workers[name] = self.host.start(address)
        except BaseException:
            self.close()
            raise
        self.engine = self._workers[self.names[0]].engine
        self.descriptions = {name: one.description for name, one in self._workers.items()}
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
        for worker in self._workers.values():
            worker.close()
        self._workers.clear()

    @property
    def infer_depth(self) -> int:
        """Requests in flight that an evaluation keeps on one of these devices."""
        cores = len(os.sched_getaffinity(0)) // max(1, len(self.names))
        return traits(self.host.name).infer_depth or cores + 1

    def label(self, name: str) -> str:
        """Return a name of a device, or of the engine, that hides no simulation."""
        return f"{name} (simulated)" if self.engine.get("simulated") else name

    def prepare(
        self,
        key: str,
        model: Path,
        setup: MeasureSetup | None = None,
        devices: Sequence[str] | None = None,
    ) -> Prepared:
        """Load a network under a key of the caller's.

        Args:
            key: later calls name it.
            model: the compiled network.
            setup: how; as in an evaluation, if none is given.
            devices: on which; all, if none are given.

        Raises:
            ConfigError: the engine has not got what the set-up asks for.
            DeviceError: it cannot be loaded.
        """
        fields = {} if setup is None else vars(setup)
        request = {"do": "prepare", "key": key, "model": str(model), "setup": fields}
        answers = self.ask(request, devices, self.host.silence.load)
        answer = answers[0]
        return Prepared(
            inputs=_tensors(answer["inputs"]),
            outputs=_tensors(answer["outputs"]),
            executed_precision=answer["executed_precision"],
            processes=tuple(one["process"] for one in answers),
        )

    def configure(self, key: str, load: Load, devices: Sequence[str] | None = None) -> WarmedUp:
        """Make a network's buffers on its devices, and warm it up.

        Raises:
            ConfigError: a file of inputs is not what the network takes.
            DeviceError: a device failed, or has no room.
        """
        return self._warmed(load.request(key), devices, load.warmup)

    def warm_up(self, key: str, warmup: float, devices: Sequence[str] | None = None) -> WarmedUp:
        """Warm a configured network up again, after others were measured."""
        request = {"do": "warm_up", "key": key, "warmup": warmup}
        return self._warmed(request, devices, warmup)

    def measure(
        self,
        key: str,
        load: Load,
        *,
        iterations: int,
        duration: float,
        outputs: Path | None = None,
        devices: Sequence[str] | None = None,
    ) -> Measurement:
        """Measure a configured network on its devices at once.

        Args:
            key: as it was prepared.
            load: as it was configured.
            iterations: of each thread, at least.
            duration: seconds, at least; both are met.
            outputs: folder for the raw bytes of the first device's last outputs.
            devices: on which; all, if none are given.

        Raises:
            DeviceError: a device failed.
        """
        names = self.names if devices is None else tuple(devices)
        with tempfile.TemporaryDirectory() as scratch:
            files = [Path(scratch) / f"{place}.npz" for place in range(len(names))]
            request = {
                "do": "measure",
                "key": key,
                "iterations": iterations,
                "duration": duration,
            }
            folders = [None if outputs is None else str(outputs), *[None] * (len(names) - 1)]
            before, own = now(), time.process_time()
            answers = self.ask(
                [
                    {**request, "out": str(file), "outputs": folder}
                    for file, folder in zip(files, folders, strict=True)
                ],
                names,
                self.host.silence.run,
            )
            after, own = now(), time.process_time() - own
            columns = [dict(np.load(file, allow_pickle=False)) for file in files]
        used = sum(
            one["usage_after"]["cpu_seconds"] - one["usage_before"]["cpu_seconds"]
            for one in answers
        )
        machine = between(before, after, used + own, os.cpu_count() or 1)
        usages = [one["usage_after"] for one in answers]
        return measurement(names, columns, [group[0][0] for group in load.shapes], machine, usages)

    def layers(self, key: str) -> tuple[LayerTime, ...]:
        """Return the layers' times of a network that was prepared with ``profile`` and measured.

        Raises:
            ConfigError: the engine does not tell them.
        """
        name = self.names[0]
        answer = self.ask({"do": "layers", "key": key}, [name], self.host.silence.load)[0]
        return tuple(LayerTime(*fields) for fields in answer["layers"])

    def dump(self, key: str, model: Path, load: Load, folder: Path) -> tuple[str, ...]:
        """Write every layer's output of one run into a folder; return the layers' names.

        Raises:
            DeviceError: the engine failed.
        """
        request = load.request(key) | {"do": "dump", "model": str(model), "folder": str(folder)}
        answer = self.ask(request, [self.names[0]], self.host.silence.load)[0]
        return tuple(answer["layers"])

    def forget(self, key: str, devices: Sequence[str] | None = None) -> None:
        """Give back what a key has on its devices."""
        self.ask({"do": "forget", "key": key}, devices, self.host.silence.load)

    def _warmed(
        self, request: Mapping[str, Any], devices: Sequence[str] | None, warmup: float
    ) -> WarmedUp:
        answers = self.ask(request, devices, self.host.silence.load + warmup)
        return WarmedUp(
            max(one["warmup_seconds"] for one in answers), all(one["steady"] for one in answers)
        )

    def ask(
        self,
        request: Mapping[str, Any] | Sequence[Mapping[str, Any]],
        devices: Sequence[str] | None,
        silence: float,
    ) -> list[dict[str, Any]]:
        """Give devices a request, or one each, and return their answers.

        Args:
            request: see :mod:`mlubench.worker.protocol`.
            devices: which; all, if none are given.
            silence: seconds after which a worker that says nothing counts as hung.

        Raises:
            DeviceError: a device failed.
        """
        names = self.names if devices is None else devices
        each = [request] * len(names) if isinstance(request, Mapping) else request
        workers = [self._workers[name] for name in names]
        for worker, one in zip(workers, each, strict=True):
            worker.send(one)
        answers, failures = [], []
        for worker, one in zip(workers, each, strict=True):
            try:
                answers.append(worker.receive(str(one["do"]), silence=silence))
            except MlubenchError as error:  # the others answer all the same
                failures.append(error)
        if failures:
            raise failures[0]
        return answers


def _tensors(infos: Sequence[Sequence[Any]]) -> tuple[TensorInfo, ...]:
    return tuple(TensorInfo(name, tuple(dims), dtype) for name, dims, dtype in infos)
