"""Label orders, and the lists that say which label an image has.

ImageNet's thousand classes are numbered in two ways: by sorted synset ("2012": tench = 0) and
by the list of ILSVRC 2015 ("2015": tench = 448). The two agree on no class. Labels are
therefore kept as class ids (for ImageNet the synset, such as ``n01440764``), and a number is
read or printed only together with its :class:`LabelOrder`.
"""

from __future__ import annotations

import csv
import functools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from mlubench.conf import CONF
from mlubench.errors import ConfigError, DatasetError, in_words
from mlubench.images.datasets.digits import DIGIT_NAMES

ImagenetOrder = Literal["2012", "2015"]

_LABEL = re.compile(r"[0-9]{1,9}")
_LINE_FORM = "an image's name and its label, an integer from 0 on: `name label`"


@dataclass(frozen=True)
class LabelOrder:
    """A numbering of classes: the index in both tuples is the label.

    Args:
        name: how the order is called in options and reports.
        class_ids: what identifies each class whatever the order.
        names: human-readable names of the same classes.

    Raises:
        ConfigError: no class, a class that occurs twice, or not one name for each class.
    """

    name: str
    class_ids: tuple[str, ...]
    names: tuple[str, ...]

    def __post_init__(self) -> None:
        if not self.class_ids or len(self.class_ids) != len(self.names):
            raise ConfigError(
                f"{len(self.class_ids)} class ids and {len(self.names)} names",
                where=f"label order {self.name}",
                expected="at least one class, and one name for each",
            )
        if len(self._labels) != len(self.class_ids):
            raise ConfigError("a class id occurs twice", where=f"label order {self.name}")

    @functools.cached_property
    def _labels(self) -> Mapping[str, int]:
        return {class_id: label for label, class_id in enumerate(self.class_ids)}

    def __contains__(self, class_id: str) -> bool:
        """Whether the order has such a class."""
        return class_id in self._labels

    def index_of(self, class_id: str) -> int:
        """Return the label of a class.

        Raises:
            DatasetError: the order has no such class.
        """
        if class_id not in self:
            raise DatasetError(
                f"there is no class {class_id!r} in it",
                where=f"label order {self.name}",
                expected=f"one of its {len(self.class_ids)} classes",
                fix="use a network and a dataset with the same classes",
            )
        return self._labels[class_id]


def imagenet_order(name: ImagenetOrder) -> LabelOrder:
    """Return one of ImageNet's two label orders, read from ``conf/imagenet_classes.csv``.

    Raises:
        ConfigError: ``name`` is neither order, or the table is absent or damaged.
    """
    path = CONF / "imagenet_classes.csv"
    if name not in ("2012", "2015"):
        raise ConfigError(
            f"{name!r} is no order of ImageNet", where="label order", expected="2012|2015"
        )
    try:
        with path.open(encoding="utf-8", newline="") as stream:
            rows = {int(row[f"index_{name}"]): row for row in csv.DictReader(stream)}
        ordered = [rows[label] for label in range(1000)]
        return LabelOrder(
            name,
            class_ids=tuple(row["wnid"] for row in ordered),
            names=tuple(row["name"] for row in ordered),
        )
    except (OSError, ValueError, KeyError) as error:
        raise ConfigError(
            f"it cannot be read: {in_words(error)}",
            where=str(path),
            expected="wnid,index_2012,index_2015,name for each of the 1000 classes",
            fix="restore the file from the repository",
        ) from error


def simple_order(name: str, class_names: Sequence[str]) -> LabelOrder:
    """Return the order of a network outside ImageNet: its class names are its class ids."""
    return LabelOrder(name, class_ids=tuple(class_names), names=tuple(class_names))


def read_label_list(path: Path) -> tuple[tuple[str, int], ...]:
    """Read a label list: lines ``name label``, in the file's order.

    Any white space separates the two; spaces around them and blank lines do not matter. A
    name that is listed more than once, always with the same label, is returned as often.

    Args:
        path: a UTF-8 text file.

    Raises:
        DatasetError: the file cannot be read, a line has another form, or an image has two
            labels.
    """
    labels: list[tuple[str, int]] = []
    first: dict[str, tuple[int, int]] = {}
    try:
        with path.open(encoding="utf-8-sig") as stream:
            for number, line in enumerate(stream, start=1):
                if fields := line.split():
                    name, label = _parse_line(fields, where=f"{path}, line {number}")
                    before, at = first.setdefault(name, (label, number))
                    if before != label:
                        raise DatasetError(
                            f"the image {name} has the label {label} here and {before} in line "
                            f"{at}",
                            where=f"{path}, line {number}",
                            expected="one label for each image",
                            fix="remove one of the two lines",
                        )
                    labels.append((name, label))
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(
            f"the label list cannot be read: {in_words(error)}",
            where=str(path),
            expected="a text file in UTF-8",
            fix="name the label list with --label_file",
        ) from error
    return tuple(labels)


def _parse_line(fields: Sequence[str], *, where: str) -> tuple[str, int]:
    if len(fields) != 2:
        raise DatasetError(
            f"{len(fields)} fields: {' '.join(fields)[:80]!r}", where=where, expected=_LINE_FORM
        )
    name, label = fields
    if not _LABEL.fullmatch(label):
        raise DatasetError(f"the label is {label[:40]!r}", where=where, expected=_LINE_FORM)
    return name, int(label)


def label_order(name: str) -> LabelOrder:
    """Return the label order of that name: ``2012``, ``2015`` or ``digits``."""
    if name == "digits":
        return simple_order(name, DIGIT_NAMES)
    return imagenet_order(name)  # type: ignore[arg-type]  # the parameters allow no other
