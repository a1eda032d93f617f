"""What goes between the flow's host and the hosts of a Dask cluster."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mlubench.errors import StoreError


@dataclass(frozen=True)
class HostFacts:
    """What must be the same on every host, and what a host has.

    Attributes:
        host: its name; that of the Dask worker where it was given one.
        same: what must be as it is on the flow's host, by name.
        slots: how many shards it does at a time.
        device: what the engine says of its first device.
        networks: the content keys asked for that it has.
    """

    host: str
    same: Mapping[str, str]
    slots: int
    device: str
    networks: frozenset[str] = frozenset()


@dataclass(frozen=True)
class PackedNetwork:
    """A compiled network on its way to a host: the bytes of each file of its folder."""

    key: str
    files: Mapping[str, bytes]

    @classmethod
    def of(cls, key: str, folder: Path) -> PackedNetwork:
        """Read the folder of a compiled network.

        Raises:
            StoreError: a file cannot be read.
        """
        try:
            files = {
                file.relative_to(folder).as_posix(): file.read_bytes()
                for file in sorted(folder.rglob("*"))
                if file.is_file()
            }
        except OSError as error:
            raise StoreError(f"cannot be read: {error.strerror}", where=str(folder)) from error
        return cls(key, files)

    def __dask_tokenize__(self) -> object:
        """Name it by its key, not by its bytes."""
        return ("network", self.key)


@dataclass(frozen=True)
class ShardOrder:
    """A shard on its way to a host.

    Attributes:
        engine: the engine's name.
        same: what must be the same on the host; see :class:`HostFacts`.
        precision: as asked for; for the shard's name in Prefect's UI.
        network: the compiled network's content key.
        first: its first image.
        shape: [images, height, width, 3].
        crc32: of the pixels.
        pixels: uint8 of that shape in C order.
    """

    engine: str
    same: Mapping[str, str]
    precision: str
    network: str
    first: int
    shape: tuple[int, int, int, int]
    crc32: int
    pixels: bytes

    def __dask_tokenize__(self) -> object:
        """Name it by its checksum, not by its bytes."""
        return ("shard", self.network, self.first, self.shape, self.crc32)

    @property
    def images(self) -> str:
        """Which images they are, in words."""
        return f"images {self.first} to {self.first + self.shape[0] - 1}"


@dataclass(frozen=True)
class ShardAnswer:
    """What became of a shard.

    Attributes:
        worker: the Dask worker's address.
        host: the host's name.
        device: the device, such as ``host/cpu:0``.
        description: what the engine says of the device.
        executed_precision: the arithmetic that it used.
        started: seconds since the epoch.
        seconds: how long it took, without the way there and back.
        results: the device worker's result file, NumPy's npz, whose arrays carry checksums.
    """

    worker: str
    host: str
    device: str
    description: str
    executed_precision: str
    started: float
    seconds: float
    results: bytes


class NetworkAbsent(Exception):  # noqa: N818  # no error: the flow sends it
    """The host has not got the compiled network, and it did not come with the shard."""
