"""The embedded sample's images: scikit-learn's handwritten digits as labelled JPEGs.

The pictures are the test part of the UCI "Optical Recognition of Handwritten Digits" data
set, 1797 images of 8 x 8 pixels in 17 grey levels, which scikit-learn carries. They are
enlarged and stored in the form in which ImageNet comes, a folder of JPEGs and a label list,
so that the sample takes the same way as real images.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from mlubench.errors import StoreError
from mlubench.store import atomic_folder, locked

#: Names of the ten classes; a digit's label is its value.
DIGIT_NAMES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")

_SIDE = 64
_QUALITY = 95
_TRAIN_IMAGES = 1197
_BRIGHTEST = 16


@dataclass(frozen=True)
class DigitsPaths:
    """Where the digits lie: two folders of JPEGs, each with its label list (``name label``)."""

    train: Path
    train_labels: Path
    val: Path
    val_labels: Path


@dataclass(frozen=True)
class _Digit:
    name: str
    label: int
    pixels: npt.NDArray[np.uint8]


def write_digits(root: Path) -> DigitsPaths:
    """Write the digits below ``root``, unless they are there already.

    The first 1197 of the 1797 images are the training part, the last 600 the held-out part.
    Each is a 64 x 64 colour JPEG with three equal channels. The bytes depend only on the
    versions of OpenCV and scikit-learn.

    Args:
        root: a folder of the digits' own; made where it is absent.

    Returns:
        The paths of the two parts, all below ``root``.

    Raises:
        StoreError: ``root`` cannot be written, or holds something other than the digits.
    """
    parts = _read_parts()
    with locked(root.with_name(f"{root.name}.lock")):
        if not _is_complete(root, parts):
            _check_replaceable(root)
            with atomic_folder(root) as folder:
                for part, digits in parts.items():
                    _write_part(folder, part, digits)
    return DigitsPaths(root / "train", root / "train.txt", root / "val", root / "val.txt")


def _read_parts() -> dict[str, list[_Digit]]:
    digits = list(_read_digits())
    return {"train": digits[:_TRAIN_IMAGES], "val": digits[_TRAIN_IMAGES:]}


def _read_digits() -> Iterator[_Digit]:
    # Half a second and 50 MB, which no other images need.
    from sklearn.datasets import load_digits

    data = load_digits()
    grey = np.rint(data.images * (255 / _BRIGHTEST)).astype(np.uint8)
    for number, (pixels, label) in enumerate(zip(grey, data.target, strict=True), start=1):
        yield _Digit(f"digit_{number:05d}.JPEG", int(label), pixels)


def _label_list(digits: list[_Digit]) -> str:
    return "".join(f"{digit.name} {digit.label}\n" for digit in digits)


def _is_complete(root: Path, parts: dict[str, list[_Digit]]) -> bool:
    """Tell whether every list and image is there; they were written whole, so no more is asked."""
    return all(
        (root / f"{part}.txt").is_file()
        and (root / f"{part}.txt").read_text(encoding="utf-8") == _label_list(digits)
        and all((root / part / digit.name).is_file() for digit in digits)
        for part, digits in parts.items()
    )


def _check_replaceable(root: Path) -> None:
    """Refuse to replace a folder of anything that is not the digits."""
    own = {"train", "train.txt", "val", "val.txt"}
    strangers = {path.name for path in root.iterdir()} - own if root.is_dir() else set()
    if root.is_file() or strangers:
        raise StoreError(
            "the digits cannot be written over other files",
            where=str(root),
            expected="a folder that is absent, empty or holds the digits alone",
            fix="name another folder",
        )


def _write_part(folder: Path, part: str, digits: list[_Digit]) -> None:
    images = folder / part
    images.mkdir()
    for digit in digits:
        (images / digit.name).write_bytes(_encode(digit.pixels))
    (folder / f"{part}.txt").write_text(_label_list(digits), encoding="utf-8")


def _encode(grey: npt.NDArray[np.uint8]) -> bytes:
    """Return the 8 x 8 picture as a 64 x 64 BGR JPEG."""
    large = cv2.resize(grey, (_SIDE, _SIDE), interpolation=cv2.INTER_CUBIC)
    picture = cv2.cvtColor(large, cv2.COLOR_GRAY2BGR)
    _, encoded = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
    return encoded.tobytes()
