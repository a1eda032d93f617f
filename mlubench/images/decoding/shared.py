"""Decoded images that hosts share: pulled from a depot where it has them whole, pushed else.

An entry of kind ``decoded`` is the cache's own manifest and its pixels in pieces of
:data:`PIECE_BLOCKS` blocks. Its key is the same on every host with a copy of the images, and
promises nothing of their bytes: a piece is taken only where every image in it has, on this host,
the SHA-256 of the one that was decoded. That costs 0.07 ms where decoding costs 2.
"""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Callable, Collection, Mapping

from mlubench.images.datasets.damage import DamagedImage
from mlubench.images.datasets.dataset import Dataset
from mlubench.images.decoding.blocks import Block, BlockFiles
from mlubench.images.decoding.cache import blocks_in, shared_key
from mlubench.images.decoding.preprocess import Preprocess
from mlubench.object_store.manifest import Manifest
from mlubench.object_store.store import Depot
from mlubench.object_store.transfer import Source, at_once
from mlubench.sealed import open_sealed
from mlubench.store import MANIFEST, store_error

KIND = "decoded"
#: Blocks of a piece: 512 images, 79 MB of 227 x 227. What damage costs, and a kill.
PIECE_BLOCKS = 8

#: Takes blocks that are on the disk; says whether more are wanted.
Adopt = Callable[[Mapping[int, Block]], bool]


class SharedImages:
    """What a depot has of a dataset's decoded images.

    Args:
        depot: the depot; where it fails, images are decoded.
        dataset: the images.
        spec: how they are resized and cropped.
        files: the cache on this host.
    """

    def __init__(self, depot: Depot, dataset: Dataset, spec: Preprocess, files: BlockFiles) -> None:
        self._depot = depot
        self._dataset = dataset
        self._files = files
        self._key = shared_key(dataset, spec)
        self._others: list[str] = []
        self._pieces = {
            f"pixels/{number:05d}.u8": range(first, min(first + PIECE_BLOCKS, files.count))
            for number, first in enumerate(range(0, files.count, PIECE_BLOCKS))
        }

    def pull(self, finished: Collection[int], adopt: Adopt, tell: Callable[[], None]) -> None:
        """Take the pieces that the depot has, the first images first, into a cache's files.

        What it has not, or has damaged, or decoded of other images, is left to be decoded.

        Args:
            finished: blocks that are decoded; a piece with one of them is left to be decoded.
            adopt: called in several threads, with the blocks of a piece.
            tell: called in this thread, a few times a second.

        Raises:
            DatasetError: an image cannot be read.
            StoreError: the cache cannot be written.
        """
        self._depot.attempt(lambda: self._pull(finished, adopt, tell), None)

    def push(self) -> None:
        """Give the depot the images, which are all decoded, unless it has them.

        Raises:
            StoreError: the cache cannot be read.
        """
        sources = [Source(MANIFEST, self._files.folder / MANIFEST)]
        for name, blocks in self._pieces.items():
            begin, size = self._files.span(blocks)
            sources.append(Source(name, self._files.pixels, begin, size))
        self._depot.attempt(lambda: self._depot.publish_if_absent(KIND, self._key, sources), None)

    def _pull(self, finished: Collection[int], adopt: Adopt, tell: Callable[[], None]) -> None:
        manifest = self._depot.manifest(KIND, self._key)
        blocks = manifest and self._blocks(manifest)
        if manifest is None or not blocks:
            return
        wanted = True

        def take(name: str) -> None:
            nonlocal wanted
            piece = {number: blocks[number] for number in self._pieces[name]}
            if wanted and self._taken(manifest, name, piece):
                wanted = adopt(piece)

        names = [name for name, piece in self._pieces.items() if not set(finished) & set(piece)]
        at_once(take, names, tell)
        if self._others:
            self._depot.remark(
                f"{self._depot.address.text}: {KIND} {self._key}: {len(self._others)} of "
                f"{len(self._pieces)} pieces are of other images than this host's; decoded here"
            )

    def _blocks(self, manifest: Manifest) -> dict[int, Block]:
        """Return what is known of each block; nothing where the entry is damaged."""
        data = io.BytesIO()
        if not {MANIFEST, *self._pieces} <= set(manifest.files):
            return {}
        if not self._depot.fetch_file(manifest, MANIFEST, data):
            return {}
        try:
            return blocks_in(open_sealed(data.getvalue()), self._files, self._dataset)
        except (ValueError, KeyError, TypeError, IndexError):
            return {}

    def _taken(self, manifest: Manifest, name: str, piece: Mapping[int, Block]) -> bool:
        """Fetch a piece to its place; return whether it is of this host's images, and sound."""
        begin, size = self._files.span(self._pieces[name])
        if manifest.files[name].bytes != size:
            return False
        if not all(self._is_of(number, block) for number, block in piece.items()):
            self._others.append(name)
            return False
        try:
            with self._files.pixels.open("r+b") as stream:
                stream.seek(begin)
                if not self._depot.fetch_file(manifest, name, stream):
                    return False
                stream.flush()
                os.fdatasync(stream.fileno())
        except OSError as error:
            raise store_error(error, self._files.pixels, "written") from error
        for number, block in piece.items():
            self._files.mark(number, block)
        return True

    def _is_of(self, number: int, block: Block) -> bool:
        """Whether a block was decoded of the images that are on this host."""
        return all(
            outcome.sha256 == self._digest(index)
            for index, outcome in zip(self._files.images(number), block.outcomes, strict=True)
        )

    def _digest(self, index: int) -> str:
        try:
            return hashlib.sha256(self._dataset.read(index)).hexdigest()
        except DamagedImage:
            return hashlib.sha256().hexdigest()  # as decoding notes one that has no bytes
