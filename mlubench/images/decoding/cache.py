"""The decoded cache: a dataset's images, decoded and preprocessed once for all precisions.

A cache is a folder named by its content key, made of the files of
:mod:`mlubench.images.decoding.blocks` and a ``manifest.json``, which is written last.
:mod:`mlubench.images.decoding.decoder` fills it.
"""

from __future__ import annotations

import functools
import hashlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple, overload

import cv2
import numpy as np
import simplejpeg

from mlubench.errors import DatasetError, StoreError
from mlubench.images.datasets.dataset import (
    Dataset,
    ImageRef,
    listing_digest,
    outline_digest,
    with_facts,
)
from mlubench.images.datasets.source import MAX_FILE_BYTES
from mlubench.images.decoding.blocks import Block, BlockFiles, Outcome, blocks_of
from mlubench.images.decoding.preprocess import Preprocess
from mlubench.sealed import open_sealed, sealed_json
from mlubench.store import (
    MANIFEST,
    content_key,
    locked,
    write_atomic,
)

#: Raised by one whenever decoding or preprocessing gives other pixels or other outcomes.
_CODE_VERSION = 2
_SHA256_DIGITS = 64


class ImageRecord(NamedTuple):
    """One image of the cache; ``kind`` and ``detail`` say what is wrong with a corrupt one."""

    name: str
    sha256: str
    status: Literal["scored", "corrupt"]
    kind: str
    detail: str


class Records(Sequence[ImageRecord]):
    """The images of a cache, each a record when it is asked for: there may be a million.

    Args:
        images: in dataset order.
        digests: 64 hex digits for each, one behind another.
        damage: (kind, detail) of each corrupt image, by image_index.
    """

    def __init__(
        self, images: Sequence[ImageRef], digests: str, damage: Mapping[int, tuple[str, str]]
    ) -> None:
        if len(digests) != _SHA256_DIGITS * len(images):
            raise ValueError(f"{len(images)} images, {len(digests)} digits of digests")
        self._images = images
        self._digests = digests
        self._damage = dict(sorted(damage.items()))

    def __len__(self) -> int:
        return len(self._images)

    @overload
    def __getitem__(self, place: int) -> ImageRecord: ...

    @overload
    def __getitem__(self, place: slice) -> list[ImageRecord]: ...

    def __getitem__(self, place: int | slice) -> ImageRecord | list[ImageRecord]:
        if isinstance(place, slice):
            return [self[index] for index in range(*place.indices(len(self)))]
        index = range(len(self))[place]
        kind, detail = self._damage.get(index, ("", ""))
        return ImageRecord(
            self._images[index].name,
            self._digests[index * _SHA256_DIGITS : (index + 1) * _SHA256_DIGITS],
            "corrupt" if kind else "scored",
            kind,
            detail,
        )

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Records) and list(self) == list(other)

    def __hash__(self) -> int:
        return hash(self._digests)

    @property
    def corrupt(self) -> tuple[int, ...]:
        """The image_index of each corrupt image."""
        return tuple(self._damage)

    def copies(self) -> int:
        """Return how many whole images are another one again: of the same bytes."""
        digests = np.frombuffer(self._digests.encode("ascii"), f"S{_SHA256_DIGITS}")
        whole = np.delete(digests, self.corrupt)
        whole.sort()
        return int(np.count_nonzero(whole[1:] == whole[:-1]))


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
    records: Records
    content_digest: str
    block_crc32: tuple[int, ...]

    def pixels(self) -> np.memmap[Any, np.dtype[np.uint8]]:
        """Map the pixels into memory, read-only: uint8 of ``shape``."""
        return np.memmap(self.path, dtype=np.uint8, mode="r", shape=self.shape)

    @property
    def corrupt(self) -> tuple[int, ...]:
        """The image_index of each corrupt image."""
        return self.records.corrupt

    @property
    def complete(self) -> bool:
        """Whether all images are there, as they always are; see ``Decoding.complete``."""
        return True

    def wait(self, stop: int) -> None:
        """Wait until the images before ``stop`` are decoded, which they are."""

    def verify(self, first: int, images: int) -> None:
        """Check the pixels of consecutive images, and of those that share a block with them.

        Raises:
            StoreError: as :func:`verify_block`.
        """
        for block in blocks_of(first, images):
            verify_block(self, block)


def cache_files(dataset: Dataset, spec: Preprocess, root: Path) -> BlockFiles:
    """Return where a dataset's decoded images lie or would lie.

    Args:
        dataset: the images.
        spec: how they are resized and cropped.
        root: the folder of the caches.

    Raises:
        DatasetError: the dataset has no image, or the facts of one cannot be read.
    """
    if not dataset.images:
        raise DatasetError("there is no image in it", where=f"dataset {dataset.name}")
    folder = root / content_key({"listing": listing_digest(dataset), **_pixel_parts(spec)})
    return BlockFiles(folder, (len(dataset.images), *spec.crop_shape, 3))


def verify_block(decoded: DecodedImages, block: int) -> None:
    """Check the pixels of one block against its CRC-32.

    A block that does not match is forgotten, so that the next decoding decodes it, and it alone,
    anew.

    Raises:
        StoreError: the pixels have changed on the disk, or cannot be read.
    """
    files = BlockFiles(decoded.path.parent, decoded.shape)
    verify_pixels(files, block, decoded.block_crc32[block])


