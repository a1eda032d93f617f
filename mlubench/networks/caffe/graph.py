"""The ONNX graph while it is built, one Caffe layer after another.

Caffe's blobs are overwritten by in-place layers; ONNX tensors are written once. The builder
keeps, for each blob, the tensor that holds it at the moment.

Names. A layer's last node has the layer's name, and so has its output tensor; a tensor that is
an output of the network has the blob's name, which wins where the two differ. Whatever else a
layer needs is named ``<layer>/<role>``, with underscores appended should a layer be called so.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO, Literal, Protocol

import numpy as np
import numpy.typing as npt
from onnx import ModelProto, TensorProto, helper

from mlubench.errors import NetworkError
from mlubench.networks.caffe.prototxt import MAX_COUNT, Layer, Network
from mlubench.networks.caffe.weights import Array

Shape = tuple[int, ...]
Role = Literal["weight", "bias", "mean", "variance", "factor", "scale", "slope"]

BATCH = 0
"""A blob's first dimension: as many images as are given. To ONNX's Reshape, 0 means the same."""

WITHOUT_NODE = "caffe_layers_without_node"
"""The model's metadata key of the layers that do nothing when testing; one name per line."""

_OPSET = 17
_IR_VERSION = 8  # of the release that brought opset 17


@dataclass(frozen=True)
class Blob:
    """What a Caffe blob is at some point of the network.

    Attributes:
        tensor: the ONNX tensor that holds it.
        shape: Caffe's shape, with BATCH in the first place.
    """

    tensor: str
    shape: Shape


class BlobSource(Protocol):
    """Where the weights come from."""

    def take(self, layer: Layer, role: Role, shape: Shape) -> Array:
        """Return the layer's next blob as float32 of that shape."""

    def finish(self, layer: Layer) -> None:
        """Note that the layer is built and wants no more blobs."""


