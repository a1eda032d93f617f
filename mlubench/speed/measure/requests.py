"""What one measurement found: the moments of every request, and what the host did meanwhile."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlubench.devices.host_load import Machine

#: The moments of a request, in the order in which they come; seconds.
MOMENTS = ("begin", "copied", "launched", "done", "fetched", "end")


@dataclass(frozen=True, eq=False)
class Measurement:
    """What one measurement found, over all of its devices.

    Attributes:
        devices: their names.
        device: int32 [requests], which of them.
        thread: int32 [requests], which of its threads.
        group: int32 [requests], which shapes.
        moments: float64 [requests, 6], :data:`MOMENTS`, seconds since the first one; a quick
            request may be done before the call that launched it is back.
        device_seconds: float64 [requests], computing by the device's own clock; NaN where it has
            none.
        samples: of each group's request: its batch.
        machine: what else the host did.
        memory_kib: of the workers, at the end.
        threads: of the workers, at the end.
    """

    devices: tuple[str, ...]
    device: NDArray[np.int32]
    thread: NDArray[np.int32]
    group: NDArray[np.int32]
    moments: NDArray[np.float64]
    device_seconds: NDArray[np.float64]
    samples: tuple[int, ...]
    machine: Machine
    memory_kib: int
    threads: int

    @property
    def wall_seconds(self) -> float:
        """From the first request's beginning to the last one's end."""
        return float(self.moments[:, -1].max() - self.moments[:, 0].min())

    @property
    def images(self) -> int:
        """Samples of all requests."""
        return int(np.asarray(self.samples)[self.group].sum())

    @property
    def throughput(self) -> float:
        """Samples per second."""
        return self.images / self.wall_seconds

    def stage(self, first: str, last: str) -> NDArray[np.float64]:
        """Return the time between two of :data:`MOMENTS`, float64 [requests], seconds."""
        places = MOMENTS.index(first), MOMENTS.index(last)
        return np.asarray(self.moments[:, places[1]] - self.moments[:, places[0]])

    @property
    def copy_in(self) -> NDArray[np.float64]:
        """Copying inputs to where the device reads them, seconds."""
        return self.stage("begin", "copied")

    @property
    def compute(self) -> NDArray[np.float64]:
        """From the launch to the end of computing, waiting in the device's queue included."""
        return self.stage("copied", "done")

    @property
    def copy_out(self) -> NDArray[np.float64]:
        """Copying outputs to the host, seconds."""
        return self.stage("fetched", "end")

    @property
    def latencies(self) -> NDArray[np.float64]:
        """Copying in, computing and copying out of each request, seconds."""
        return np.asarray(self.copy_in + self.compute + self.copy_out)


def measurement(
    names: tuple[str, ...],
    columns: Sequence[Mapping[str, NDArray[Any]]],
    samples: Sequence[int],
    machine: Machine,
    usages: Sequence[Mapping[str, float]],
) -> Measurement:
    """Return what workers measured as one.

    Args:
        names: the devices.
        columns: what each worker wrote (:meth:`mlubench.worker.measure.bench.Bench.measure`).
        samples: of a request of each group of shapes.
        machine: what else the host did.
        usages: what each worker used at the end.
    """
    counts = [len(one["group"]) for one in columns]

    def joined(name: str) -> NDArray[Any]:
        return np.concatenate([one[name] for one in columns])

    moments = np.stack([joined(name) for name in MOMENTS], axis=1)
    device_seconds = joined("device")
    return Measurement(
        devices=names,
        device=np.repeat(np.arange(len(names), dtype=np.int32), counts),
        thread=joined("thread"),
        group=joined("group"),
        moments=moments - moments[:, 0].min(),
        device_seconds=np.where(device_seconds < 0, np.nan, device_seconds),
        samples=tuple(samples),
        machine=machine,
        memory_kib=int(sum(one.get("memory_kib", 0) for one in usages)),
        threads=int(sum(one.get("threads", 0) for one in usages)),
    )
