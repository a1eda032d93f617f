"""Which images are scored, and which calibrate."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mlubench import catalogue
from mlubench.catalogue import DatasetEntry, expanded
from mlubench.errors import ConfigError, DatasetError
from mlubench.evaluate.options import EvaluateParameters
from mlubench.images.datasets.calibration_list import calibration_images
from mlubench.images.datasets.dataset import (
    Dataset,
    calibration_split,
    read_image_folder,
    true_labels,
)
from mlubench.images.datasets.digits import write_digits
from mlubench.images.datasets.forms import (
    LabelList,
    find_images,
    lone_option,
    read_images,
    read_unlabelled,
    tells_classes,
)
from mlubench.images.datasets.labels import LabelOrder, label_order
from mlubench.images.decoding.cache import check_disjoint
from mlubench.networks.choose import SAMPLE

_SAMPLE_IMAGES = "digits"
#: Label lists that are looked for beside images, and their order; None is that of the entry.
_LABEL_LISTS = (("ILSVRC2012_val.txt", "2012"), ("ILSVRC2015_val.txt", "2015"), ("val.txt", None))


@dataclass(frozen=True)
class ChosenImages:
    """The images of an evaluation.

    Attributes:
        scored: those that the network is judged on, in dataset order.
        labels: their true classes in the network's own order: int16 [images].
        calibration: those that quantisation sees, none of them scored; None where no
            precision is calibrated.
    """

    scored: Dataset
    labels: npt.NDArray[np.int16]
    calibration: Dataset | None

    def remarks(self) -> list[str]:
        """Return what a reader must know of the scored images and their label list."""
        return self.scored.remarks()


def choose_images(asked: EvaluateParameters, order: LabelOrder, data: Path) -> ChosenImages:
    """Return the images that the options name.

    Args:
        asked: the options.
        order: the network's label order.
        data: folder for images that are written when first used.

    Raises:
        ConfigError: the dataset is not in the catalogue, or none was named.
        DatasetError: a folder or list is wrong, an image's class is not one of the network's,
            or a calibration image is scored too.
    """
    if asked.image_dir is not None:
        labels = None
        if asked.label_file is not None and asked.label_file_order is not None:
            labels = LabelList(asked.label_file, label_order(asked.label_file_order))
        elif asked.label_file is not None:
            raise lone_option("label_file", "label_file_order", asked.image_dir, data)
        elif asked.label_file_order is not None:
            raise lone_option("label_file_order", "label_file", asked.image_dir, data)
        name = asked.image_dir.resolve().name
        scored = read_images(asked.image_dir, labels, name=name, data=data)
        calibrating = None
    else:
        scored, calibrating = _from_catalogue(asked, data)
    if asked.calibration_dir is not None:
        calibrating = calibration_images(asked.calibration_dir, asked.file_list, data)
    calibration = None
    if asked.calibrated:
        scored, calibration = _with_calibration(scored, calibrating, asked)
    scored = _first(scored, asked.image_num)
    if calibration is not None:
        check_disjoint(calibration, scored)
    return ChosenImages(scored, true_labels(scored, order), calibration)


def _from_catalogue(asked: EvaluateParameters, data: Path) -> tuple[Dataset, Dataset | None]:
    """Return the named dataset and the images it brings along to calibrate on."""
    name = asked.dataset
    if name is None and asked.model in (None, SAMPLE) and not (asked.prototxt or asked.onnx):
        name = _SAMPLE_IMAGES
    if name is None:
        raise ConfigError(
            "no images are named",
            where="--dataset",
            expected="a name of the catalogue, or --image_dir with --label_file and "
            "--label_file_order",
            fix="name the images that this network is to be scored on",
        )
    entry = catalogue.entry_named(catalogue.datasets(asked.conf), name, "--dataset")
    if entry.path is not None:
        return _images_of(entry, entry.path, name, data)
    order = label_order(entry.label_order)
    digits = write_digits(data / name)
    return (
        read_image_folder(digits.val, digits.val_labels, order, name=name),
        read_image_folder(digits.train, digits.train_labels, order, name=f"{name}-train"),
    )


def _images_of(
    entry: DatasetEntry, path: str, name: str, data: Path
) -> tuple[Dataset, Dataset | None]:
    """Return the images of a catalogue's entry, which lie at ``path``."""
    where = f"dataset {name}"
    root = expanded(path, where=f"{where}: path")
    scored = read_images(
        root,
        _label_list(entry, root, data, where),
        name=name,
        data=data,
        fix=f"put {' or '.join(file for file, _ in _LABEL_LISTS)} beside them (lines `name label`; "
        "the MagicMind samples and Caffe's ilsvrc12 data have such lists), or name one as "
        "label_file in the catalogue's entry",
    )
    if entry.calibration is None:
        return scored, None
    calibration = expanded(entry.calibration, where=f"{where}: calibration")
    return scored, read_unlabelled(calibration, data=data)


def _label_list(entry: DatasetEntry, root: Path, data: Path, where: str) -> LabelList | None:
    """Return the entry's label list, or one beside the images where they need one."""
    order = label_order(entry.label_order)
    if entry.label_file is not None:
        return LabelList(expanded(entry.label_file, where=f"{where}: label_file"), order)
    if tells_classes(root, data=data):
        return None
    place = find_images(root, listed=False)
    folders = dict.fromkeys((place.path, place.path.parent, root, root.parent))
    for folder in folders:
        for file, named in _LABEL_LISTS:
            if (folder / file).is_file():
                return LabelList(folder / file, label_order(named) if named else order)
    return None


def _with_calibration(
    scored: Dataset, calibrating: Dataset | None, asked: EvaluateParameters
) -> tuple[Dataset, Dataset]:
    """Return what is scored and what calibrates: a folder of its own, or a part held out."""
    count = asked.calibration_num
    if calibrating is not None:
        if count < len(calibrating.images):
            calibrating, _ = calibration_split(calibrating, count)
        return scored, calibrating
    if count * 2 > len(scored.images):
        raise DatasetError(
            f"has {len(scored.images)} images; holding {count} out to calibrate leaves too few",
            where=str(scored.root),
            expected=f"at least {2 * count} images, or images of their own to calibrate on",
            fix="name a folder with --calibration_dir, or a smaller --calibration_num",
        )
    calibrating, rest = calibration_split(scored, count)
    return rest, calibrating


def _first(dataset: Dataset, count: int | None) -> Dataset:
    return dataset if count is None else dataset.first(count)
