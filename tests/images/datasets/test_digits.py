"""The sample's images: complete, labelled, repeatable to the byte."""

from __future__ import annotations

import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from mlubench.errors import StoreError
from mlubench.images.datasets.digits import DigitsPaths, write_digits


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> DigitsPaths:
    return write_digits(tmp_path_factory.mktemp("data") / "digits")


def _contents(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_parts_and_lists_agree(digits: DigitsPaths) -> None:
    from sklearn.datasets import load_digits

    listed: dict[str, str] = {}
    for images, labels, count in (
        (digits.train, digits.train_labels, 1197),
        (digits.val, digits.val_labels, 600),
    ):
        lines = [(line[:16], line[17:]) for line in labels.read_text().splitlines()]
        assert len(lines) == count
        assert sorted(name for name, _ in lines) == sorted(path.name for path in images.iterdir())
        listed.update(lines)
    truth = [str(label) for label in load_digits().target]
    assert [listed[name] for name in sorted(listed)] == truth


def test_picture_is_the_enlarged_digit(digits: DigitsPaths) -> None:
    from sklearn.datasets import load_digits

    image = cv2.imread(str(digits.train / "digit_00001.JPEG"), cv2.IMREAD_COLOR)
    assert image is not None
    assert image.shape == (64, 64, 3)
    small = cv2.resize(image, (8, 8), interpolation=cv2.INTER_AREA)[:, :, 0]
    original = load_digits().images[0]
    assert np.corrcoef(small.ravel(), original.ravel())[0, 1] > 0.97


def test_second_call_writes_nothing(digits: DigitsPaths) -> None:
    root = digits.train.parent
    before = {path: path.stat().st_mtime_ns for path in root.rglob("*")}
    assert write_digits(root) == digits
    assert {path: path.stat().st_mtime_ns for path in root.rglob("*")} == before


def test_lost_image_is_written_again_to_the_byte(digits: DigitsPaths, tmp_path: Path) -> None:
    root = digits.train.parent
    shutil.copytree(root, tmp_path / "digits")
    (tmp_path / "digits" / "val" / "digit_01797.JPEG").unlink()
    write_digits(tmp_path / "digits")
    assert _contents(tmp_path / "digits") == _contents(root)


def test_other_files_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "digits").mkdir()
    (tmp_path / "digits" / "thesis.txt").write_text("years of work")
    with pytest.raises(StoreError, match="other files"):
        write_digits(tmp_path / "digits")
    assert (tmp_path / "digits" / "thesis.txt").read_text() == "years of work"
