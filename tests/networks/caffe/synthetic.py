"""Small networks made for one test each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import pytest

from mlubench.errors import NetworkError
from mlubench.networks.caffe import import_caffe, write_random_caffemodel
from mlubench.networks.caffe.weights import Array, read_caffemodel
from tests.networks.caffe import oracle

SHAPE = (2, 4, 7, 9)


@dataclass(frozen=True)
class Result:
    """What a small network computes.

    Attributes:
        data: its input.
        weights: layer name -> blobs.
        blobs: tensor name -> values, from ONNX Runtime; OpenVINO's are found equal.
        model: the imported network.
        prototxt: the text it was imported from.
        caffemodel: the weights it was imported from.
    """

    data: Array
    weights: Mapping[str, tuple[Array, ...]]
    blobs: Mapping[str, Array]
    model: onnx.ModelProto
    prototxt: Path
    caffemodel: Path


def layer(
    kind: str,
    parameters: str = "",
    name: str = "out",
    bottoms: Sequence[str] = ("data",),
    tops: Sequence[str] = (),
) -> str:
    """Return the text of one layer; its top has its name by default."""
    lines = [f'name: "{name}"', f'type: "{kind}"']
    lines += [f'bottom: "{bottom}"' for bottom in bottoms]
    lines += [f'top: "{top}"' for top in tops or (name,)]
    return "\n".join(["layer {", *lines, parameters, "}"])


def network(*layers: str, shape: Sequence[int] = SHAPE) -> str:
    """Return the text of a network with an input `data`."""
    dims = " ".join(f"dim: {size}" for size in shape)
    return "\n".join(['name: "small"', 'input: "data"', f"input_shape {{ {dims} }}", *layers, ""])


def write(folder: Path, *layers: str, shape: Sequence[int] = SHAPE) -> tuple[Path, Path]:
    """Write a network and random weights for it."""
    prototxt, caffemodel = folder / "net.prototxt", folder / "net.caffemodel"
    prototxt.write_text(network(*layers, shape=shape))
    write_random_caffemodel(prototxt, caffemodel, seed=1)
    return prototxt, caffemodel


def run(folder: Path, *layers: str, shape: Sequence[int] = SHAPE) -> Result:
    """Import a network with random weights and run it in both runtimes."""
    prototxt, caffemodel = write(folder, *layers, shape=shape)
    model = import_caffe(prototxt, caffemodel)
    onnx.checker.check_model(model, full_check=True)
    data = oracle.image(shape)
    blobs, others = oracle.run_both(model, data)
    for name, other in others.items():
        assert other.shape == blobs[name].shape
        assert oracle.difference(other, blobs[name]) < 1e-5, name
    return Result(data, read_caffemodel(caffemodel), blobs, model, prototxt, caffemodel)


def assert_same(ours: Array, expected: np.ndarray) -> None:
    """Check shape and values, to within 1e-5 of the range."""
    assert ours.shape == expected.shape
    assert oracle.difference(ours, expected.astype(np.float32)) < 1e-5


def assert_as_opencv(folder: Path, *layers: str, shape: Sequence[int] = SHAPE) -> Result:
    """Check the blob of every layer against OpenCV's importer."""
    result = run(folder, *layers, shape=shape)
    names = [node.name for node in result.model.graph.node if "/" not in node.name]
    text = result.prototxt.read_text()
    expected = oracle.run_opencv(text, result.caffemodel, result.data, names)
    for name in names:
        assert_same(result.blobs[oracle.tensor_of(result.model, name)], expected[name])
    return result


def refusal(folder: Path, *layers: str, shape: Sequence[int] = SHAPE) -> str:
    """Return the message with which a network is refused; it names file, line and layer."""
    with pytest.raises(NetworkError) as caught:
        write(folder, *layers, shape=shape)
    message = str(caught.value)
    assert message.startswith(f"{folder / 'net.prototxt'}:")
    assert "layer '" in message
    return message
