"""Pictures of the images that flipped, kept beside the answers for the page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pyarrow as pa

from mlubench.evaluate.flips import FlipPart, pictured
from mlubench.evaluate.thumbnail import thumbnail
from mlubench.images.decoding.cache import DecodedImages
from mlubench.runs.parquet import read_parquet, write_parquet
from mlubench.runs.schemas import THUMBNAILS

_FILE = "thumbnails.parquet"


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
