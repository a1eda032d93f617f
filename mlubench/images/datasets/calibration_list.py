"""Calibration images named in a list, as gen_model's ``file_list`` names them."""

from __future__ import annotations

from pathlib import Path

from mlubench.errors import DatasetError, in_words
from mlubench.images.datasets.dataset import Dataset, ImageRef
from mlubench.images.datasets.forms import read_unlabelled
from mlubench.images.datasets.source import FolderSource


def calibration_images(place: Path, file_list: Path | None, data: Path) -> Dataset:
    """Return images of any form, or those of a folder that a list names, sorted by name.

    Args:
        place: where the images lie; names in the list may have sub-folders of it.
        file_list: a name at the start of each line; a label may follow, as in a label list.
        data: a folder for what must be unpacked to be read (Parquet shards).

    Raises:
        DatasetError: folder or list cannot be read, an image is listed twice or is not there,
            or a line gives a shape, as lists of raw tensors do.
    """
    if file_list is None:
        return read_unlabelled(place, data=data)
    names = sorted(_names(file_list))
    source = FolderSource(place)
    list(source.stats(names))  # raises where one is not there
    return Dataset(place.name, place, tuple(ImageRef(name, "") for name in names), source)


def _names(file_list: Path) -> set[str]:
    try:
        lines = file_list.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(
            f"the list cannot be read: {in_words(error)}",
            where=f"--file_list {file_list}",
            expected="a text file in UTF-8",
        ) from error
    names: set[str] = set()
    for number, line in enumerate(lines, start=1):
        where = f"{file_list}, line {number}"
        if "shape[" in line:
            raise DatasetError(
                "names a raw tensor with its shape",
                where=where,
                expected="the name of an image",
                fix="list images; they are decoded and cropped as the scored ones are",
            )
        if fields := line.split():
            if fields[0] in names:
                raise DatasetError(f"the image {fields[0]} is listed twice", where=where)
            names.add(fields[0])
    if not names:
        raise DatasetError("names no image", where=str(file_list), expected="a name on each line")
    return names
