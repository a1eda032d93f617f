"""Preprocessing against a literal re-statement, and against the reference accuracy."""

from __future__ import annotations

import csv
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlubench.errors import ConfigError, DatasetError
from mlubench.images.datasets.damage import DamagedImage
from mlubench.images.datasets.labels import imagenet_order
from mlubench.images.decoding.image_file import decode
from mlubench.images.decoding.preprocess import Preprocess, preprocess
from tests.images.pictures import Pixels, picture
from tests.support.long import long


def _short_side_then_centre(image: Pixels, size: int, crop: int) -> Pixels:
    """State the seed's steps one by one, in exact arithmetic."""
    height, width = image.shape[:2]
    long_side = round(Fraction(max(height, width) * size, min(height, width)))
    sides = (size, long_side) if width < height else (long_side, size)
    resized = cv2.resize(image, sides, interpolation=cv2.INTER_LINEAR)
    y = (resized.shape[0] - crop) // 2
    x = (resized.shape[1] - crop) // 2
    return np.asarray(resized[y : y + crop, x : x + crop], np.uint8)


@given(st.integers(1, 90), st.integers(1, 90), st.integers(8, 40), st.integers(1, 8))
def test_short(height: int, width: int, size: int, crop: int) -> None:
    image = picture(height, width)
    ours = preprocess(image, Preprocess("short", size, crop))
    np.testing.assert_array_equal(ours, _short_side_then_centre(image, size, crop))


def test_exact_distorts() -> None:
    image = picture(40, 90)
    expected = cv2.resize(image, (33, 33), interpolation=cv2.INTER_LINEAR)[3:30, 3:30]
    np.testing.assert_array_equal(preprocess(image, Preprocess("exact", 33, 27)), expected)


def test_none_crops_alone() -> None:
    image = picture(51, 70)
    ours = preprocess(image, Preprocess("none", 0, (20, 31)))
    np.testing.assert_array_equal(ours, image[15:35, 19:50])
    same = preprocess(image, Preprocess("none", 0, (51, 70)))
    np.testing.assert_array_equal(same, image)


def test_crop_larger_than_the_picture() -> None:
    with pytest.raises(DatasetError, match="20 x 30") as caught:
        preprocess(picture(20, 30), Preprocess("none", 0, 24), name="n01_tench.JPEG")
    assert caught.value.where == "n01_tench.JPEG"


def test_needle_does_not_fill_the_memory() -> None:
    with pytest.raises(DamagedImage, match="too large"):
        preprocess(np.zeros((1, 65_535, 3), np.uint8), Preprocess("short", 256, 227))


@pytest.mark.parametrize(
    ("resize", "size", "crop"),
    [("short", 226, 227), ("exact", 30, (20, 31)), ("none", 0, 0), ("long", 256, 227)],
)
def test_impossible_spec(resize: str, size: int, crop: int | tuple[int, int]) -> None:
    with pytest.raises(ConfigError):
        Preprocess(resize, size, crop)  # type: ignore[arg-type]  # the point of the test


@long
def test_reference_accuracy(shared_data: Path) -> None:
    """SqueezeNet v1.1 in OpenCV's own importer gets the published counts of 1000 images."""
    net = cv2.dnn.readNetFromCaffe(
        str(shared_data / "squeezenet_v1.1.prototxt"),
        str(shared_data / "squeezenet_v1.1.caffemodel"),
    )
    specs = [Preprocess("short", 256, 227), Preprocess("exact", 256, 227)]
    order = imagenet_order("2012")
    hits = np.zeros((2, 2), int)
    with (shared_data / "images.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    for row in rows:
        image = decode((shared_data / "images" / row["file"]).read_bytes())
        label = order.index_of(row["wnid"])
        for spec, counts in zip(specs, hits, strict=True):
            net.setInput(cv2.dnn.blobFromImage(preprocess(image, spec), 1, mean=(104, 117, 123)))
            best = np.argsort(-net.forward().ravel(), kind="stable")[:5]
            counts += (best[0] == label, label in best)
    assert hits.tolist() == [[628, 843], [679, 874]]
