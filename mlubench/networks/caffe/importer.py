"""Caffe network -> ONNX network."""

from __future__ import annotations

import math
from pathlib import Path
from typing import BinaryIO

import onnx

from mlubench.errors import NetworkError
from mlubench.networks.caffe.graph import BlobSource, GraphBuilder, Role, Shape
from mlubench.networks.caffe.layers import LAYER_TYPES, build_layer
from mlubench.networks.caffe.prototxt import Layer, Network, read_network
from mlubench.networks.caffe.weights import Array, CaffemodelFile


def import_caffe(prototxt: Path, weights: Path, apart: BinaryIO | None = None) -> onnx.ModelProto:
    """Return a Caffe network as float32 ONNX (opset 17), computing what Caffe computes.

    The input keeps its name and has the shape [N, C, H, W] with a symbolic N, whatever batch size
    the prototxt states. The outputs are the blobs that no layer reads, by their names. Each Caffe
    layer's last node has the layer's name, and so has its output tensor unless it is an output
    of the network; layers that do nothing when testing (Dropout, Split) have no node, and the
    model's metadata lists them under ``caffe_layers_without_node``. The same files give the same
    bytes of ``SerializeToString(deterministic=True)``.

    Args:
        prototxt: the network's definition, new or V1 format.
        weights: its caffemodel, new or V1 format.
        apart: a stream for the bytes of the initialisers, one after another, which then have no
            ``raw_data``: so no more of a large network is held than a layer.

    Raises:
        NetworkError: a file is absent, damaged or of another kind; a layer is unknown, wrong or
            without its weights. The message names file and layer.
    """
    network = read_network(prototxt, LAYER_TYPES)
    return build_graph(network, _FileBlobs(weights), apart)


def build_graph(
    network: Network, source: BlobSource, apart: BinaryIO | None = None
) -> onnx.ModelProto:
    """Return the ONNX model of a network with weights from any source, or with these apart."""
    builder = GraphBuilder(network, source, apart)
    for layer in network.layers:
        build_layer(builder.context(layer))
    return builder.finish()


def with_all_outputs(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return a copy of an imported model of which every layer's tensor is an output.

    The outputs that the model has come first; then those of the layers, in the order in which
    they are computed.
    """
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    copy.graph.output.extend(copy.graph.value_info)
    del copy.graph.value_info[:]
    return copy


class _FileBlobs:
    """Blobs from a caffemodel; each layer's are held while it is built."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._weights = CaffemodelFile(file)
        self._left = set(self._weights.names)
        self._found: tuple[Array, ...] | None = None  # of the layer that is being built
        self._taken = 0

    def take(self, layer: Layer, role: Role, shape: Shape) -> Array:
        """Return a blob; shapes may differ in leading ones, which the old format adds."""
        found, index = self._open(layer), self._taken
        if found is None:
            raise self._error(
                layer,
                f"there are no weights for it; the file has those of {self._summary()}",
                "weights for every layer that takes some",
                "give the caffemodel that belongs to this prototxt, and check that it is whole",
            )
        if index >= len(found):
            raise self._error(
                layer,
                f"there is no blob {index} ({role}), only {len(found)}",
                f"a {role} of the shape {list(shape)}",
                "give the caffemodel that belongs to this prototxt",
            )
        blob = found[index]
        if _without_leading_ones(blob.shape) != _without_leading_ones(shape):
            raise self._error(
                layer,
                f"blob {index} ({role}) has the shape {list(blob.shape)}, {blob.size} numbers",
                f"{list(shape)}, {math.prod(shape)} numbers",
                "give the caffemodel that belongs to this prototxt",
            )
        self._taken += 1
        return blob.reshape(shape)

    def finish(self, layer: Layer) -> None:
        """Check that no blob of the layer is left over."""
        found, count = self._open(layer), self._taken
        self._left.discard(layer.name)
        self._found, self._taken = None, 0
        if found is not None and len(found) > count:
            raise self._error(
                layer,
                f"there are {len(found)} blobs",
                f"{count} blobs",
                "give the caffemodel that belongs to this prototxt; does bias_term agree?",
            )

    def _open(self, layer: Layer) -> tuple[Array, ...] | None:
        if self._found is None and layer.name in self._left:
            self._found = self._weights.blobs(layer.name)
        return self._found

    def _summary(self) -> str:
        shown = ", ".join(f"'{name}'" for name in self._weights.names[:3])
        return f"{len(self._weights.names)} layers ({shown}, ...)" if shown else "no layer"

    def _error(self, layer: Layer, what: str, expected: str, fix: str) -> NetworkError:
        where = f"{self._file}: layer '{layer.name}' ({layer.type}, {layer.file}:{layer.line})"
        return NetworkError(what, where=where, expected=expected, fix=fix)


def _without_leading_ones(shape: Shape) -> Shape:
    start = next((axis for axis, size in enumerate(shape) if size != 1), len(shape))
    return tuple(shape[start:])
