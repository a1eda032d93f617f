"""Pictures made for the tests, and folders of them."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from mlubench.images.datasets.dataset import Dataset, read_image_folder
from mlubench.images.datasets.labels import simple_order
from mlubench.images.datasets.source import FolderSource, ImageStat

Pixels = npt.NDArray[np.uint8]
ORDER = simple_order("pets", ["cat", "dog", "eel"])


def picture(height: int = 50, width: int = 70, *, seed: int = 1) -> Pixels:
    """Return a smooth random picture, which fills a JPEG's blocks as a photograph does."""
    noise = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    smooth = cv2.GaussianBlur(noise, (0, 0), 2).astype(float)
    smooth = (smooth - smooth.min()) * 255 / max(np.ptp(smooth), 1)
    return np.asarray(np.rint(smooth), np.uint8)


def jpeg(image: Pixels, *options: int) -> bytes:
    return cv2.imencode(".jpg", image, list(options))[1].tobytes()


def png(image: npt.NDArray[np.integer]) -> bytes:
    return cv2.imencode(".png", image)[1].tobytes()


def png_chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def with_exif(data: bytes, orientation: int) -> bytes:
    """Insert an Exif segment (big-endian TIFF, one entry: tag 0x0112) behind SOI."""
    tiff = b"MM\0*" + struct.pack(">IHHHIHHI", 8, 1, 0x0112, 3, 1, orientation, 0, 0)
    body = b"Exif\0\0" + tiff
    return data[:2] + b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body + data[2:]


def imread(data: bytes, folder: Path) -> Pixels | None:
    """Return what ``cv2.imread`` makes of the bytes as a file."""
    path = folder / "picture.JPEG"
    path.write_bytes(data)
    image = cv2.imread(str(path), cv2.IMREAD_COLOR)
    return None if image is None else image.astype(np.uint8, copy=False)


def write_folder(root: Path, files: dict[str, bytes]) -> Dataset:
    """Write a folder of images with labels 0, 1, 2, 0, ... in order of name, and read it."""
    (root / "images").mkdir(parents=True)
    for name, data in files.items():
        (root / "images" / name).write_bytes(data)
    lines = [f"{name} {number % 3}\n" for number, name in enumerate(sorted(files))]
    (root / "labels.txt").write_text("".join(lines))
    return read_image_folder(root / "images", root / "labels.txt", ORDER, name="pets")


@dataclass(frozen=True)
class CountingSource(FolderSource):
    """A folder that notes which of its images are read."""

    reads: list[str] = field(default_factory=list)

    def read(self, name: str) -> bytes:
        self.reads.append(name)
        return super().read(name)


@dataclass(frozen=True)
class MemorySource:
    """Images in memory: what another form of dataset has to give, and no more."""

    files: dict[str, bytes]

    def names(self) -> list[str]:
        return list(self.files)

    def stats(self, names: Iterable[str]) -> Iterator[ImageStat]:
        return (ImageStat(len(self.files[name]), 0) for name in names)

    def read(self, name: str) -> bytes:
        return self.files[name]
