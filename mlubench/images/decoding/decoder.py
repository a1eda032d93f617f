"""Decoding a dataset into its cache, from which images are taken while others are still decoded.

Blocks are decoded in the order of the images. A killed decoding goes on with its unfinished
blocks; of two processes at once one decodes and the other waits.
"""

from __future__ import annotations

import hashlib
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

import numpy as np
import numpy.typing as npt

from mlubench.errors import DatasetError, MlubenchError
from mlubench.images.datasets.damage import DamagedImage
from mlubench.images.datasets.dataset import Dataset
from mlubench.images.decoding.blocks import Block, BlockFiles, Outcome, blocks_of
from mlubench.images.decoding.cache import (
    DecodedImages,
    cache_files,
    finish_cache,
    open_cache,
    verify_pixels,
)
from mlubench.images.decoding.image_file import decode
from mlubench.images.decoding.pace import Pace
from mlubench.images.decoding.preprocess import Preprocess, preprocess
from mlubench.store import MANIFEST, locked_if_free, note_use

if TYPE_CHECKING:
    from mlubench.images.decoding.shared import SharedImages
    from mlubench.object_store.store import Depot

#: Seconds between two looks at what nobody tells: the rates, another process's lock.
_LOOK_SECONDS = 0.1


class Decoding:
    """The decoded images of a dataset: in the cache, or on their way there.

    :meth:`run` decodes; meanwhile other threads wait for images and use them. A context manager,
    whose end is the end of what still runs.

    Args:
        dataset: the images.
        spec: how they are resized and cropped.
        root: the folder of the caches; made where it is absent.
        depot: where hosts share what they decoded, if they do.

    Attributes:
        dataset: the images.
        path: as :class:`~mlubench.images.decoding.cache.DecodedImages` has it.
        shape: likewise.
        seconds: how long :meth:`run` took.

    Raises:
        DatasetError: the dataset has no image, or the facts of one cannot be read.
    """

    def __init__(
        self, dataset: Dataset, spec: Preprocess, root: Path, depot: Depot | None = None
    ) -> None:
        self.dataset = dataset
        self._spec = spec
        self._files = cache_files(dataset, spec, root)
        self._shared = _shared(depot, dataset, spec, self._files)
        self.path, self.shape = self._files.pixels, self._files.shape
        self.seconds = 0.0
        self._pace = Pace(1)
        self._waiting: deque[int] = deque()
        self._active = 0
        self._blocks: dict[int, Block] = {}
        self._ready = 0  # blocks that are finished, counted up to the first that is not
        self._decoded: DecodedImages | None = None
        self._ended = False
        self._error: BaseException | None = None
        self._changed = threading.Condition()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._end(None)

    def run(self, *, workers: int, progress: Callable[[int, int], None]) -> DecodedImages:
        """Decode what is not in the cache and return all images.

        Args:
            workers: threads, at most; each holds one block of pixels in memory. How many work
                at a time says :class:`~mlubench.images.decoding.pace.Pace`.
            progress: called in this thread with the images done and the images in all, at the
                start, at the end, and a few times a second.

        Raises:
            DatasetError: an image cannot be read, or is smaller than the crop. Damaged images are
                no error, but records of status ``corrupt``.
            StoreError: the cache cannot be written.
            MlubenchError: it was ended before its end.
        """
        start = time.monotonic()
        try:
            with self._alone():
                decoded = open_cache(self._files, self.dataset)
                if decoded is None:
                    self._decode(workers, progress)
                    decoded = finish_cache(self._files, self.dataset, self._blocks)
        except BaseException as error:
            self._end(error)
            raise
        self.seconds = time.monotonic() - start
        with self._changed:
            self._decoded = decoded
            self._blocks.clear()  # some 200 bytes an image, which the cache has
            self._changed.notify_all()
        progress(self.shape[0], self.shape[0])
        if self._shared is not None:  # nobody waits for that: images are used meanwhile
            self._shared.push()
        return decoded

    @property
    def complete(self) -> bool:
        """Whether all images are decoded."""
        return self._decoded is not None

    def wait(self, stop: int) -> None:
        """Wait until the images before ``stop`` are decoded.

        Raises:
            MlubenchError: decoding failed or was ended before.
        """
        with self._changed:
            while not self.complete and self._images_ready() < stop:
                if isinstance(self._error, Exception):
                    raise self._error
                if self._ended:
                    raise self._ended_early()
                self._changed.wait()

    def verify(self, first: int, images: int) -> None:
        """Check the pixels of consecutive decoded images, which a device is about to infer.

        Raises:
            StoreError: as :func:`~mlubench.images.decoding.cache.verify_block`.
        """
        with self._changed:
            self._pace.used(first, images, time.monotonic())
            crc32 = {block: self._crc32(block) for block in blocks_of(first, images)}
        for block, expected in crc32.items():
            verify_pixels(self._files, block, expected)

    def _crc32(self, block: int) -> int:
        decoded = self._decoded
        return self._blocks[block].crc32 if decoded is None else decoded.block_crc32[block]

    def _images_ready(self) -> int:
        return self._files.images(self._ready).start

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Hold the cache's lock, waiting for another process unless this is ended meanwhile."""
        while True:
            with locked_if_free(self._files.lock) as free:
                if free:
                    yield
                    return
            with self._changed:
                if self._ended:
                    raise self._ended_early()
                self._changed.wait(_LOOK_SECONDS)

    def _decode(self, workers: int, progress: Callable[[int, int], None]) -> None:
        """Decode the unfinished blocks."""
        (self._files.folder / MANIFEST).unlink(missing_ok=True)
        self._files.prepare()
        finished = self._files.finished()
        with self._changed:
            self._pace = Pace(workers)
            self._blocks.update(finished)
            self._advance()
        if self._shared is not None:
            self._shared.pull(finished, self._adopt, lambda: self._tell(progress))
        with self._changed:
            self._waiting.extend(n for n in range(self._files.count) if n not in self._blocks)
        self._tell(progress)
        with ThreadPoolExecutor(workers, thread_name_prefix="decode") as pool:
            working = {pool.submit(self._work) for _ in range(workers)}
            try:
                while working:
                    done, working = wait(working, _LOOK_SECONDS, FIRST_EXCEPTION)
                    for one in done:
                        one.result()
                    self._tell(progress)
            except BaseException as error:
                self._end(error)  # the other threads leave the pool
                raise
        if self._ended:
            raise self._ended_early()

    def _adopt(self, blocks: Mapping[int, Block]) -> bool:
        """Take blocks that another host decoded and that are on this disk; False where ended."""
        with self._changed:
            self._blocks.update(blocks)
            self._advance()
            return not self._ended

    def _tell(self, progress: Callable[[int, int], None]) -> None:
        with self._changed:
            done = sum(len(block.outcomes) for block in self._blocks.values())
        progress(done, self.shape[0])

    def _work(self) -> None:
        """Decode blocks until there are no more."""
        while (number := self._next()) is not None:
            start = time.monotonic()
            block = _decode_block(self.dataset, self._spec, self._files, number)
            with self._changed:
                self._active -= 1
                self._blocks[number] = block
                self._pace.decoded(len(block.outcomes), time.monotonic() - start)
                self._advance()

    def _next(self) -> int | None:
        """Return the next block to decode, once this thread is needed; None where none is left."""
        with self._changed:
            while self._waiting and not self._ended and self._active >= self._decoders():
                self._changed.wait(_LOOK_SECONDS)
            if self._ended or not self._waiting:
                return None
            self._active += 1
            return self._waiting.popleft()

    def _decoders(self) -> int:
        return self._pace.decoders(self._images_ready(), time.monotonic())

    def _advance(self) -> None:
        while self._ready in self._blocks:
            self._ready += 1
        self._changed.notify_all()

    def _end(self, error: BaseException | None) -> None:
        with self._changed:
            if not self._ended:
                self._ended, self._error = True, error
            self._changed.notify_all()

    def _ended_early(self) -> MlubenchError:
        return MlubenchError(
            "decoding was ended before its end; what is decoded is kept",
            where=f"dataset {self.dataset.name}",
        )


