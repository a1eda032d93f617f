"""A network given as an ONNX file: whether it can be used as it is."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import onnx
from google.protobuf.message import DecodeError, Message
from onnx import TensorProto, helper

from mlubench.errors import NetworkError
from mlubench.networks.onnx.wire import FileBytes, fields, header, open_again
from mlubench.store import atomic_path

_LARGEST = 1 << 31  # what protobuf reads
_CHANNELS = 3
#: Numbers of fields.
_GRAPH = onnx.ModelProto.DESCRIPTOR.fields_by_name["graph"].number
_INITIALIZER = onnx.GraphProto.DESCRIPTOR.fields_by_name["initializer"].number
_RAW_DATA = onnx.TensorProto.DESCRIPTOR.fields_by_name["raw_data"].number


def read_checked(file: Path, size: tuple[int, int]) -> bytes:
    """Return the bytes of an ONNX file that an evaluation can use.

    It has one input, float32 [N, 3, H, W] with any or a fixed N, one output [N, classes, ...],
    and its weights in it.

    Args:
        file: the ONNX file.
        size: (height, width) that the input is to take, in pixels.

    Raises:
        NetworkError: it cannot be read, is not valid ONNX, or is not of that form.
    """
    data, model = _parsed(file)
    _check_input(model.graph, file, size)
    _check_output(model.graph, file)
    return data


def write_onnx(file: Path, model: onnx.ModelProto, apart: BinaryIO | None = None) -> None:
    """Write a network atomically: the bytes of ``SerializeToString(deterministic=True)``.

    protobuf would hold all of them twice, beside the model. Here one tensor of weights at a time
    is put into its place: fields stand in the order of their numbers, each message behind its tag
    and its length (protobuf.dev, "Encoding").

    Args:
        file: the file.
        model: the network.
        apart: has the ``raw_data`` of all its initialisers, one after another, where these have
            none themselves.

    Raises:
        StoreError: the file cannot be written.
    """
    before, after = _without(model, "graph")
    nodes, others = _without(model.graph, "initializer")
    tensors = model.graph.initializer
    raw = [b"" if apart is None else header(_RAW_DATA, _raw_bytes(tensor)) for tensor in tensors]
    sizes = [
        tensor.ByteSize() + (len(start) + _raw_bytes(tensor) if start else 0)
        for tensor, start in zip(tensors, raw, strict=True)
    ]
    weights = sum(len(header(_INITIALIZER, size)) + size for size in sizes)
    with atomic_path(file) as temporary, temporary.open("wb") as stream:
        stream.write(before + header(_GRAPH, len(nodes) + weights + len(others)) + nodes)
        for tensor, start, size in zip(tensors, raw, sizes, strict=True):
            stream.write(header(_INITIALIZER, size))
            stream.write(tensor.SerializeToString(deterministic=True))
            if apart is not None:  # raw_data is the last field of such a tensor
                stream.write(start + apart.read(_raw_bytes(tensor)))
        stream.write(others + after)


def _raw_bytes(tensor: onnx.TensorProto) -> int:
    size: int = helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize
    for length in tensor.dims:
        size *= length
    return size


def _without(message: Message, name: str) -> tuple[bytes, bytes]:
    """Return the bytes of a message's fields before and after that of a name."""
    number = message.DESCRIPTOR.fields_by_name[name].number
    parts = type(message)(), type(message)()
    for field, value in message.ListFields():
        if field.name == name:
            continue
        part = parts[field.number > number]
        if hasattr(value, "extend"):
            getattr(part, field.name).extend(value)
        elif isinstance(value, Message):
            getattr(part, field.name).CopyFrom(value)
        else:
            setattr(part, field.name, value)
    before, after = (part.SerializeToString(deterministic=True) for part in parts)
    return before, after


def read_onnx(file: Path) -> onnx.ModelProto:
    """Return the network of an ONNX file that is valid and holds its weights.

    Raises:
        NetworkError: it cannot be read or is not valid ONNX.
    """
    return _parsed(file)[1]


def _parsed(file: Path) -> tuple[bytes, onnx.ModelProto]:
    data = _read(file)
    model = onnx.ModelProto()
    try:
        model.ParseFromString(data)
        if any(tensor.external_data for tensor in _tensors(model.graph)):
            raise _wrong(
                file,
                "its weights lie in other files",
                "an ONNX file that holds its weights",
                "write it anew: onnx.save(onnx.load(FILE), NEW)",
            )
        onnx.checker.check_model(data)
    # UnicodeDecodeError where the checker would quote a name that is no text.
    except (DecodeError, onnx.checker.ValidationError, UnicodeDecodeError) as error:
        reason = str(error).strip().splitlines() or ["it is empty"]
        raise _wrong(
            file, f"is not valid ONNX: {reason[0]}", "an ONNX network", "export it again"
        ) from error
    return data, model


