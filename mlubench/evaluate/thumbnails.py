"""Thumbnails of the images that flipped, in the run folder for the page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import simplejpeg

from mlubench.evaluate.flips import FlipPart, pictured
from mlubench.images.decoding.cache import DecodedImages
from mlubench.runs.parquet import read_parquet, write_parquet
from mlubench.runs.schemas import THUMBNAILS

_FILE = "thumbnails.parquet"

#: The longer side is made so many pixels, unless it has fewer; shown at about that size.
SIDE = 112

_QUALITY = 80


def write_thumbnails(folder: Path, flips: Sequence[FlipPart], scored: DecodedImages) -> None:
    """Write thumbnails.parquet: a small JPEG of each flipped image that a page may picture.

    Args:
        folder: of the run or the explanation.
        flips: by precision and direction, as :mod:`mlubench.evaluate.flips` returns them.
        scored: the decoded images, these among them.

    Raises:
        StoreError: it cannot be written.
    """
    names = sorted({flip.image for flip in pictured(flips)})
    places = {record.name: place for place, record in enumerate(scored.records)}
    pixels = scored.pixels()
    jpegs = [thumbnail(pixels[places[name]]) for name in names]
    table = pa.Table.from_pydict({"image": names, "jpeg": jpegs}, schema=THUMBNAILS)
    write_parquet(folder / _FILE, table)


def read_thumbnails(folder: Path) -> Mapping[str, bytes]:
    """Return the JPEG of each pictured image by name; none where none were kept.

    Raises:
        StoreError: the file is damaged.
    """
    path = folder / _FILE
    if not path.is_file():
        return {}
    table = read_parquet(path, THUMBNAILS)
    return dict(zip(table["image"].to_pylist(), table["jpeg"].to_pylist(), strict=True))


def thumbnail(pixels: npt.NDArray[np.uint8]) -> bytes:
    """Return a small JPEG of a network's input: the crop that it saw, not the whole file.

    The same pixels give the same bytes.

    Args:
        pixels: uint8 [height, width, 3], BGR.
    """
    height, width = pixels.shape[:2]
    scale = SIDE / max(height, width)
    small = np.ascontiguousarray(pixels)
    if scale < 1:
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        small = cv2.resize(small, size, interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)
    data: bytes = simplejpeg.encode_jpeg(
        small, quality=_QUALITY, colorspace="BGR", colorsubsampling="420"
    )
    return data
