"""The decoded cache: a dataset's images, decoded and preprocessed once for all precisions.

A cache is a folder named by its content key, made of the files of :mod:`mlubench.images.blocks`
and a ``manifest.json``, which is written last. A killed build goes on with its unfinished
blocks; of two processes at once one builds and the other waits.
"""

from __future__ import annotations

import functools
import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt
import simplejpeg

from mlubench.errors import DatasetError, StoreError
from mlubench.images.blocks import Block, BlockFiles, Outcome
from mlubench.images.damage import DamagedImage
from mlubench.images.dataset import Dataset, listing_digest
from mlubench.images.decode import decode
from mlubench.images.preprocess import Preprocess, preprocess
from mlubench.sealed import open_sealed, sealed_json
from mlubench.store import (
    MANIFEST,
    content_key,
    locked,
    write_atomic,
)

#: Raised by one whenever decoding or preprocessing gives other pixels or other outcomes.
_CODE_VERSION = 1
_SHA256_DIGITS = 64


class ImageRecord(NamedTuple):
    """One image of the cache; ``kind`` and ``detail`` say what is wrong with a corrupt one."""

    name: str
    sha256: str
    status: Literal["scored", "corrupt"]
    kind: str
    detail: str


@dataclass(frozen=True)
class DecodedImages:
    """A finished cache.

    Args:
        path: the file of the pixels: raw uint8 in C order, slot i is image_index i; the slot
            of a corrupt image is zero.
        shape: (images, height, width, 3), BGR.
        records: one for each image.
        content_digest: SHA-256 over the images' names, class ids and bytes: which dataset it is.
        block_crc32: CRC-32 of the pixels of each block of ``BLOCK_IMAGES`` images.
    """

    path: Path
    shape: tuple[int, int, int, int]
    records: tuple[ImageRecord, ...]
    content_digest: str
    block_crc32: tuple[int, ...]

    def pixels(self) -> np.memmap[Any, np.dtype[np.uint8]]:
        """Map the pixels into memory, read-only: uint8 of ``shape``."""
        return np.memmap(self.path, dtype=np.uint8, mode="r", shape=self.shape)

    @property
    def corrupt(self) -> tuple[int, ...]:
        """The image_index of each corrupt image."""
        return tuple(i for i, record in enumerate(self.records) if record.status == "corrupt")


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
        dataset: the images.
        spec: how they are resized and cropped.
        root: the folder of the caches; made where it is absent.
        workers: threads. Each holds one block of pixels in memory.
        progress: called in this thread with the images done and the images in all, at the
            start and after each block.

    Raises:
        DatasetError: the dataset has no image, an image cannot be read, or one is smaller than
            the crop. Damaged images are no error, but records of status ``corrupt``.
        StoreError: the cache cannot be written.
    """
    if not dataset.images:
        raise DatasetError("there is no image in it", where=f"dataset {dataset.name}")
    folder = root / content_key(_key_parts(dataset, spec))
    files = BlockFiles(folder, (len(dataset.images), *spec.crop_shape, 3))
    with locked(folder.with_name(f"{folder.name}.lock")):
        decoded = _open(files, dataset)
        if decoded is None:
            blocks = _decode_blocks(dataset, spec, files, workers, progress)
            decoded = _finish(files, dataset, blocks)
    progress(len(dataset.images), len(dataset.images))
    return decoded


def verify_block(decoded: DecodedImages, block: int) -> None:
    """Check the pixels of one block against its CRC-32.

    A block that does not match is forgotten, so that the next :func:`decode_dataset` decodes
    it, and it alone, anew.

    Raises:
        StoreError: the pixels have changed on the disk, or cannot be read.
    """
    files = BlockFiles(decoded.path.parent, decoded.shape)
    if files.crc32(block) == decoded.block_crc32[block]:
        return
    with locked(files.folder.with_name(f"{files.folder.name}.lock")):
        files.forget(block)  # first: a manifest left by a kill here is found out again
        (files.folder / MANIFEST).unlink(missing_ok=True)
    images = files.images(block)
    raise StoreError(
        f"the pixels of the images {images.start} to {images.stop - 1} have changed",
        where=str(decoded.path),
        expected=f"CRC-32 {decoded.block_crc32[block]:08x} for block {block}",
        fix="run the command again: that block is decoded anew; then have the disk checked",
    )


def check_disjoint(calibration: Dataset, scored: Dataset) -> None:
    """Check that no image is in both datasets, under whatever name.

    Only images of equal size are read. Files without bytes are passed over: they are corrupt
    in either, and no picture.

    Raises:
        DatasetError: an image is in both; the message names the pair.
    """
    by_size: dict[int, list[str]] = defaultdict(list)
    for image in calibration.images:
        by_size[calibration.source.stat(image.name).size].append(image.name)
    by_size.pop(0, None)
    digest_of = functools.cache(lambda name: _sha256(calibration.source.read(name)))
    for image in scored.images:
        if rivals := by_size.get(scored.source.stat(image.name).size):
            digest = _sha256(scored.source.read(image.name))
            for name in rivals:
                if digest_of(name) == digest:
                    raise _in_both(calibration, name, scored, image.name)


def _in_both(calibration: Dataset, name: str, scored: Dataset, same: str) -> DatasetError:
    return DatasetError(
        f"the calibration image {name} is also scored, as {same}",
        where=f"datasets {calibration.name} and {scored.name}",
        expected="calibration on images that are not scored",
        fix="remove the image from one of the two folders or label lists",
    )


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _key_parts(dataset: Dataset, spec: Preprocess) -> dict[str, Any]:
    return {
        "listing": listing_digest(dataset),
        "resize": spec.resize,
        "resize_size": spec.resize_size if spec.resize != "none" else 0,
        "crop": list(spec.crop_shape),
        "code": _CODE_VERSION,
        "opencv": cv2.__version__,
        "simplejpeg": simplejpeg.__version__,
    }


def _decode_blocks(
    dataset: Dataset,
    spec: Preprocess,
    files: BlockFiles,
    workers: int,
    progress: Callable[[int, int], None],
) -> dict[int, Block]:
    """Decode the unfinished blocks; return all blocks by number."""
    (files.folder / MANIFEST).unlink(missing_ok=True)
    files.prepare()
    blocks = files.finished()
    total = len(dataset.images)
    progress(_images_in(blocks), total)
    with ThreadPoolExecutor(workers, thread_name_prefix="decode") as pool:
        futures = {
            pool.submit(_decode_block, dataset, spec, files, block): block
            for block in range(files.count)
            if block not in blocks
        }
        try:
            for future in as_completed(futures):
                blocks[futures[future]] = future.result()
                progress(_images_in(blocks), total)
        finally:
            pool.shutdown(cancel_futures=True)
    return blocks


def _images_in(blocks: Mapping[int, Block]) -> int:
    return sum(len(block.outcomes) for block in blocks.values())


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
    data = dataset.read(index)
    digest = _sha256(data)
    try:
        slot[...] = preprocess(decode(data), spec, name=dataset.images[index].name)
    except DamagedImage as damage:
        return Outcome(digest, damage.kind, damage.detail)
    return Outcome(digest, "", "")


def _finish(files: BlockFiles, dataset: Dataset, blocks: Mapping[int, Block]) -> DecodedImages:
    """Write the manifest, which makes the cache complete.

    The digests are one string and only corrupt images have an entry of their own, for 50,000
    images are to be opened at once.
    """
    ordered = [blocks[block] for block in range(files.count)]
    outcomes = [outcome for block in ordered for outcome in block.outcomes]
    digests = [outcome.sha256 for outcome in outcomes]
    manifest = {
        "shape": list(files.shape),
        "content_digest": _content_digest(dataset, digests),
        "sha256": "".join(digests),
        "corrupt": [[i, each.kind, each.detail] for i, each in enumerate(outcomes) if each.kind],
        "crc32": [block.crc32 for block in ordered],
    }
    write_atomic(files.folder / MANIFEST, sealed_json(manifest))
    return _decoded(files, dataset, manifest)


def _open(files: BlockFiles, dataset: Dataset) -> DecodedImages | None:
    """Return a complete cache, or None where it is not, or its manifest is damaged."""
    try:
        manifest = open_sealed((files.folder / MANIFEST).read_bytes())
        decoded = _decoded(files, dataset, manifest)
    except (OSError, ValueError, KeyError, TypeError, IndexError):
        return None
    digest = _content_digest(dataset, (record.sha256 for record in decoded.records))
    return decoded if files.is_allocated() and digest == decoded.content_digest else None


def _decoded(files: BlockFiles, dataset: Dataset, manifest: Mapping[str, Any]) -> DecodedImages:
    digests: str = manifest["sha256"]
    records = [
        ImageRecord(image.name, digests[at : at + _SHA256_DIGITS], "scored", "", "")
        for image, at in zip(dataset.images, range(0, len(digests), _SHA256_DIGITS), strict=True)
    ]
    for index, kind, detail in manifest["corrupt"]:
        records[index] = records[index]._replace(status="corrupt", kind=kind, detail=detail)
    return DecodedImages(
        path=files.pixels,
        shape=files.shape,
        records=tuple(records),
        content_digest=manifest["content_digest"],
        block_crc32=tuple(manifest["crc32"]),
    )


def _content_digest(dataset: Dataset, digests: Iterable[str]) -> str:
    lines = (
        f"{image.name}\0{image.class_id}\0{digest}\n"
        for image, digest in zip(dataset.images, digests, strict=True)
    )
    return hashlib.sha256("".join(lines).encode()).hexdigest()