def _shared(
    depot: Depot | None, dataset: Dataset, spec: Preprocess, files: BlockFiles
) -> SharedImages | None:
    if depot is None:
        return None
    from mlubench.images.decoding.shared import SharedImages

    return SharedImages(depot, dataset, spec, files)


def decode_dataset(
    dataset: Dataset,
    spec: Preprocess,
    root: Path,
    *,
    workers: int,
    progress: Callable[[int, int], None],
) -> DecodedImages:
    """Return the dataset's decoded images; decode what of them is not in the cache.

    Args:
        dataset: as for :class:`Decoding`.
        spec: likewise.
        root: likewise.
        workers: as for :meth:`Decoding.run`.
        progress: likewise.

    Raises:
        DatasetError: as :class:`Decoding` and :meth:`Decoding.run`.
        StoreError: as :meth:`Decoding.run`.
    """
    return Decoding(dataset, spec, root).run(workers=workers, progress=progress)


def _decode_block(dataset: Dataset, spec: Preprocess, files: BlockFiles, block: int) -> Block:
    images = files.images(block)
    pixels = np.zeros((len(images), *files.shape[1:]), np.uint8)
    outcomes = tuple(
        _decode_image(dataset, spec, index, slot)
        for index, slot in zip(images, pixels, strict=True)
    )
    return files.write(block, pixels, outcomes)


def _decode_image(
    dataset: Dataset, spec: Preprocess, index: int, slot: npt.NDArray[np.uint8]
) -> Outcome:
    """Decode one image into its slot, which stays zero where the image is damaged."""
    digest = hashlib.sha256().hexdigest()
    try:
        data = dataset.read(index)
        digest = hashlib.sha256(data).hexdigest()
        slot[...] = preprocess(decode(data), spec, name=dataset.images[index].name)
    except DamagedImage as damage:
        return Outcome(digest, damage.kind, damage.detail)
    return Outcome(digest, "", "")


def decode_images(
    dataset: Dataset, preprocess: Preprocess, cache: Path, progress: Callable[[int, int], None]
) -> DecodedImages:
    """Return a dataset's images as a network takes them, decoded unless the cache has them.

    Raises:
        DatasetError: not one image could be decoded.
        StoreError: the cache cannot be written.
    """
    return finish_decoding(Decoding(dataset, preprocess, cache), progress)


def finish_decoding(images: Decoding, progress: Callable[[int, int], None]) -> DecodedImages:
    """Decode what is to be decoded of images, on at most all cores, and return all of them.

    Raises:
        DatasetError: not one image could be decoded.
        StoreError: the cache cannot be written.
        MlubenchError: it was ended before its end.
    """
    decoded = images.run(workers=len(os.sched_getaffinity(0)), progress=progress)
    note_use(decoded.path.parent)
    if len(decoded.corrupt) == len(decoded.records):
        first = decoded.records[0]
        raise DatasetError(
            f"not one of its {len(decoded.records)} images can be decoded",
            where=str(images.dataset.root),
            expected="JPEG images",
            fix=f"look at {first.name}: {first.kind}",
        )
    return decoded
