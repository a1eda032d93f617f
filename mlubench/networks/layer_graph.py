"""What reads what in a network, by the source network's own layers."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import onnx

from mlubench.engines.interface import NetworkFiles
from mlubench.errors import ConfigError
from mlubench.networks.caffe.layers import LAYER_TYPES
from mlubench.networks.caffe.prototxt import read_network


@dataclass(frozen=True)
class LayerGraph:
    """The layers of a network that compute something.

    Attributes:
        kinds: per layer its type, in the network's order.
        inputs: per layer those that it reads.
    """

    kinds: Mapping[str, str]
    inputs: Mapping[str, tuple[str, ...]]


def check_keep_float(files: NetworkFiles, layers: Sequence[str]) -> None:
    """Check that layers that are to be kept in float are layers of the network.

    Raises:
        ConfigError: one is not; names those that are called alike.
    """
    if not layers:
        return
    kinds = layer_graph(files).kinds
    for layer in layers:
        if layer not in kinds:
            near = difflib.get_close_matches(layer, kinds, n=5, cutoff=0.5)
            raise ConfigError(
                f"the network has no layer {layer!r} that computes something",
                where="--keep_float",
                expected="one of its layers" + (f", such as {', '.join(near)}" if near else ""),
                fix="see mlubench inspect",
            )


def layer_graph(files: NetworkFiles) -> LayerGraph:
    """Return the layers of a network: Caffe's where it came as Caffe, else ONNX's operations.

    A Caffe layer may be several operations of the ONNX network; the last of them, and its
    tensor, have the layer's name.

    Raises:
        NetworkError: the prototxt cannot be read.
    """
    graph = onnx.load(str(files.onnx), load_external_data=False).graph
    made = {name: node for node in graph.node for name in node.output}
    if files.prototxt is None:
        kinds = {name: node.op_type for name, node in made.items() if node.op_type != "Constant"}
    else:
        layers = read_network(files.prototxt, LAYER_TYPES).layers
        kinds = {layer.name: layer.type for layer in layers if layer.name in made}

    def read_by(name: str) -> tuple[str, ...]:
        found: dict[str, None] = {}
        waiting = list(reversed(made[name].input))
        while waiting:
            tensor = waiting.pop()
            if tensor in kinds and tensor != name:
                found[tensor] = None
            elif tensor in made:
                waiting.extend(reversed(made[tensor].input))
        return tuple(found)

    return LayerGraph(kinds, {name: read_by(name) for name in kinds})
