"""Pooling against Caffe's rule in NumPy, and against OpenCV."""

from __future__ import annotations

import itertools
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from mlubench.networks.caffe import import_caffe, write_caffemodel
from mlubench.networks.caffe.weights import Array
from tests.networks.caffe import oracle
from tests.networks.caffe.synthetic import (
    assert_as_opencv,
    assert_same,
    layer,
    network,
    refusal,
    run,
)

Pair = tuple[int, int]


def pooled_size(image: int, kernel: int, stride: int, pad: int, *, clip: bool, floor: bool) -> int:
    """Caffe's rule, as its PoolingLayer::Reshape states it."""
    exact = (image + 2 * pad - kernel) / stride
    size = int(math.floor(exact) if floor else math.ceil(exact)) + 1
    return size - 1 if clip and (size - 1) * stride >= image + pad else size


def caffe_pooling(
    data: Array, kernel: Pair, stride: Pair, pad: Pair, *, mean: bool, floor: bool
) -> Array:
    """Pool window by window, as Caffe's PoolingLayer::Forward_cpu states it."""
    image = data.shape[2:]
    sizes = [
        pooled_size(*axis, clip=max(pad) > 0, floor=floor)
        for axis in zip(image, kernel, stride, pad, strict=True)
    ]
    out = np.empty((*data.shape[:2], *sizes), np.float32)
    for position in itertools.product(*map(range, sizes)):
        starts = [p * s - q for p, s, q in zip(position, stride, pad, strict=True)]
        ends = [min(a + k, i + q) for a, k, i, q in zip(starts, kernel, image, pad, strict=True)]
        divisor = math.prod(end - start for start, end in zip(starts, ends, strict=True))
        rows, columns = (
            slice(max(start, 0), min(end, size))
            for start, end, size in zip(starts, ends, image, strict=True)
        )
        window = data[:, :, rows, columns]
        value = window.sum((2, 3)) / divisor if mean else window.max((2, 3))
        out[:, :, position[0], position[1]] = value
    return out


def parameters(kernel: Pair, stride: Pair, pad: Pair, pool: str, *, floor: bool) -> str:
    return (
        f"pooling_param {{ pool: {pool} kernel_h: {kernel[0]} kernel_w: {kernel[1]} "
        f"stride_h: {stride[0]} stride_w: {stride[1]} pad_h: {pad[0]} pad_w: {pad[1]} "
        f"round_mode: {'FLOOR' if floor else 'CEIL'} }}"
    )


pairs = st.tuples(st.integers(1, 5), st.integers(1, 5))


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.filter_too_much])
@given(
    image=st.tuples(st.integers(1, 12), st.integers(1, 12)),
    kernel=pairs,
    stride=pairs,
    pad=st.tuples(st.integers(0, 4), st.integers(0, 4)),
    mean=st.booleans(),
    floor=st.booleans(),
)
def test_any_window(
    tmp_path_factory: pytest.TempPathFactory,
    image: Pair,
    kernel: Pair,
    stride: Pair,
    pad: Pair,
    mean: bool,
    floor: bool,
) -> None:
    import onnxruntime

    axes = list(zip(image, kernel, stride, pad, strict=True))
    sizes = [pooled_size(*axis, clip=max(pad) > 0, floor=floor) for axis in axes]
    for (size, _, step, before), count in zip(axes, sizes, strict=True):
        assume(count >= 1 and (count - 1) * step - before < size)
    assume(all(before < width for _, width, _, before in axes))
    folder = tmp_path_factory.getbasetemp()
    prototxt, weights = folder / "pool.prototxt", folder / "pool.caffemodel"
    text = layer("Pooling", parameters(kernel, stride, pad, "AVE" if mean else "MAX", floor=floor))
    shape = (2, 2, *image)
    prototxt.write_text(network(text, shape=shape))
    write_caffemodel(weights, "small", {"unused": ("Scale", [np.ones(1)])})
    model = import_caffe(prototxt, weights)
    data = oracle.image(shape)
    session = onnxruntime.InferenceSession(model.SerializeToString())
    expected = caffe_pooling(data, kernel, stride, pad, mean=mean, floor=floor)
    assert_same(session.run(["out"], {"data": data})[0], expected)
    dims = model.graph.output[0].type.tensor_type.shape.dim
    assert [dim.dim_value for dim in dims[1:]] == list(expected.shape[1:])


@pytest.mark.parametrize("pool", ["MAX", "AVE"])
@pytest.mark.parametrize(
    ("kernel", "stride", "pad"),
    [
        ((3, 3), (2, 2), (0, 0)),  # the last column of windows reaches over the edge
        ((3, 3), (2, 2), (1, 1)),
        ((2, 2), (2, 2), (1, 1)),  # the last window is clipped away
        ((3, 2), (2, 3), (1, 0)),
        ((5, 4), (4, 5), (1, 1)),  # reaches behind the padding: the divisor leaves that out
        ((4, 4), (3, 3), (2, 2)),
    ],
)
def test_both_runtimes_pool_as_caffe(
    tmp_path: Path, kernel: Pair, stride: Pair, pad: Pair, pool: str
) -> None:
    result = run(tmp_path, layer("Pooling", parameters(kernel, stride, pad, pool, floor=False)))
    expected = caffe_pooling(result.data, kernel, stride, pad, mean=pool == "AVE", floor=False)
    assert_same(result.blobs["out"], expected)


@pytest.mark.parametrize("pool", ["MAX", "AVE"])
@pytest.mark.parametrize(
    "form",
    [
        "kernel_size: 3 stride: 2",
        "global_pooling: true",
        "kernel_size: 3 stride: 2 ceil_mode: false",
    ],
)
def test_forms_are_opencvs(tmp_path: Path, form: str, pool: str) -> None:
    assert_as_opencv(tmp_path, layer("Pooling", f"pooling_param {{ pool: {pool} {form} }}"))


@pytest.mark.parametrize(
    ("form", "words"),
    [
        ("kernel_size: 9", ["covers 9", "the input has 7"]),
        ("kernel_size: 2 pad: 2", ["padded by 2"]),
        ("kernel_size: 1 stride: 4", ["begins at 8", "the input has 7"]),
        ("global_pooling: true kernel_size: 7", ["global_pooling"]),
        ("global_pooling: true stride: 2", ["global_pooling"]),
        ("pool: STOCHASTIC kernel_size: 2", ["STOCHASTIC", "MAX or AVE"]),
        ("", ["kernel"]),
    ],
)
def test_wrong_poolings(tmp_path: Path, form: str, words: list[str]) -> None:
    message = refusal(tmp_path, layer("Pooling", f"pooling_param {{ {form} }}"))
    assert all(word in message for word in words)


def test_the_mask_of_a_maximum_is_refused(tmp_path: Path) -> None:
    text = layer("Pooling", "pooling_param { kernel_size: 2 }", tops=["out", "mask"])
    assert "2 tops" in refusal(tmp_path, text)
