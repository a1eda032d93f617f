"""BatchNorm, Scale and LRN against NumPy."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mlubench.networks.caffe import import_caffe, write_caffemodel
from tests.networks.caffe import oracle
from tests.networks.caffe.synthetic import SHAPE, assert_same, layer, network, refusal, run

POOL = layer("Pooling", "pooling_param { pool: AVE global_pooling: true }", "pool")
FLAT = layer("Reshape", "reshape_param { shape { dim: 0 dim: 0 } }", "flat", ["pool"])


@pytest.mark.parametrize("factor", [0.0, 1.0, 999.98236])
def test_batch_norm_divides_by_its_factor(tmp_path: Path, factor: float) -> None:
    mean, variance = np.arange(4) * 7.0, np.arange(1, 5) * 300.0
    prototxt, caffemodel = tmp_path / "net.prototxt", tmp_path / "net.caffemodel"
    text = layer("BatchNorm", "batch_norm_param { use_global_stats: true eps: 0.25 }")
    prototxt.write_text(network(text))
    blobs = [mean * factor, variance * factor, np.array([factor])]
    write_caffemodel(caffemodel, "small", {"out": ("BatchNorm", blobs)})
    data = oracle.image(SHAPE)
    out = oracle.run_onnxruntime(import_caffe(prototxt, caffemodel), data)["out"]
    if factor == 0:
        mean, variance = np.zeros(4), np.zeros(4)
    expected = (data - mean[:, None, None]) / np.sqrt(variance[:, None, None] + 0.25)
    assert_same(out, expected)


def test_batch_norm_of_vectors(tmp_path: Path) -> None:
    result = run(tmp_path, POOL, FLAT, layer("BatchNorm", bottoms=["flat"]))
    mean, variance, _ = result.weights["out"]
    expected = (result.data.mean((2, 3)) - mean) / np.sqrt(variance + 1e-5)
    assert_same(result.blobs["out"], expected)


def test_batch_norm_over_the_batch_is_refused(tmp_path: Path) -> None:
    text = layer("BatchNorm", "batch_norm_param { use_global_stats: false }")
    assert "use_global_stats is false" in refusal(tmp_path, text)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(
    ("axis", "axes", "shape"),
    [
        (1, 1, (4,)),
        (1, 2, (4, 7)),
        (1, -1, (4, 7, 9)),
        (2, 1, (7,)),
        (-1, 1, (9,)),
        (-3, 3, (4, 7, 9)),
        (2, 0, ()),
    ],
)
def test_scale(tmp_path: Path, axis: int, axes: int, shape: tuple[int, ...], bias: bool) -> None:
    parameters = f"axis: {axis} num_axes: {axes} bias_term: {str(bias).lower()}"
    result = run(tmp_path, layer("Scale", f"scale_param {{ {parameters} }}"))
    factors, *rest = result.weights["out"]
    assert factors.shape == shape
    behind = [1] * (4 - axis % 4 - len(shape))
    expected = result.data * factors.reshape(*shape, *behind)
    if bias:
        expected += rest[0].reshape(*shape, *behind)
    assert_same(result.blobs["out"], expected)


@pytest.mark.parametrize("second", ["pool", "flat", "same"])
def test_scale_by_a_second_bottom(tmp_path: Path, second: str) -> None:
    same = layer("TanH", name="same")
    text = layer("Scale", "scale_param { axis: 0 }", bottoms=["data", second])
    if second == "pool":  # Caffe's axes must agree in size: [N, C, 1, 1] fits no [N, C, 7, 9]
        assert "[N, 4, 1, 1]" in refusal(tmp_path, POOL, text)
        return
    result = run(tmp_path, POOL, FLAT, same, text)
    factor = result.blobs[second]
    assert_same(
        result.blobs["out"], result.data * factor.reshape(*factor.shape, *[1] * (4 - factor.ndim))
    )


def test_wrong_scales(tmp_path: Path) -> None:
    text = layer("Scale", "scale_param { axis: 0 }")
    assert "mixes the images" in refusal(tmp_path, text)
    text = layer("Scale", "scale_param { axis: 2 num_axes: 3 }")
    assert "num_axes is 3 from axis 2" in refusal(tmp_path, text)
    text = layer("Scale", "scale_param { axis: 0 bias_term: true }", bottoms=["data", "flat"])
    assert "mixes the images" in refusal(tmp_path, POOL, FLAT, text)
    text = layer("Scale", "scale_param { axis: 1 }", bottoms=["data", "flat"])
    assert "axis 1" in refusal(tmp_path, POOL, FLAT, text)


@pytest.mark.parametrize("size", [1, 3, 5, 9])
def test_lrn_across_channels(tmp_path: Path, size: int) -> None:
    text = layer("LRN", f"lrn_param {{ local_size: {size} alpha: 0.01 beta: 0.6 k: 2 }}")
    result = run(tmp_path, text)
    squares = np.pad(result.data**2, ((0, 0), (size // 2,) * 2, (0, 0), (0, 0)))
    sums = sum(squares[:, shift : shift + 4] for shift in range(size))
    assert_same(result.blobs["out"], result.data * (2 + 0.01 / size * sums) ** -0.6)


def test_lrn_within_a_channel(tmp_path: Path) -> None:
    """Zeros outside the image count in the mean; k is not read."""
    parameters = "local_size: 3 alpha: 0.01 beta: 0.6 norm_region: WITHIN_CHANNEL"
    result = run(tmp_path, layer("LRN", f"lrn_param {{ {parameters} }}"))
    squares = np.pad(result.data**2, ((0, 0), (0, 0), (1, 1), (1, 1)))
    sums = sum(squares[:, :, i : i + 7, j : j + 9] for i in range(3) for j in range(3))
    assert_same(result.blobs["out"], result.data * (1 + 0.01 * sums / 9) ** -0.6)


def test_lrn_of_an_even_size_is_refused(tmp_path: Path) -> None:
    assert "local_size is 4" in refusal(tmp_path, layer("LRN", "lrn_param { local_size: 4 }"))