class GraphBuilder:
    """Builds the ONNX model of one network.

    Args:
        network: the network.
        source: of its weights.
        apart: takes the bytes of its constants, one after another, in place of the model.
    """

    def __init__(self, network: Network, source: BlobSource, apart: BinaryIO | None = None) -> None:
        self.network = network
        self.source = source
        self._apart = apart
        self.model = ModelProto(
            ir_version=_IR_VERSION,
            producer_name="mlubench",
            opset_import=[helper.make_opsetid("", _OPSET)],
        )
        self._blobs = {network.input: Blob(network.input, (BATCH, *network.input_shape[1:]))}
        self._names = {layer.name for layer in network.layers}
        self._tensors = {network.input, *network.outputs} | self._names
        self._last_maker = {top: layer.name for layer in network.layers for top in layer.tops}
        self._without_node: list[str] = []
        self._diverted: dict[str, str] = {}  # tensors that could not have their blob's name
        graph = self.model.graph
        graph.name = network.name or network.file.stem
        _describe(graph.input.add(), self._blobs[network.input])

    def context(self, layer: Layer) -> LayerContext:
        """Return what the function of a layer works with."""
        return LayerContext(self, layer, tuple(self._blobs[name] for name in layer.bottoms))

    def finish(self) -> ModelProto:
        """Name the network's outputs and return the model."""
        for name in self.network.outputs:
            blob = self._blobs[name]
            if self._diverted.get(blob.tensor) == name:
                self._rename(blob.tensor, name)
            elif blob.tensor != name:
                self._copy(blob.tensor, name)
            _describe(self.model.graph.output.add(), Blob(name, blob.shape))
        if self._without_node:
            self.model.metadata_props.add(key=WITHOUT_NODE, value="\n".join(self._without_node))
        return self.model

    def _rename(self, tensor: str, name: str) -> None:
        """Give a tensor the output's name: the layers that were to change it have done nothing."""
        graph = self.model.graph
        for node in graph.node:
            for names in (node.input, node.output):
                names[:] = [name if other == tensor else other for other in names]
        kept = [info for info in graph.value_info if info.name != tensor]
        del graph.value_info[:]
        graph.value_info.extend(kept)

    def _copy(self, tensor: str, name: str) -> None:
        """Add a node that does nothing but name an output, for a layer that does nothing."""
        maker = self._last_maker[name]
        if maker in self._without_node:
            self._without_node.remove(maker)
            node = maker
        else:  # the layer has a second output
            node = self.unique_node(f"{maker}/{name}")
        self.add_node("Identity", [tensor], [name], node, {})

    def set_blob(self, layer: Layer, top: str, blob: Blob) -> None:
        """Let a blob be held by that tensor from now on."""
        if not 0 < math.prod(blob.shape[1:]) <= MAX_COUNT:
            raise layer.error(
                f"top '{top}' would have the shape {shown(blob.shape)}", "1 to 2^31-1 numbers"
            )
        self._blobs[top] = blob

    def pass_on(self, layer: Layer, blob: Blob) -> None:
        """Let all tops of a layer that does nothing be what its bottom is."""
        for top in layer.tops:
            self.set_blob(layer, top, blob)
        self._without_node.append(layer.name)

    def output_tensor(self, layer: Layer, top: str) -> str:
        """Return the name of the tensor that a layer's top becomes."""
        if top in self.network.outputs and self._last_maker[top] == layer.name:
            return top
        name = layer.name if len(layer.tops) == 1 else top
        if name == self.network.input or name in self.network.outputs or len(layer.tops) > 1:
            name = self.unique_tensor(f"{layer.name}/{top}")
            self._diverted[name] = top
        return name

    def add_node(
        self,
        op: str,
        inputs: Sequence[str],
        outputs: Sequence[str],
        name: str,
        attributes: dict[str, Any],
    ) -> None:
        """Append a node; attributes are sorted, so that equal networks give equal bytes."""
        node = self.model.graph.node.add(op_type=op, name=name, input=inputs, output=outputs)
        for key in sorted(attributes):
            node.attribute.append(helper.make_attribute(key, attributes[key]))

    def add_constant(self, name: str, array: npt.NDArray[Any], kind: int) -> None:
        """Append an initialiser; its bytes are copied once, into the model or beside it."""
        tensor = self.model.graph.initializer.add(name=name, dims=array.shape, data_type=kind)
        if self._apart is None:
            tensor.raw_data = array.tobytes()
        else:
            self._apart.write(array.tobytes())

    def add_value(self, blob: Blob) -> None:
        """State the shape of an inner tensor."""
        if blob.tensor not in self.network.outputs:
            _describe(self.model.graph.value_info.add(), blob)

    def unique_tensor(self, name: str) -> str:
        """Return a tensor name that nothing has, that name if possible."""
        return _unique(name, self._tensors)

    def unique_node(self, name: str) -> str:
        """Return a node name that nothing has, that name if possible."""
        return _unique(name, self._names)


