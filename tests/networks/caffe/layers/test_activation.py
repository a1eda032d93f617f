"""Activations, Softmax and Dropout against NumPy."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from mlubench.networks.caffe.graph import WITHOUT_NODE
from tests.networks.caffe.synthetic import assert_same, layer, refusal, run

Function = Callable[[npt.NDArray[np.float64]], npt.NDArray[np.float64]]

FUNCTIONS: dict[str, tuple[str, str, Function]] = {
    "ReLU": ("ReLU", "", lambda x: np.maximum(x, 0)),
    "leaky ReLU": (
        "ReLU",
        "relu_param { negative_slope: 0.1 }",
        lambda x: np.where(x > 0, x, x / 10),
    ),
    "Sigmoid": ("Sigmoid", "", lambda x: 1 / (1 + np.exp(-x))),
    "TanH": ("TanH", "", np.tanh),
    "Power": (
        "Power",
        "power_param { power: 2 scale: 0.5 shift: -3 }",
        lambda x: (0.5 * x - 3) ** 2,
    ),
    "Power, only scale": ("Power", "power_param { scale: 0.5 }", lambda x: 0.5 * x),
    "Power of 0": ("Power", "power_param { power: 0 }", np.ones_like),
    "Dropout that training does not scale": (
        "Dropout",
        "dropout_param { dropout_ratio: 0.2 scale_train: false }",
        lambda x: 0.8 * x,
    ),
}


@pytest.mark.parametrize(("kind", "parameters", "function"), FUNCTIONS.values(), ids=FUNCTIONS)
def test_of_one_number(tmp_path: Path, kind: str, parameters: str, function: Function) -> None:
    scaled = layer("Power", "power_param { scale: 0.02 }", "scaled")
    result = run(tmp_path, scaled, layer(kind, parameters, bottoms=["scaled"]))
    assert_same(result.blobs["out"], function(result.blobs["scaled"].astype(np.float64)))


@pytest.mark.parametrize("shared", [True, False])
def test_prelu(tmp_path: Path, shared: bool) -> None:
    text = layer("PReLU", f"prelu_param {{ channel_shared: {str(shared).lower()} }}")
    result = run(tmp_path, text)
    (slope,) = result.weights["out"]
    assert slope.shape == ((1,) if shared else (4,))
    expected = np.where(result.data > 0, result.data, result.data * slope[:, None, None])
    assert_same(result.blobs["out"], expected)


@pytest.mark.parametrize("axis", [1, 2, -1])
def test_softmax(tmp_path: Path, axis: int) -> None:
    result = run(tmp_path, layer("Softmax", f"softmax_param {{ axis: {axis} }}"))
    raised = np.exp(result.data - result.data.max(axis, keepdims=True))
    assert_same(result.blobs["out"], raised / raised.sum(axis, keepdims=True))


def test_softmax_across_images_is_refused(tmp_path: Path) -> None:
    assert "mixes the images" in refusal(tmp_path, layer("Softmax", "softmax_param { axis: 0 }"))


def test_what_does_nothing_has_no_node(tmp_path: Path) -> None:
    result = run(
        tmp_path,
        layer("ReLU", name="relu"),
        layer("Dropout", "dropout_param { dropout_ratio: 0.2 }", "drop", ["relu"], ["relu"]),
        layer("Power", "power_param { }", "power", ["relu"]),
        layer("Sigmoid", bottoms=["power"]),
    )
    assert [node.name for node in result.model.graph.node] == ["relu", "out"]
    (entry,) = result.model.metadata_props
    assert (entry.key, entry.value) == (WITHOUT_NODE, "drop\npower")


def test_an_output_that_nothing_computes_keeps_its_name(tmp_path: Path) -> None:
    result = run(tmp_path, layer("ReLU", name="relu"), layer("Dropout", bottoms=["relu"]))
    assert [output.name for output in result.model.graph.output] == ["out"]
    assert result.model.graph.node[-1].name == "out"
    assert not result.model.metadata_props
    assert_same(result.blobs["out"], np.maximum(result.data, 0))


def test_an_output_that_is_dropped_out_in_place_is_the_layer_before(tmp_path: Path) -> None:
    result = run(
        tmp_path,
        layer("ReLU", name="fc"),
        layer("Dropout", name="drop", bottoms=["fc"], tops=["fc"]),
    )
    (node,) = result.model.graph.node
    assert (node.name, list(node.output)) == ("fc", ["fc"])
    assert [entry.value for entry in result.model.metadata_props] == ["drop"]
    assert_same(result.blobs["fc"], np.maximum(result.data, 0))
