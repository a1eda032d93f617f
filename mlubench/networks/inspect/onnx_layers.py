"""An ONNX network as a list of its operations: shapes, parameters, operations for one image.

Shapes are those of :func:`onnx.shape_inference.infer_shapes`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path

import onnx
from onnx import TensorProto

from mlubench.errors import ConfigError, NetworkError
from mlubench.networks.inspect.caffe_layers import LayerRow
from mlubench.networks.onnx.file import read_onnx

Dims = tuple[int | None, ...]

#: Of these operations the inputs from that place on are statistics or settings, not learnt.
_NOT_LEARNT_FROM = {
    "BatchNormalization": 3,
    "Clip": 1,
    "DequantizeLinear": 1,
    "Dropout": 1,
    "Pad": 1,
    "QuantizeLinear": 1,
    "Resize": 1,
    "Upsample": 1,
}
_WEIGHTS = {
    TensorProto.FLOAT,
    TensorProto.FLOAT16,
    TensorProto.BFLOAT16,
    TensorProto.DOUBLE,
    TensorProto.INT8,
    TensorProto.UINT8,
}
_IMAGE_AXES = 4


def onnx_rows(file: Path, input_size: int | None = None) -> tuple[LayerRow, ...]:
    """Return the operations of a network, constants left out, as :func:`layer_rows` does.

    Parameters are the numbers in weights of one axis or more, counted where they are first used,
    without BatchNormalization's mean and variance. MACs are those of Conv, ConvTranspose, Gemm
    and MatMul; None where a shape that they hang on is not known.

    Args:
        file: the ONNX file.
        input_size: height and width of its input, in pixels, where the file leaves them open.

    Raises:
        ConfigError: the size is left open and not given, or given and not left open.
        NetworkError: the file is wrong.
    """
    model = read_onnx(file)
    batch = _close(model.graph, file, input_size)
    try:
        graph = onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True).graph
    except onnx.shape_inference.InferenceError as error:
        raise NetworkError(
            f"its shapes do not fit: {str(error).strip().splitlines()[-1]}",
            where=str(file),
            expected="an ONNX network whose operations take what they are given",
            fix="export it again, or check --input_size",
        ) from error
    shapes = dict(_shapes(graph))
    weights = _weights(graph)
    rows = []
    for node in graph.node:
        if node.op_type != "Constant":
            macs = _macs(node, shapes)
            rows.append(
                LayerRow(
                    name=node.name or node.output[0],
                    type=node.op_type,
                    shapes=tuple(
                        _shown(shapes.get(name, ()), batch) for name in node.output if name
                    ),
                    parameters=_parameters(node, weights),
                    macs=macs if macs is None else macs // (batch or 1),
                )
            )
    return tuple(rows)


def _close(graph: onnx.GraphProto, file: Path, input_size: int | None) -> int | None:
    """Close the inputs' open dimensions: one image of that size; return a batch that was fixed."""
    inside = {tensor.name for tensor in graph.initializer}
    batch, used = None, False
    for value in graph.input:
        if value.name in inside:
            continue
        dims = value.type.tensor_type.shape.dim
        for place, dim in enumerate(dims):
            if dim.HasField("dim_value"):
                batch = dim.dim_value if place == 0 else batch
            elif place == 0:
                dim.dim_value = 1
            elif len(dims) == _IMAGE_AXES and place > 1:
                if input_size is None:
                    raise ConfigError(
                        f"the file leaves the size of its input '{value.name}' open",
                        where="--input_size",
                        expected="height and width of the images, in pixels",
                        fix="give the size that the network is to be looked at with",
                    )
                dim.dim_value, used = input_size, True
    if input_size is not None and not used:
        raise ConfigError(
            f"the size of the input is fixed in {file}",
            where=f"--input_size {input_size}",
            expected="no size, or a file that leaves it open",
            fix="leave --input_size out",
        )
    return batch


def _shapes(graph: onnx.GraphProto) -> Iterator[tuple[str, Dims]]:
    """Give what is known of the shape of each tensor by its name."""
    for tensor in graph.initializer:
        yield tensor.name, tuple(tensor.dims)
    for value in (*graph.input, *graph.value_info, *graph.output):
        dims = value.type.tensor_type.shape.dim
        yield value.name, tuple(d.dim_value if d.HasField("dim_value") else None for d in dims)


def _weights(graph: onnx.GraphProto) -> dict[str, int]:
    """Return how many numbers each weight has, by its name."""
    constants = {
        node.output[0]: attribute.t
        for node in graph.node
        if node.op_type == "Constant"
        for attribute in node.attribute
        if attribute.name == "value"
    }
    named = {tensor.name: tensor for tensor in graph.initializer} | constants
    return {
        name: math.prod(tensor.dims)
        for name, tensor in named.items()
        if tensor.dims and tensor.data_type in _WEIGHTS
    }


def _parameters(node: onnx.NodeProto, weights: dict[str, int]) -> int:
    """Take a node's weights out of those that are not counted yet, and return how many numbers."""
    learnt = node.input[: _NOT_LEARNT_FROM.get(node.op_type)]
    return sum(weights.pop(name, 0) for name in learnt)


def _macs(node: onnx.NodeProto, shapes: Mapping[str, Dims]) -> int | None:
    """Return how often a node multiplies and adds for a batch: ONNX's definitions of the four."""
    if node.op_type not in ("Conv", "ConvTranspose", "Gemm", "MatMul"):
        return 0
    first, second = (shapes.get(name, ()) for name in node.input[:2])
    out = shapes.get(node.output[0], ())
    if not (first and second and out):
        return None
    match node.op_type:
        case "Conv":  # each output is a sum over the kernel of a filter
            factors = [*out, *second[1:]]
        case "ConvTranspose":  # each input is spread over the kernel
            factors = [*first, *second[1:]]
        case "Gemm":
            across = any(a.name == "transA" and a.i for a in node.attribute)
            factors = [*out, first[0] if across else first[1]]
        case _:
            factors = [*out, first[-1]]
    known = [factor for factor in factors if factor is not None]
    return math.prod(known) if len(known) == len(factors) else None


def _shown(dims: Dims, batch: int | None) -> str:
    """Write a shape; the batch of a network that takes any is N."""
    texts = ["?" if dim is None else str(dim) for dim in dims]
    if batch is None and len(dims) > 1 and dims[0] == 1:
        texts[0] = "N"
    return f"[{', '.join(texts)}]"
