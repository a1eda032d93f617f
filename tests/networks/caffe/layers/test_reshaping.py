"""Layers that move numbers, against NumPy."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.networks.caffe.synthetic import assert_same, layer, refusal, run

TANH = layer("TanH", name="b")


@pytest.mark.parametrize(
    ("parameters", "shape"),
    [
        ("shape { dim: 0 dim: -1 }", (2, 252)),
        ("shape { dim: 0 dim: 0 dim: -1 }", (2, 4, 63)),
        ("shape { dim: -1 dim: 252 }", (2, 252)),
        ("shape { dim: 2 dim: 7 dim: 36 }", (2, 7, 36)),  # 2 is the batch size of the text
        ("shape { dim: 3 dim: 3 } axis: 3", (2, 4, 7, 3, 3)),
        ("shape { dim: -1 } axis: 1 num_axes: 2", (2, 28, 9)),
        ("shape { dim: 1 } axis: 1 num_axes: 0", (2, 1, 4, 7, 9)),
        ("shape { dim: 1 } axis: -1", (2, 4, 7, 9, 1)),
        ("shape { dim: 0 dim: 3 dim: -1 } axis: -3", (2, 4, 7, 3, 3)),
    ],
)
def test_reshape(tmp_path: Path, parameters: str, shape: tuple[int, ...]) -> None:
    result = run(tmp_path, layer("Reshape", f"reshape_param {{ {parameters} }}"))
    assert_same(result.blobs["out"], result.data.reshape(shape))


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ("shape { dim: 1 dim: -1 }", "mixes the images"),
        ("shape { dim: -1 }", "252 numbers for each image"),
        ("shape { dim: 0 dim: 5 dim: -1 }", "cannot take the shape"),
        ("shape { dim: 0 dim: -1 dim: -1 }", "cannot take the shape"),
        ("shape { dim: 0 dim: 252 dim: 1 dim: 1 dim: 0 }", "dim 4 is 0"),
        ("shape { dim: 1 } axis: 5", "axes of a blob of 4 dimensions"),
        ("shape { dim: 1 } num_axes: 0", "mixes the images"),
    ],
)
def test_wrong_reshapes(tmp_path: Path, parameters: str, words: str) -> None:
    assert words in refusal(tmp_path, layer("Reshape", f"reshape_param {{ {parameters} }}"))


@pytest.mark.parametrize(
    ("parameters", "shape"),
    [("", (2, 252)), ("axis: 2", (2, 4, 63)), ("axis: 1 end_axis: -2", (2, 28, 9))],
)
def test_flatten(tmp_path: Path, parameters: str, shape: tuple[int, ...]) -> None:
    result = run(tmp_path, layer("Flatten", f"flatten_param {{ {parameters} }}"))
    assert_same(result.blobs["out"], result.data.reshape(shape))


@pytest.mark.parametrize(
    ("parameters", "axis"), [("", 1), ("axis: 2", 2), ("axis: -1", 3), ("concat_dim: 3", 3)]
)
def test_concat(tmp_path: Path, parameters: str, axis: int) -> None:
    text = layer("Concat", f"concat_param {{ {parameters} }}", bottoms=["data", "b", "data"])
    result = run(tmp_path, TANH, text)
    parts = [result.data, result.blobs["b"], result.data]
    assert_same(result.blobs["out"], np.concatenate(parts, axis))


@pytest.mark.parametrize(
    ("parameters", "axis", "points"),
    [("", 1, [2]), ("axis: 2 slice_point: 3", 2, [3]), ("slice_dim: 3 slice_point: 8", 3, [8])],
)
def test_slice(tmp_path: Path, parameters: str, axis: int, points: list[int]) -> None:
    text = layer("Slice", f"slice_param {{ {parameters} }}", tops=["first", "second"])
    result = run(tmp_path, text, layer("ReLU", name="relu", bottoms=["first"]))
    first, second = np.split(result.data, points, axis)
    assert_same(result.blobs["out/first"], first)
    assert_same(result.blobs["second"], second)
    assert [output.name for output in result.model.graph.output] == ["second", "relu"]


def test_split_gives_its_bottom_other_names(tmp_path: Path) -> None:
    result = run(
        tmp_path,
        TANH,
        layer("Split", name="split", bottoms=["b"], tops=["x", "y"]),
        layer("ReLU", name="relu", bottoms=["x"]),
        layer("Sigmoid", name="out", bottoms=["y"]),
    )
    assert [node.name for node in result.model.graph.node] == ["b", "relu", "out"]
    assert_same(result.blobs["relu"], np.maximum(result.blobs["b"], 0))


def test_permute(tmp_path: Path) -> None:
    result = run(tmp_path, layer("Permute", "permute_param { order: [0, 3] }"))
    assert_same(result.blobs["out"], result.data.transpose(0, 3, 1, 2))


def test_shuffle_channel(tmp_path: Path) -> None:
    result = run(
        tmp_path,
        layer("Concat", name="six", bottoms=["data", "data"]),
        layer("ShuffleChannel", "shuffle_channel_param { group: 4 }", bottoms=["six"]),
    )
    assert_same(result.blobs["out"], result.blobs["six"][:, [0, 2, 4, 6, 1, 3, 5, 7]])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (layer("Concat", "concat_param { axis: 0 }"), "mixes the images"),
        (layer("Concat", "concat_param { axis: 1 concat_dim: 1 }"), "either"),
        (layer("Slice", "slice_param { axis: 2 }", tops=["x", "y"]), "equal parts"),
        (layer("Slice", "slice_param { slice_point: [3, 2] }", tops=["x", "y", "z"]), "rising"),
        (layer("Flatten", "flatten_param { axis: 3 end_axis: 2 }"), "end_axis is 2"),
        (layer("Permute", "permute_param { order: [1, 0] }"), "mixes the images"),
        (layer("Permute", "permute_param { order: [0, 4] }"), "each once"),
        (layer("ShuffleChannel", "shuffle_channel_param { group: 3 }"), "4 channels"),
    ],
)
def test_wrong_ones(tmp_path: Path, text: str, words: str) -> None:
    assert words in refusal(tmp_path, text)


def test_concat_of_unequal_shapes_is_refused(tmp_path: Path) -> None:
    pool = layer("Pooling", "pooling_param { kernel_size: 2 }", "pool")
    message = refusal(tmp_path, pool, layer("Concat", bottoms=["data", "pool"]))
    assert "[N, 4, 7, 9] and [N, 4, 6, 8]" in message


def test_split_into_outputs_copies(tmp_path: Path) -> None:
    split = layer("Split", name="split", bottoms=["b"], tops=["x", "y"])
    result = run(tmp_path, TANH, split)
    assert [node.name for node in result.model.graph.node] == ["b", "split", "split/y"]
    assert_same(result.blobs["x"], np.tanh(result.data))
    assert_same(result.blobs["y"], np.tanh(result.data))
