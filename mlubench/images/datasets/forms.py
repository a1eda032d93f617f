"""The forms of a dataset: how images lie, and what tells their classes.

===============  ==============================================================================
flat folder      images with a label list, or with class ids in their names
class folders    a folder for each class, named by its id (wnid)
tar archive      the official ``ILSVRC2012_img_val.tar`` with a label list, or an archive of
                 either of the above, read without unpacking it
Parquet shards   as in ImageNet's copy on Hugging Face, with labels
===============  ==============================================================================

An image's name is the last part of its path, so that the same images give the same results in
every form.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

from mlubench.errors import ConfigError, DatasetError
from mlubench.images.datasets.dataset import Dataset, ImageRef, label_images
from mlubench.images.datasets.labels import LabelOrder
from mlubench.images.datasets.parquet import shards_of_one_split, unpack_shards
from mlubench.images.datasets.source import (
    FolderSource,
    ImageSource,
    TreeSource,
    base_name,
    is_file,
    is_image,
    unique_names,
)
from mlubench.images.datasets.tar import TarSource
from mlubench.images.datasets.wnids import (
    WNID,
    all_tell,
    classes_by_path,
    in_class_folder,
    plain_name,
)

_OFFICIAL_TAR = "ILSVRC2012_img_val.tar"
_INNER_FOLDER = "val"
_FORMS = (
    "one of: a flat folder of images with a label list; a flat folder of images named by class "
    "id (n01440764_1.JPEG); a folder for each class id (n01440764/1.JPEG); a .tar archive of "
    "one of these; a folder of .parquet shards"
)


class LabelList(NamedTuple):
    """A file of lines ``name label``, and how it numbers the classes."""

    path: Path
    order: LabelOrder


@dataclass(frozen=True)
class Place:
    """Where images lie, and how.

    Args:
        form: what it was taken for.
        path: the folder, or the archive.
        names: what was found in the folder: images, folders of classes, or shards; sorted.
    """

    form: Literal["flat", "class folders", "tar", "parquet"]
    path: Path
    names: tuple[str, ...] = ()


def find_images(path: Path, *, listed: bool) -> Place:
    """Recognise the form of a dataset.

    A folder that holds nothing but one archive, or a folder ``val``, stands for that.

    Args:
        path: a folder, a ``.tar`` archive or a ``.parquet`` file.
        listed: whether there is a label list, which may name files of any kind.

    Raises:
        DatasetError: there is nothing there, nothing that is known, or more than one form.
    """
    if path.is_file():
        if path.suffix == ".parquet":
            return Place("parquet", path.parent, (path.name,))
        return Place("tar", path)
    files, folders = _look_into(path)
    forms = [
        Place("flat", path, tuple(filter(is_image, files))),
        Place("class folders", path, tuple(filter(WNID.fullmatch, folders))),
        Place("parquet", path, tuple(name for name in files if name.endswith(".parquet"))),
    ]
    found = [place for place in forms if place.names]
    if len(found) > 1:
        raise _unknown(path, "holds several forms: " + _counted(found))
    return found[0] if found else _find_within(path, files, folders, listed=listed)


def read_images(
    path: Path,
    labels: LabelList | None,
    *,
    name: str,
    data: Path,
    fix: str = "give the label list with --label_file and --label_file_order",
) -> Dataset:
    """Read labelled images, whatever their form.

    Args:
        path: a folder or an archive.
        labels: their label list; None where their form tells the classes.
        name: how the dataset is called in reports.
        data: a folder for what must be unpacked to be read (Parquet shards).
        fix: what the user can do where nothing tells the classes.

    Raises:
        DatasetError: the form is not recognised, is ambiguous or does not tell the classes, or
            something in it is wrong.
        StoreError: ``data`` cannot be written.
    """
    place = find_images(path, listed=labels is not None)
    if labels is None:
        source, paths = _open(place, data, plain_name)
        classes = classes_by_path(paths, where=str(place.path), fix=fix)
        images = tuple(ImageRef(image, class_id) for image, class_id in sorted(classes.items()))
        return Dataset(name, place.path, _some(images, place.path), source)
    return label_images(_to_be_labelled(place, labels.path), place.path, *labels, name=name)


def read_unlabelled(path: Path, *, data: Path) -> Dataset:
    """Read images of any form without their classes, to calibrate on; every class id is empty.

    Raises:
        DatasetError: the form is not recognised, or something in it is wrong.
        StoreError: ``data`` cannot be written.
    """
    place = find_images(path, listed=False)
    source, paths = _open(place, data, base_name)
    images = tuple(ImageRef(name, "") for name in sorted(paths))
    return Dataset(path.resolve().name, place.path, _some(images, place.path), source)


def read_told(path: Path, *, data: Path) -> Dataset:
    """Read images of any form, with the classes where it tells all of them, or without any.

    Raises:
        DatasetError: the form is not recognised, or something in it is wrong.
        StoreError: ``data`` cannot be written.
    """
    if tells_classes(path, data=data):
        return read_images(path, None, name=path.resolve().name, data=data)
    return read_unlabelled(path, data=data)


def tells_classes(path: Path, *, data: Path) -> bool:
    """Tell whether the form of images tells the class of each, so that they need no label list.

    Raises:
        DatasetError: the form is not recognised, or something in it is wrong.
        StoreError: ``data`` cannot be written.
    """
    place = find_images(path, listed=False)
    return place.form == "parquet" or all_tell(_open(place, data, base_name)[1].values())


def _to_be_labelled(place: Place, label_file: Path) -> ImageSource:
    """Return the images, which must not tell their classes by folders or a column."""
    if place.form == "flat":
        return FolderSource(place.path)
    source = TarSource.open(place.path) if place.form == "tar" else None
    if source is None or in_class_folder(member.path for member in source.members.values()):
        raise DatasetError(
            f"tells the classes of its images itself; so does the list {label_file}",
            where=str(place.path),
            expected="one of the two",
            fix="leave the label list out (--label_file, --label_file_order)",
        )
    return source


def _look_into(folder: Path) -> tuple[list[str], list[str]]:
    """Return the names of a folder's files and of its folders, sorted, without hidden ones.

    What is called an image counts as a file, whatever it is: nothing is passed over in silence.
    """
    try:
        with os.scandir(folder) as entries:
            shown = [entry for entry in entries if not entry.name.startswith(".")]
            files = {entry.name for entry in shown if is_file(entry) or is_image(entry.name)}
            folders = (entry for entry in shown if entry.name not in files)
            return sorted(files), sorted(entry.name for entry in folders if entry.is_dir())
    except OSError as error:
        raise DatasetError(
            f"the images cannot be read: {error.strerror}",
            where=str(folder),
            expected=_FORMS,
            fix="see whether it is there and may be read",
        ) from error


def _find_within(path: Path, files: list[str], folders: list[str], *, listed: bool) -> Place:
    """Recognise a folder that has no images of its own."""
    archives = [name for name in files if name.endswith(".tar")]
    if _OFFICIAL_TAR in archives:
        archives = [_OFFICIAL_TAR]
    inner = archives + [name for name in folders if name == _INNER_FOLDER]
    if len(inner) > 1:
        raise _unknown(path, f"holds {' and '.join(inner)}")
    if inner:
        return find_images(path / inner[0], listed=listed)
    if listed and files:
        return Place("flat", path, tuple(files))
    raise _unknown(path, "holds no images in a form that is known")


def _open(
    place: Place, data: Path, name_of: Callable[[str], str]
) -> tuple[ImageSource, Mapping[str, str]]:
    """Return the images, and their paths by their names."""
    if place.form in ("flat", "class folders"):
        paths = place.names if place.form == "flat" else _in_folders(place.path, place.names)
        named = unique_names(((name_of(path), path) for path in paths), where=str(place.path))
        return TreeSource(place.path, named), named
    archive = place.path
    if place.form == "parquet":
        shards = shards_of_one_split([place.path / shard for shard in place.names])
        archive = unpack_shards(shards, data)
    source = TarSource.open(archive, name_of)
    return source, {name: member.path for name, member in source.members.items()}


def _in_folders(root: Path, folders: Sequence[str]) -> list[str]:
    return [
        f"{folder}/{name}"
        for folder in folders
        for name in _look_into(root / folder)[0]
        if is_image(name)
    ]


def _some(images: tuple[ImageRef, ...], root: Path) -> tuple[ImageRef, ...]:
    if not images:
        raise _unknown(root, "there is no image in it")
    return images


def _counted(places: Sequence[Place]) -> str:
    named = {"flat": "images", "class folders": "folders of classes", "parquet": "Parquet shards"}
    return " and ".join(f"{len(place.names)} {named[place.form]}" for place in places)


def _unknown(path: Path, what: str) -> DatasetError:
    return DatasetError(
        what,
        where=str(path),
        expected=_FORMS,
        fix="name the folder or archive of the images alone",
    )


def lone_option(given: str, lacking: str, image_dir: Path, data: Path) -> ConfigError:
    """Return the error for one of label list and order without the other.

    Where the images tell their classes it is one too many, elsewhere one too few.

    Raises:
        DatasetError: the images cannot be read.
    """
    if tells_classes(image_dir, data=data):
        return ConfigError(
            f"{image_dir} tells the classes of its images itself",
            where=f"--{given}",
            expected="no label list and no order of one: none is needed",
            fix=f"leave --{given} out",
        )
    return ConfigError(
        f"--{given} is given without --{lacking}",
        where=f"--{lacking}",
        expected=f"--{given} and --{lacking}",
        fix=f"give both, or leave --{given} out where folders or names tell the classes",
    )
