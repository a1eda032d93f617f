"""Convolutions against OpenCV, inner products against NumPy."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.networks.caffe.synthetic import assert_as_opencv, assert_same, layer, refusal, run

FORMS = {
    "scalar": "kernel_size: 3 pad: 1 stride: 2",
    "repeated": "kernel_size: 3 kernel_size: 5 pad: 1 pad: 2 stride: 2 stride: 1",
    "by axis": "kernel_h: 3 kernel_w: 1 pad_h: 2 pad_w: 0 stride_h: 1 stride_w: 3",
    "no bias": "kernel_size: 1 bias_term: false",
    "dilated": "kernel_size: 3 dilation: 2 pad: 2",
    "groups": "kernel_size: 3 group: 2",
    "depthwise": "kernel_size: 3 group: 4 pad: 1",
    "rest of the input left over": "kernel_size: 2 stride: 3",
    "training fields": 'kernel_size: 3 weight_filler { type: "xavier" } engine: CAFFE',
}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_convolution_is_opencvs(tmp_path: Path, form: str) -> None:
    text = layer("Convolution", f"convolution_param {{ num_output: 8 {form} }}")
    assert_as_opencv(tmp_path, text)


def test_dilations_differ_by_axis(tmp_path: Path) -> None:
    """OpenCV takes one dilation only, so the result is the sum over the kernel, tap by tap."""
    parameters = "num_output: 1 kernel_size: 2 dilation: 2 dilation: 5 bias_term: false"
    result = run(tmp_path, layer("Convolution", f"convolution_param {{ {parameters} }}"))
    (weight,) = result.weights["out"]
    taps = [
        np.einsum(
            "ncij,c->nij",
            result.data[:, :, 2 * i : 2 * i + 5, 5 * j : 5 * j + 4],
            weight[0, :, i, j],
        )
        for i in range(2)
        for j in range(2)
    ]
    assert_same(result.blobs["out"], sum(taps)[:, None])


@pytest.mark.parametrize("form", ["kernel_size: 4 stride: 2 pad: 1", "kernel_size: 3 group: 2"])
def test_deconvolution_is_opencvs(tmp_path: Path, form: str) -> None:
    text = layer("Deconvolution", f"convolution_param {{ num_output: 6 {form} }}")
    assert_as_opencv(tmp_path, text)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("transpose", [True, False])
@pytest.mark.parametrize("axis", [1, 2, -1])
def test_inner_product(tmp_path: Path, axis: int, transpose: bool, bias: bool) -> None:
    parameters = f"num_output: 5 axis: {axis} transpose: {transpose} bias_term: {bias}".lower()
    result = run(tmp_path, layer("InnerProduct", f"inner_product_param {{ {parameters} }}"))
    weight, *rest = result.weights["out"]
    kept = result.data.shape[: axis if axis > 0 else 4 + axis]
    product = result.data.reshape(*kept, -1) @ (weight if transpose else weight.T)
    assert_same(result.blobs["out"], product + rest[0] if bias else product)


def test_inner_product_of_a_vector(tmp_path: Path) -> None:
    first = layer("InnerProduct", "inner_product_param { num_output: 6 }", "first")
    last = layer("InnerProduct", "inner_product_param { num_output: 3 }", bottoms=["first"])
    assert_as_opencv(tmp_path, first, last)


@pytest.mark.parametrize(
    ("kind", "parameters", "words"),
    [
        ("Convolution", "kernel_size: 12", ["covers 12", "padded input has 7", "not larger"]),
        ("Convolution", "kernel_size: 4 dilation: 3", ["covers 10"]),
        ("Convolution", "", ["kernel"]),
        ("Convolution", "kernel_size: 1 stride: 0", ["stride"]),
        ("Convolution", "kernel_size: 1 kernel_h: 1", ["either"]),
        ("Convolution", "kernel_size: [1, 1, 1]", ["3 times"]),
        ("Convolution", "kernel_size: 1 group: 3", ["group 3", "4 channels"]),
        ("Convolution", "kernel_size: 1 axis: 2", ["axis is 2"]),
        ("Convolution", "kernel_size: 4000000000", ["sizes of at most"]),
        ("Deconvolution", "kernel_size: 1 pad: 4", ["[-1, 1]"]),
    ],
)
def test_wrong_convolutions(tmp_path: Path, kind: str, parameters: str, words: list[str]) -> None:
    message = refusal(tmp_path, layer(kind, f"convolution_param {{ num_output: 8 {parameters} }}"))
    assert all(word in message for word in words)
    assert f"layer 'out' ({kind})" in message


def test_wrong_inner_products(tmp_path: Path) -> None:
    assert "num_output is 0" in refusal(tmp_path, layer("InnerProduct"))
    text = layer("InnerProduct", "inner_product_param { num_output: 1 axis: 0 }")
    assert "mixes the images" in refusal(tmp_path, text)
    text = layer("InnerProduct", "inner_product_param { num_output: 1 axis: 4 }")
    assert "an axis of a blob of 4 dimensions" in refusal(tmp_path, text)
