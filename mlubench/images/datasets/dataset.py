"""Labelled images as data: what is listed, what is there, and how it is cut.

A dataset's images are ordered by name, whatever the order of the label list or of the file
system, so ``image_index`` means the same image in every run.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mlubench.errors import ConfigError, DatasetError
from mlubench.images.datasets.labels import LabelOrder, read_label_list
from mlubench.images.datasets.source import (
    FolderSource,
    ImageSource,
    ImageStat,
    is_image,
    printable,
)

#: How many names a remark has; the datasets themselves have all.
_NAMED = 5


@dataclass(frozen=True, slots=True)
class ImageRef:
    """One labelled image: its name in the source, and its class whatever the label order."""

    name: str
    class_id: str


@dataclass(frozen=True)
class Dataset:
    """Labelled images in dataset order: sorted by name; image_index is the position.

    Args:
        name: how the dataset is called in reports.
        root: where it lies; for messages.
        images: the images that are listed and there, sorted by name.
        source: gives the bytes.
        missing: names that are listed but not there, sorted.
        unlisted: images that are there but not listed, sorted.
        duplicates: names that are listed more than once, with the same label each time, sorted
            and as often as they are superfluous. This is a fault of the list. Pictures that are
            there twice, under two names, are known when the images are decoded: they are records
            of one SHA-256. The ``duplicate`` of run.json is the sum of the two.
    """

    name: str
    root: Path
    images: tuple[ImageRef, ...]
    source: ImageSource
    missing: tuple[str, ...] = ()
    unlisted: tuple[str, ...] = ()
    duplicates: tuple[str, ...] = ()

    def read(self, index: int) -> bytes:
        """Return the encoded bytes of an image.

        Raises:
            DatasetError: the image cannot be read.
            DamagedImage: nor could it ever; the others can.
        """
        return self.source.read(self.images[index].name)

    def first(self, count: int) -> Dataset:
        """Return the dataset cut to its first ``count`` images (``--image_num``).

        Of the missing and duplicate names those before the cut are kept. A dataset with no
        more than ``count`` images is returned whole.

        Raises:
            ConfigError: ``count`` is less than 1.
        """
        if count < 1:
            raise ConfigError(f"{count} images", where="--image_num", expected="1 or more")
        if count >= len(self.images):
            return self
        images = self.images[:count]
        last = images[-1].name
        missing = tuple(name for name in self.missing if name < last)
        duplicates = tuple(name for name in self.duplicates if name <= last)
        return replace(self, images=images, missing=missing, duplicates=duplicates)

    def remarks(self) -> list[str]:
        """Return what a reader must know of the list and of what is there, a sentence each."""
        said = (
            (self.missing, "image of the list is not there", "images of the list are not there"),
            (self.unlisted, "image is not in the list", "images are not in the list"),
            (
                self.duplicates,
                "line of the list repeats another",
                "lines of the list repeat others",
            ),
        )
        return [_remark(names, *what) for names, *what in said if names]


def read_image_folder(
    image_dir: Path, label_file: Path, order: LabelOrder, *, name: str
) -> Dataset:
    """Read a flat folder of images and its label list.

    Args:
        image_dir: the folder; sub-folders and hidden files in it are not looked at.
        label_file: lines ``name label``.
        order: the numbering of the list's labels.
        name: how the dataset is called in reports.

    Raises:
        DatasetError: the folder or the list cannot be read, a label is outside the order, or
            no listed image is in the folder.
    """
    return label_images(FolderSource(image_dir), image_dir, label_file, order, name=name)


def label_images(
    source: ImageSource, root: Path, label_file: Path, order: LabelOrder, *, name: str
) -> Dataset:
    """Give images of any source the classes of a label list.

    Raises:
        DatasetError: as :func:`read_image_folder`.
    """
    present = frozenset(source.names())
    labels = read_label_list(label_file)
    if not labels:
        raise DatasetError(
            "the label list names no image",
            where=str(label_file),
            expected="lines `name label`",
            fix="see whether it is the right file and was copied whole",
        )
    listed = _class_ids(labels, order, label_file)
    images = tuple(
        ImageRef(image, class_id) for image, class_id in sorted(listed.items()) if image in present
    )
    if not images:
        raise DatasetError(
            f"none of the {len(listed)} listed images is there",
            where=str(root),
            expected=f"the images that {label_file} names",
            fix="see whether --image_dir and --label_file belong together",
        )
    return Dataset(
        name=name,
        root=root,
        images=images,
        source=source,
        missing=tuple(sorted(listed.keys() - present)),
        unlisted=_printable(image for image in present - listed.keys() if is_image(image)),
        duplicates=_superfluous([image for image, _ in labels]),
    )


def calibration_split(dataset: Dataset, count: int, *, seed: int = 0) -> tuple[Dataset, Dataset]:
    """Hold out ``count`` images for calibration; return them and the rest, to be scored.

    The choice is spread over the classes (no class gives two images before every class has
    given one) and hangs on the names, classes and ``seed`` alone: images are ranked by the
    SHA-256 of seed and name.

    Raises:
        ConfigError: ``count`` does not leave at least one image on each side.
    """
    if not 0 < count < len(dataset.images):
        raise ConfigError(
            f"{count} of the {len(dataset.images)} images of {dataset.name} for calibration",
            where="calibration images",
            expected="at least one, and fewer than there are images",
        )
    chosen = frozenset(_rank_over_classes(dataset.images, seed)[:count])
    calibration = replace(
        dataset,
        name=f"{dataset.name}-calibration",
        images=tuple(image for image in dataset.images if image in chosen),
        missing=(),
        unlisted=(),
        duplicates=(),
    )
    scored = tuple(image for image in dataset.images if image not in chosen)
    return calibration, replace(dataset, images=scored)


def with_facts(dataset: Dataset) -> Iterator[tuple[ImageRef, ImageStat]]:
    """Give each image with its size and time of change.

    Raises:
        DatasetError: those of one cannot be read.
    """
    facts = dataset.source.stats(image.name for image in dataset.images)
    return zip(dataset.images, facts, strict=True)


def listing_digest(dataset: Dataset) -> str:
    """Return the SHA-256 over names, class ids, sizes and times of change of the images.

    It is quick, as no image is read, and so it can only say that nothing seems to have
    changed. The digest of the content is that of the decoded images.

    Every file of a folder is asked for its facts, as one that is written over in place changes
    no fact of the folder; it takes two microseconds each. An archive is asked once.
    """
    lines = [
        f"{image.name}\0{image.class_id}\0{size}\0{mtime_ns}\n"
        for image, (size, mtime_ns) in with_facts(dataset)
    ]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def outline_digest(dataset: Dataset) -> str:
    """Return the SHA-256 over names, class ids and sizes of the images.

    It is the same on every host that has a copy of them, whenever that was made. Images of one
    outline may differ all the same.
    """
    lines = [
        f"{image.name}\0{image.class_id}\0{size}\n" for image, (size, _) in with_facts(dataset)
    ]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _class_ids(
    labels: Sequence[tuple[str, int]], order: LabelOrder, label_file: Path
) -> dict[str, str]:
    classes = len(order.class_ids)
    for image, label in labels:
        if label >= classes:
            raise DatasetError(
                f"the label of {image} is {label}",
                where=str(label_file),
                expected=f"0 to {classes - 1}, the labels of the order {order.name}",
                fix="name the order of the list with --label_file_order",
            )
    return {image: order.class_ids[label] for image, label in labels}


def _superfluous(names: Sequence[str]) -> tuple[str, ...]:
    """Return what is there more than once, as often as it is one too many."""
    if len(set(names)) == len(names):
        return ()
    return tuple(sorted((Counter(names) - Counter(set(names))).elements()))


def _remark(names: Sequence[str], one: str, several: str) -> str:
    named = ", ".join(map(printable, names[:_NAMED]))
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return f"{len(names)} {one if len(names) == 1 else several}: {named}{more}"


def _printable(names: Iterable[str]) -> tuple[str, ...]:
    """Sort, and escape what no report can hold: bytes that are not UTF-8, line ends."""
    return tuple(sorted(map(printable, names)))


def _rank_over_classes(images: Sequence[ImageRef], seed: int) -> list[ImageRef]:
    """Order images by their rank in their own class, then by their hash."""
    hashed = sorted(images, key=lambda image: _hash(seed, image.name))
    seen: Counter[str] = Counter()
    rank: dict[ImageRef, int] = {}
    for image in hashed:
        rank[image] = seen[image.class_id]
        seen[image.class_id] += 1
    return sorted(hashed, key=rank.__getitem__)


def _hash(seed: int, name: str) -> bytes:
    return hashlib.sha256(f"{seed} {name}".encode()).digest()


def true_labels(dataset: Dataset, order: LabelOrder) -> npt.NDArray[np.int16]:
    """Return the images' true classes as a network numbers them: int16 [images].

    Raises:
        DatasetError: an image's class is not one of the network's.
    """
    for image in dataset.images:
        if image.class_id not in order:
            raise DatasetError(
                f"its class {image.class_id} is not one of the network's",
                where=image.name,
                expected=f"a class of the label order {order.name}",
                fix="name the network's order with --label_order, the images' with "
                "--label_file_order",
            )
    return np.array([order.index_of(image.class_id) for image in dataset.images], np.int16)