def _tensors(graph: onnx.GraphProto) -> Iterator[onnx.TensorProto]:
    """Give all constants: initialisers, and those in attributes of nodes, of inner graphs too."""
    yield from graph.initializer
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("t"):
                yield attribute.t
            yield from attribute.tensors
            for inner in (*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs):
                yield from _tensors(inner)


def classes_of(file: Path) -> int | None:
    """Return how many scores an image gets from a checked ONNX file; None where that is open."""
    _, dims = _form(_without_weights(file).output[0])
    if dims[1] is None:  # the file does not say, but its layers may
        _, dims = _form(onnx.shape_inference.infer_shapes(onnx.load(file)).graph.output[0])
    return dims[1] if len(dims) > 1 else None


def _without_weights(file: Path) -> onnx.GraphProto:
    """Return the graph of a checked ONNX file without its weights, which are passed over."""
    with file.open("rb") as stream:
        data = FileBytes(stream)
        parts = [
            data.part(field.start, field.end)
            for graph in fields(data, 0, data.size)
            if graph.number == _GRAPH
            for field in fields(data, graph.begin, graph.end)
            if field.number != _INITIALIZER
        ]
    found = onnx.GraphProto()
    found.ParseFromString(b"".join(parts))
    return found


def _read(file: Path) -> bytes:
    try:
        if file.stat().st_size >= _LARGEST:
            raise _wrong(file, "has 2 GB or more", "less, which is all that the format can hold")
        with open_again(file) as stream:
            return stream.read()
    except OSError as error:
        raise _wrong(
            file, f"cannot be read: {error.strerror}", "an ONNX network", "check the path"
        ) from error


def _check_input(graph: onnx.GraphProto, file: Path, size: tuple[int, int]) -> None:
    weights = {tensor.name for tensor in graph.initializer}
    inputs = [value for value in graph.input if value.name not in weights]
    if len(inputs) != 1:
        names = ", ".join(str(value.name) for value in inputs) or "none"
        raise _wrong(file, f"has {len(inputs)} inputs ({names})", "one input of images")
    kind, dims = _form(inputs[0])
    expected = (_CHANNELS, *size)
    fits = len(dims) == 4 and all(
        there in (None, wanted) for there, wanted in zip(dims[1:], expected, strict=True)
    )
    if kind != TensorProto.FLOAT or not fits:
        raise _wrong(
            file,
            f"input '{inputs[0].name}' is {_shown(kind, dims)}",
            f"float32 [N, {', '.join(map(str, expected))}] (images, channels, height, width)",
            "export it with such an input, or check --input_size",
        )


def _check_output(graph: onnx.GraphProto, file: Path) -> None:
    if len(graph.output) != 1:
        names = ", ".join(str(value.name) for value in graph.output) or "none"
        raise _wrong(
            file,
            f"has {len(graph.output)} outputs ({names})",
            "one output of scores",
            "export it with the scores alone",
        )
    kind, dims = _form(graph.output[0])
    if kind != TensorProto.FLOAT or len(dims) < 2 or any(dim not in (1, None) for dim in dims[2:]):
        raise _wrong(
            file,
            f"output '{graph.output[0].name}' is {_shown(kind, dims)}",
            "float32 [N, classes]",
            "export it with the scores of the classes as its output",
        )


def _form(value: onnx.ValueInfoProto) -> tuple[int, list[int | None]]:
    """Return a tensor's type and dimensions, None for one that is open."""
    tensor = value.type.tensor_type
    sizes = [dim.dim_value if dim.HasField("dim_value") else None for dim in tensor.shape.dim]
    return tensor.elem_type, sizes


def _shown(kind: int, dims: list[int | None]) -> str:
    name = TensorProto.DataType.Name(kind) if kind in TensorProto.DataType.values() else str(kind)
    return f"{name.lower()} [{', '.join('?' if dim is None else str(dim) for dim in dims)}]"


def _wrong(file: Path, what: str, expected: str, fix: str = "give another file") -> NetworkError:
    return NetworkError(what, where=str(file), expected=expected, fix=fix)
