"""The committed network: its layers, its size and what it scores, read by OpenCV."""

from __future__ import annotations

import re
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from conf.sample.network import INPUT_SIDE, MEANS, exchange_axpy, prototxt, sample_layers
from mlubench.images.datasets.digits import write_digits
from mlubench.networks.caffe import import_caffe

_SAMPLE = Path(__file__).resolve().parents[2] / "conf" / "sample"
_PROTOTXT = _SAMPLE / "se_resnet50_digits.prototxt"
_CAFFEMODEL = _SAMPLE / "se_resnet50_digits.caffemodel"
_LAYER = re.compile(r'^layer\s*\{\s*name: "(?P<name>[^"]+)"\s+type: "(?P<type>[^"]+)"', re.M)
_AXPY = re.compile(r'(type: "Axpy"\s+bottom: "[^"]+"\s+)(bottom: "[^"]+")(\s+)(bottom: "[^"]+")')


Array = npt.NDArray[np.float32]
Labelled = tuple[Array, npt.NDArray[np.int64]]


@pytest.fixture(scope="module")
def held_out(tmp_path_factory: pytest.TempPathFactory) -> Labelled:
    digits = write_digits(tmp_path_factory.mktemp("sample") / "digits")
    return _read(digits.val, digits.val_labels)


def _read(folder: Path, labels: Path) -> Labelled:
    """Decode and cut the pictures of a list by OpenCV alone; float32 [n, 3, 56, 56]."""
    rows = [line.split() for line in labels.read_text().splitlines()]
    pictures = [cv2.imread(str(folder / name)) for name, _ in rows]
    images = cv2.dnn.blobFromImages(
        [picture[4:60, 4:60] for picture in pictures if picture is not None], mean=MEANS
    )
    return np.asarray(images, np.float32), np.array([int(label) for _, label in rows])


def _opencv(definition: str) -> cv2.dnn.Net:
    return cv2.dnn.readNetFromCaffe(
        np.frombuffer(definition.encode(), np.uint8), np.fromfile(_CAFFEMODEL, np.uint8)
    )


def _run(network: cv2.dnn.Net, image: Array) -> Array:
    """Run one picture [3, 56, 56]: OpenCV refuses Axpy in batches."""
    network.setInput(image[np.newaxis])
    return np.array(network.forward(), np.float32)


@pytest.fixture(scope="module")
def opencv_scores(held_out: Labelled) -> Array:
    """OpenCV computes ``b0 * b2 + b1`` for Axpy, so it reads a copy with those exchanged."""
    exchanged, count = _AXPY.subn(r"\1\4\3\2", _PROTOTXT.read_text())
    assert count == 16
    network = _opencv(exchanged)
    return np.concatenate([_run(network, image) for image in held_out[0]])


def test_opencv_scores_the_held_out_digits(held_out: Labelled, opencv_scores: Array) -> None:
    assert opencv_scores.shape == (600, 10)
    np.testing.assert_allclose(opencv_scores.sum(axis=1), 1, atol=1e-5)
    assert (opencv_scores.argmax(axis=1) == held_out[1]).mean() >= 0.97


def test_imported_network_agrees_with_opencv(held_out: Labelled, opencv_scores: Array) -> None:
    import onnxruntime

    model = import_caffe(_PROTOTXT, _CAFFEMODEL).SerializeToString()
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    (scores,) = session.run(["prob"], {"data": held_out[0]})
    np.testing.assert_allclose(scores, opencv_scores, atol=1e-4)


def test_weights_are_small_enough_to_commit() -> None:
    assert _CAFFEMODEL.stat().st_size <= 3_000_000


def test_layers_are_those_of_se_resnet_50(shared_data: Path) -> None:
    original = (shared_data / "prototxt" / "SE-ResNet-50.prototxt").read_text()
    assert _LAYER.findall(_PROTOTXT.read_text()) == _LAYER.findall(original)
    assert len(_LAYER.findall(original)) == 309


def test_prototxt_is_what_the_table_says() -> None:
    assert _PROTOTXT.read_text() == prototxt(sample_layers())


def test_exchanging_axpy_twice_changes_nothing() -> None:
    layers = sample_layers()
    once = exchange_axpy(layers)
    assert once != layers
    assert exchange_axpy(once) == layers
    assert _AXPY.sub(r"\1\4\3\2", prototxt(layers)) == prototxt(once)


def test_maps_shrink_to_two_by_two() -> None:
    """The sizes that make ``pool5`` a global pooling over 2 x 2 pixels."""
    network = _opencv(_PROTOTXT.read_text())
    network.setInput(np.zeros((1, 3, INPUT_SIDE, INPUT_SIDE), np.float32))
    names = ["pool1/3x3_s2", "conv2_3", "conv3_4", "conv4_6", "conv5_3"]
    sides = [blob.shape[2] for blob in network.forward(names)]
    assert sides == [14, 14, 7, 4, 2]
