"""The files of a decoded cache: one file of pixels, and a marker for each finished block.

``images.u8`` is raw uint8 [images, height, width, 3] in C order, allocated in full before
anything is written. It is filled in blocks of :data:`BLOCK_IMAGES` images. The marker
``blocks/00007.json`` is written when block 7 is on the disk, and holds what was found out
about each of its images, and the CRC-32 of its pixels.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from isal.isal_zlib import crc32

from mlubench.errors import StoreError
from mlubench.sealed import open_sealed, sealed_json
from mlubench.store import write_atomic

#: A block is what one worker holds in memory (10 MB for 227 x 227) and what a kill may cost.
BLOCK_IMAGES = 64
#: Pixels are checked so many bytes at a time: what the processor's caches hold.
_CHUNK_BYTES = 1 << 20


def blocks_of(first: int, images: int) -> range:
    """Return the numbers of the blocks that hold consecutive images."""
    return range(first // BLOCK_IMAGES, (first + images - 1) // BLOCK_IMAGES + 1)


class Outcome(NamedTuple):
    """What became of one image: ``kind`` and ``detail`` are empty where it is scored."""

    sha256: str
    kind: str
    detail: str


@dataclass(frozen=True)
class Block:
    """A finished block: the CRC-32 of its pixels, and the outcome of each of its images."""

    crc32: int
    outcomes: tuple[Outcome, ...]


@dataclass(frozen=True)
class BlockFiles:
    """The pixels and markers of one cache.

    Args:
        folder: the cache's folder.
        shape: (images, height, width, 3).
    """

    folder: Path
    shape: tuple[int, int, int, int]

    @property
    def pixels(self) -> Path:
        """The file of all the pixels."""
        return self.folder / "images.u8"

    @property
    def lock(self) -> Path:
        """The file that is locked by whoever changes the cache."""
        return self.folder.with_name(f"{self.folder.name}.lock")

    @property
    def count(self) -> int:
        """How many blocks there are; the last may be shorter."""
        return -(-self.shape[0] // BLOCK_IMAGES)

    def images(self, block: int) -> range:
        """Return the image_index values of a block."""
        return range(block * BLOCK_IMAGES, min((block + 1) * BLOCK_IMAGES, self.shape[0]))

    def is_allocated(self) -> bool:
        """Tell whether the file of pixels is there in its full size."""
        return self.pixels.is_file() and self.pixels.stat().st_size == self._offset(self.shape[0])

    def prepare(self) -> None:
        """Allocate the file of pixels on the disk, unless a killed build has done so.

        A full disk is an error here, and not a SIGBUS when the memory map is read. Where the
        file is new, no block is finished; temporary files of a killed build are removed.

        Raises:
            StoreError: there is no room, or the folder cannot be written.
        """
        allocated = self.is_allocated()
        try:
            (self.folder / "blocks").mkdir(parents=True, exist_ok=True)
            for file in (self.folder / "blocks").iterdir():
                if not allocated or file.suffix != ".json" or file.name.startswith("."):
                    file.unlink()
            if not allocated:
                self._allocate()
        except OSError as error:
            raise self._unwritable(error) from error

    def _allocate(self) -> None:
        with self.pixels.open("wb") as stream:
            try:
                os.posix_fallocate(stream.fileno(), 0, self._offset(self.shape[0]))
            except OSError:
                stream.truncate(0)
                raise

    def finished(self) -> dict[int, Block]:
        """Return the finished blocks by number."""
        found = ((block, self._read_marker(block)) for block in range(self.count))
        return {block: marker for block, marker in found if marker is not None}

    def write(
        self, block: int, pixels: npt.NDArray[np.uint8], outcomes: tuple[Outcome, ...]
    ) -> Block:
        """Write a block's pixels, wait until they are on the disk, then write its marker.

        Args:
            block: its number.
            pixels: uint8 [images of the block, height, width, 3], C order.
            outcomes: one for each image.

        Raises:
            StoreError: the disk cannot be written.
        """
        done = Block(crc32(pixels.data), outcomes)
        try:
            with self.pixels.open("r+b") as stream:
                stream.seek(self._offset(self.images(block).start))
                stream.write(pixels.data)
                stream.flush()
                os.fdatasync(stream.fileno())
        except OSError as error:
            raise self._unwritable(error) from error
        self.mark(block, done)
        return done

    def mark(self, block: int, done: Block) -> None:
        """Write the marker of a block whose pixels are on the disk.

        Raises:
            StoreError: the disk cannot be written.
        """
        outcomes = [list(each) for each in done.outcomes]
        write_atomic(self._marker(block), sealed_json({"crc32": done.crc32, "images": outcomes}))

    def span(self, blocks: range) -> tuple[int, int]:
        """Return where the pixels of consecutive blocks begin in their file, and their size."""
        begin = self._offset(self.images(blocks[0]).start)
        return begin, self._offset(self.images(blocks[-1]).stop) - begin

    def forget(self, block: int) -> None:
        """Make a block unfinished."""
        self._marker(block).unlink(missing_ok=True)

    def crc32(self, block: int) -> int:
        """Return the CRC-32 of a block's pixels as they are on the disk now.

        Raises:
            StoreError: they cannot be read.
        """
        images = self.images(block)
        begin, end = self._offset(images.start), self._offset(images.stop)
        try:
            with self.pixels.open("rb", buffering=0) as stream:
                stream.seek(begin)
                return _crc32_of(stream, end - begin)
        except OSError as error:
            raise StoreError(f"cannot be read: {error.strerror}", where=str(self.pixels)) from error

    def _offset(self, image: int) -> int:
        return image * self.shape[1] * self.shape[2] * self.shape[3]

    def _marker(self, block: int) -> Path:
        return self.folder / "blocks" / f"{block:05d}.json"

    def _read_marker(self, block: int) -> Block | None:
        """Return a finished block, or None where it is unfinished or its marker is damaged."""
        try:
            facts = open_sealed(self._marker(block).read_bytes())
            outcomes = tuple(Outcome(*each) for each in facts["images"])
            whole = len(outcomes) == len(self.images(block))
            return Block(int(facts["crc32"]), outcomes) if whole else None
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def _unwritable(self, error: OSError) -> StoreError:
        gigabytes = self._offset(self.shape[0]) / 1e9
        return StoreError(
            f"the decoded images cannot be written: {error.strerror}",
            where=str(self.pixels),
            expected=f"a disk that can be written, with {gigabytes:.2f} GB free",
            fix="free space, or name another folder with --out; what is done is kept",
        )


def _crc32_of(stream: FileIO, size: int) -> int:
    """Return the CRC-32 of the next bytes of a file, of fewer where it ends before."""
    chunk = memoryview(bytearray(min(size, _CHUNK_BYTES)))
    crc = 0
    while size and (read := stream.readinto(chunk[:size])):
        crc = crc32(chunk[:read], crc)
        size -= read
    return crc
