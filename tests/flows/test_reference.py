"""The evaluate flow on real networks and images, against figures from OpenCV's own importer."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest

from mlubench.networks.caffe import write_random_caffemodel
from tests.flows.conftest import Evaluate
from tests.support.long import long


@pytest.fixture
def images(shared_data: Path, tmp_path: Path) -> dict[str, Any]:
    """The 1000 real images with a label list of the 2012 order."""
    with (shared_data / "images.csv").open(newline="") as stream:
        lines = [f"{row['file']} {row['index_2012']}\n" for row in csv.DictReader(stream)]
    (tmp_path / "labels.txt").write_text("".join(lines))
    return {
        "image_dir": shared_data / "images",
        "label_file": tmp_path / "labels.txt",
        "label_file_order": "2012",
    }


@pytest.fixture
def squeezenet(shared_data: Path) -> dict[str, Any]:
    return {
        "prototxt": shared_data / "squeezenet_v1.1.prototxt",
        "caffemodel": shared_data / "squeezenet_v1.1.caffemodel",
        "input_size": 227,
        "means": (104, 117, 123),
        "label_order": "2012",
    }


@pytest.mark.parametrize(
    ("resize", "images_scored", "top1", "top5"),
    [
        # By OpenCV's importer and resizing, as those of all images.
        ("short", 200, 144, 180),
        ("exact", 200, 151, 186),
        pytest.param("short", 1000, 628, 843, marks=long),
        pytest.param("exact", 1000, 679, 874, marks=long),
    ],
)
def test_float32_gives_the_reference_counts(
    run_without_page: Evaluate,
    squeezenet: dict[str, Any],
    images: dict[str, Any],
    resize: str,
    images_scored: int,
    top1: int,
    top5: int,
) -> None:
    precision = ("force_float32",)
    options = {"resize": resize, "precision": precision, "image_num": images_scored}
    (row,) = run_without_page(**squeezenet, **images, **options).rows
    counts = row.images, round(row.top1 * images_scored), round(row.top5 * images_scored)
    assert counts == (images_scored, top1, top5)


@pytest.mark.parametrize(
    ("scored", "calibrated", "loss", "agreement"),
    # Of few images a larger share may differ by chance.
    [(120, 60, 6, 0.87), pytest.param(700, 300, 3, 0.945, marks=long)],
)
def test_int8_stays_with_float32(
    run_without_page: Evaluate,
    squeezenet: dict[str, Any],
    images: dict[str, Any],
    scored: int,
    calibrated: int,
    loss: int,
    agreement: float,
) -> None:
    precisions = ("force_float32", "qint8_mixed_float16")
    few = {"image_num": scored, "calibration_num": calibrated}
    outcome = run_without_page(**squeezenet, **images, **few, precision=precisions)
    reference, quantised = outcome.rows
    assert outcome.record.dataset.calibration_images == calibrated
    assert reference.images == quantised.images == scored
    assert quantised.lost is not None
    assert quantised.won is not None
    assert quantised.lost - quantised.won <= loss
    assert quantised.agreement is not None
    assert quantised.agreement >= agreement


@long
def test_se_resnet_50_goes_through_all_precisions(
    run_without_page: Evaluate, shared_data: Path, images: dict[str, Any], tmp_path: Path
) -> None:
    prototxt = shared_data / "prototxt" / "SE-ResNet-50.prototxt"
    write_random_caffemodel(prototxt, tmp_path / "random.caffemodel", seed=0)
    outcome = run_without_page(
        prototxt=prototxt,
        caffemodel=tmp_path / "random.caffemodel",
        input_size=224,
        means=(104, 117, 123),
        label_order="2015",
        calibration_num=16,
        image_num=32,
        **images,
    )
    assert [row.precision for row in outcome.rows] == [
        "force_float32",
        "force_float16",
        "qint8_mixed_float16",
    ]
    assert {row.images for row in outcome.rows} == {32}
    import pandas as pd

    # The list is of the 2012 order, the network of 2015: the labels must be translated.
    with (shared_data / "images.csv").open(newline="") as stream:
        expected = {row["file"]: int(row["index_2015"]) for row in csv.DictReader(stream)}
    predictions = pd.read_parquet(outcome.folder / "predictions.parquet")
    assert predictions.label.tolist() == [expected[name] for name in predictions.image]
