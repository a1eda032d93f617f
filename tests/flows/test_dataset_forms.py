"""The same images in every form of dataset give the same predictions, through the whole flow."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mlubench.errors import ConfigError
from mlubench.images.datasets.digits import write_digits
from mlubench.images.datasets.labels import imagenet_order
from tests.flows.conftest import Evaluate
from tests.images import packing
from tests.support.networks import write_caffe_network

IMAGES = 40


@pytest.fixture
def digits(tmp_path: Path) -> dict[str, bytes]:
    """Some of the sample's images, under names as ImageNet's."""
    folder = write_digits(tmp_path / "digits").val
    images = sorted(folder.iterdir())[:IMAGES]
    return {
        f"ILSVRC2012_val_{number:08d}.JPEG": image.read_bytes()
        for number, image in enumerate(images, start=1)
    }


@pytest.fixture
def classes(digits: dict[str, bytes]) -> dict[str, str]:
    wnids = imagenet_order("2012").class_ids
    return {name: wnids[(37 * number) % 1000] for number, name in enumerate(digits)}


@pytest.fixture
def network(tmp_path: Path) -> dict[str, Any]:
    prototxt, caffemodel = write_caffe_network(tmp_path)
    return {
        "prototxt": prototxt,
        "caffemodel": caffemodel,
        "input_size": 56,
        "means": (104, 117, 123),
        "resize": "none",
        "label_order": "2015",
        "precision": ("qint8_mixed_float16",),
        "calibration_num": 8,
    }


def test_every_form_gives_the_same_bytes(
    run_without_page: Evaluate,
    network: dict[str, Any],
    digits: dict[str, bytes],
    classes: dict[str, str],
    tmp_path: Path,
) -> None:
    predictions, contents = {}, set()
    for form, write in packing.every_form(tmp_path / "forms", digits, classes).items():
        image_dir, label_file, order = write()
        images = {"image_dir": image_dir, "label_file": label_file, "label_file_order": order}
        outcome = run_without_page(**network, **images)
        predictions[form] = (outcome.folder / "predictions.parquet").read_bytes()
        contents.add(outcome.record.dataset.digest)
        assert outcome.record.dataset.images.scored == IMAGES - 8
    first = predictions["folder, list of 2012"]
    assert [form for form, data in predictions.items() if data != first] == []
    assert len(contents) == 1


def test_the_samples_digits_from_a_tar(
    run: Evaluate, run_without_page: Evaluate, tmp_path: Path
) -> None:
    digits = write_digits(tmp_path / "digits")
    listed = tmp_path / "labels.txt"
    listed.write_text("".join(digits.val_labels.read_text().splitlines(keepends=True)[:597]))
    options = {
        "label_file": listed,
        "label_file_order": "digits",
        "calibration_dir": digits.train,
        "precision": ("force_float32",),
    }
    folder = run_without_page(image_dir=digits.val, **options)
    archive = run(image_dir=packing.tar(tmp_path / "val.tar", digits.val), **options)
    for counts in (run.record.dataset.images for run in (folder, archive)):
        assert (counts.expected, counts.scored, counts.unlisted) == (597, 597, 3)
    page = (archive.folder / "report.html").read_text()
    assert "3 not in the list" in page
    written = [outcome.folder / "predictions.parquet" for outcome in (folder, archive)]
    assert written[0].read_bytes() == written[1].read_bytes()
    assert folder.record.dataset.digest == archive.record.dataset.digest


def test_imagenets_folder_is_named_by_the_environment(
    run: Evaluate,
    network: dict[str, Any],
    digits: dict[str, bytes],
    classes: dict[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("ILSVRC2012_DATASETS_PATH", raising=False)
    with pytest.raises(ConfigError, match="ILSVRC2012_DATASETS_PATH is not set") as caught:
        run(**network, dataset="imagenet_val")
    assert "export ILSVRC2012_DATASETS_PATH=" in caught.value.fix
    folder = packing.flat(tmp_path / "imagenet", digits)
    packing.label_list(folder / "ILSVRC2015_val.txt", classes, "2015")
    monkeypatch.setenv("ILSVRC2012_DATASETS_PATH", str(folder))
    record = run(**network, dataset="imagenet_val").record
    assert record.dataset.name == "imagenet_val"
    assert record.dataset.images.scored == IMAGES - 8