def verify_pixels(files: BlockFiles, block: int, crc32: int) -> None:
    """Check the pixels of one block of any cache; as :func:`verify_block`."""
    if files.crc32(block) == crc32:
        return
    with locked(files.lock):
        files.forget(block)  # first: a manifest left by a kill here is found out again
        (files.folder / MANIFEST).unlink(missing_ok=True)
    images = files.images(block)
    raise StoreError(
        f"the pixels of the images {images.start} to {images.stop - 1} have changed",
        where=str(files.pixels),
        expected=f"CRC-32 {crc32:08x} for block {block}",
        fix="run the command again: that block is decoded anew; then have the disk checked",
    )


def check_disjoint(calibration: Dataset, scored: Dataset) -> None:
    """Check that no image is in both datasets, under whatever name.

    Only images of equal size are read. Files without bytes, and those that cannot be read or are
    too large, are passed over: they are corrupt in either, and no picture.

    Raises:
        DatasetError: an image is in both; the message names the pair.
    """
    by_size: dict[int, list[str]] = defaultdict(list)
    for image, (size, _) in with_facts(calibration):
        if 0 < size <= MAX_FILE_BYTES:
            by_size[size].append(image.name)
    digest_of = functools.cache(lambda name: _sha256(calibration.source.read(name)))
    for image, (size, _) in with_facts(scored):
        if rivals := by_size.get(size):
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


def shared_key(dataset: Dataset, spec: Preprocess) -> str:
    """Return the key that a dataset's decoded images have on every host with a copy of it."""
    return content_key({"outline": outline_digest(dataset), **_pixel_parts(spec)})


def _pixel_parts(spec: Preprocess) -> dict[str, Any]:
    """Return what the pixels depend on beside the images."""
    return {
        "resize": spec.resize,
        "resize_size": spec.resize_size if spec.resize != "none" else 0,
        "crop": list(spec.crop_shape),
        "code": _CODE_VERSION,
        "opencv": cv2.__version__,
        "simplejpeg": simplejpeg.__version__,
    }


def finish_cache(files: BlockFiles, dataset: Dataset, blocks: Mapping[int, Block]) -> DecodedImages:
    """Write the manifest, which makes the cache complete.

    The digests are one string and only corrupt images have an entry of their own, for 50,000
    images are to be opened at once.
    """
    ordered = [blocks[block] for block in range(files.count)]
    outcomes = [outcome for block in ordered for outcome in block.outcomes]
    digests = "".join(outcome.sha256 for outcome in outcomes)
    manifest = {
        "shape": list(files.shape),
        "content_digest": _content_digest(dataset, digests),
        "sha256": digests,
        "corrupt": [[i, each.kind, each.detail] for i, each in enumerate(outcomes) if each.kind],
        "crc32": [block.crc32 for block in ordered],
    }
    write_atomic(files.folder / MANIFEST, sealed_json(manifest))
    return _decoded(files, dataset, manifest)


def blocks_in(manifest: Mapping[str, Any], files: BlockFiles, dataset: Dataset) -> dict[int, Block]:
    """Return the blocks that a manifest of :func:`finish_cache` was written of, by number.

    Raises:
        KeyError: it is none; so say IndexError, TypeError and ValueError.
    """
    records = _decoded(files, dataset, manifest).records
    outcomes = [Outcome(one.sha256, one.kind, one.detail) for one in records]
    crc32 = [int(one) for one in manifest["crc32"]]
    if len(crc32) != files.count or list(manifest["shape"]) != list(files.shape):
        raise ValueError("it is of other images")
    return {
        block: Block(crc32[block], tuple(outcomes[index] for index in files.images(block)))
        for block in range(files.count)
    }


def open_cache(files: BlockFiles, dataset: Dataset) -> DecodedImages | None:
    """Return a complete cache, or None where it is not, or its manifest is damaged."""
    try:
        manifest = open_sealed((files.folder / MANIFEST).read_bytes())
        decoded = _decoded(files, dataset, manifest)
    except (OSError, ValueError, KeyError, TypeError, IndexError):
        return None
    digest = _content_digest(dataset, manifest["sha256"])
    return decoded if files.is_allocated() and digest == decoded.content_digest else None


def _decoded(files: BlockFiles, dataset: Dataset, manifest: Mapping[str, Any]) -> DecodedImages:
    damage = {index: (kind, detail) for index, kind, detail in manifest["corrupt"]}
    records = Records(dataset.images, manifest["sha256"], damage)
    return DecodedImages(
        path=files.pixels,
        shape=files.shape,
        records=records,
        content_digest=manifest["content_digest"],
        block_crc32=tuple(manifest["crc32"]),
    )


def _content_digest(dataset: Dataset, digests: str) -> str:
    digits = range(0, len(digests), _SHA256_DIGITS)
    lines = [
        f"{image.name}\0{image.class_id}\0{digests[at : at + _SHA256_DIGITS]}\n"
        for image, at in zip(dataset.images, digits, strict=True)
    ]
    return hashlib.sha256("".join(lines).encode()).hexdigest()