class LayerContext:
    """What a layer's function reads and writes.

    Attributes:
        layer: what the text says of it.
        bottoms: the layer's bottoms as they are now.
    """

    def __init__(self, builder: GraphBuilder, layer: Layer, bottoms: tuple[Blob, ...]) -> None:
        self._builder = builder
        self.layer = layer
        self.bottoms = bottoms

    @property
    def bottom(self) -> Blob:
        """The first bottom."""
        return self.bottoms[0]

    @property
    def batch(self) -> int:
        """The number of images in the prototxt's input; the ONNX network takes any."""
        return self._builder.network.input_shape[0]

    def blob(self, role: Role, shape: Shape) -> Array:
        """Return the layer's next blob of weights, in Caffe's order."""
        return self._builder.source.take(self.layer, role, shape)

    def constant(self, role: str, array: npt.NDArray[Any]) -> str:
        """Add float32 numbers as ``<layer>/<role>``; return the tensor's name."""
        name = self._builder.unique_tensor(f"{self.layer.name}/{role}")
        self._builder.add_constant(name, array.astype("<f4", copy=False), TensorProto.FLOAT)
        return name

    def integers(self, role: str, values: Sequence[int]) -> str:
        """Add a vector of int64 as ``<layer>/<role>``; return the tensor's name."""
        name = self._builder.unique_tensor(f"{self.layer.name}/{role}")
        self._builder.add_constant(name, np.array(values, "<i8"), TensorProto.INT64)
        return name

    def step(self, role: str, op: str, inputs: Sequence[str], **attributes: Any) -> str:
        """Add a helper node ``<layer>/<role>``; return the name of its output."""
        path = f"{self.layer.name}/{role}"
        output = self._builder.unique_tensor(path)
        self._builder.add_node(op, inputs, [output], self._builder.unique_node(path), attributes)
        return output

    def last(self, op: str, inputs: Sequence[str], *shapes: Shape, **attributes: Any) -> None:
        """Add the layer's last node, which makes its tops, of those shapes."""
        layer, builder = self.layer, self._builder
        outputs = [builder.output_tensor(layer, top) for top in layer.tops]
        builder.add_node(op, inputs, outputs, layer.name, attributes)
        for top, tensor, shape in zip(layer.tops, outputs, shapes, strict=True):
            blob = Blob(tensor, shape)
            builder.set_blob(layer, top, blob)
            builder.add_value(blob)

    def scalar(self, role: str, value: float) -> str:
        """Add one float32 number as ``<layer>/<role>``; return the tensor's name."""
        return self.constant(role, np.array(value, np.float32))

    def reshaped(self, blob: Blob, shape: Shape, role: str) -> str:
        """Return the tensor of a blob in another shape; adds a helper node if they differ."""
        if blob.shape == shape:
            return blob.tensor
        return self.step(role, "Reshape", [blob.tensor, self.integers(f"{role}_shape", shape)])

    def image_shape(self) -> tuple[int, int, int]:
        """Return channels, height and width of the bottom.

        Raises:
            NetworkError: the bottom has not four dimensions.
        """
        if len(self.bottom.shape) != 4:
            raise self.error(f"the bottom has the shape {shown(self.bottom.shape)}", "[N, C, H, W]")
        _, channels, height, width = self.bottom.shape
        return channels, height, width

    def pass_on(self) -> None:
        """Do nothing: every top is the bottom."""
        self._builder.pass_on(self.layer, self.bottom)

    def finish(self) -> None:
        """Check that the layer has used all of its weights."""
        self._builder.source.finish(self.layer)

    def axis(self, value: int, field: str, blob: Blob | None = None) -> int:
        """Return an axis of a blob (of the bottom by default) counted from 0.

        Raises:
            NetworkError: the blob has no such axis, or it is that of the images.
        """
        rank = len((blob or self.bottom).shape)
        axis = value + rank if value < 0 else value
        if not 0 <= axis < rank:
            raise self.error(f"{field} is {value}", f"an axis of a blob of {rank} dimensions")
        if axis == 0:
            raise self.across_images(f"{field} is {value}")
        return axis

    def across_images(self, what: str) -> NetworkError:
        """Return the error for a layer whose result would depend on the other images."""
        return self.error(
            f"{what}, which mixes the images of a batch",
            "each image computed by itself",
            "give a network in which the first dimension is kept",
        )

    def error(self, what: str, expected: str = "", fix: str = "") -> NetworkError:
        """Return an error that names the layer."""
        return self.layer.error(what, expected, fix)


def shown(shape: Shape) -> str:
    """Return a blob's shape for a message, with N for the images."""
    return f"[{', '.join(['N', *map(str, shape[1:])])}]"


def _unique(name: str, taken: set[str]) -> str:
    while name in taken:
        name += "_"
    taken.add(name)
    return name


def _describe(info: Any, blob: Blob) -> None:
    """Fill a ValueInfoProto: float32, the first dimension symbolic."""
    info.name = blob.tensor
    info.type.tensor_type.elem_type = TensorProto.FLOAT
    shape = info.type.tensor_type.shape
    shape.dim.add(dim_param="N")
    for size in blob.shape[1:]:
        shape.dim.add(dim_value=size)
