"""The text of a network (``*.prototxt``) as a checked list of layers.

Reads both formats (``layer``, and ``layers`` of the V1 format), all three ways to declare the
input, and keeps the layers that Caffe keeps for the TEST phase.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from google.protobuf import text_format

from mlubench.errors import NetworkError
from mlubench.networks.caffe import caffe_pb2
from mlubench.networks.caffe.outline import LayerBlock, layer_blocks

MAX_COUNT = 2**31 - 1
"""The most numbers that Caffe allows in a blob."""

# The largest definition published is a tenth of this.
_MAX_BYTES = 1 << 24
_PARSER_PREFIX = re.compile(r"^\d+:\d+ : (?:'.*': )?")
_NOT_A_FIELD = "has no field named"
_DEPLOY = "give the deploy.prototxt that belongs to the weights"
_TRAINING_INPUTS = frozenset(
    ("Data", "ImageData", "HDF5Data", "MemoryData", "WindowData", "DummyData", "Python")
)
# V1 types whose new name is not the old one in camel case.
_V1_TYPES = {
    "ABSVAL": "AbsVal",
    "ARGMAX": "ArgMax",
    "BNLL": "BNLL",
    "HDF5_DATA": "HDF5Data",
    "HDF5_OUTPUT": "HDF5Output",
    "LRN": "LRN",
    "MVN": "MVN",
    "RELU": "ReLU",
    "SOFTMAX_LOSS": "SoftmaxWithLoss",
    "TANH": "TanH",
}


@dataclass(frozen=True)
class Layer:
    """One layer of the TEST phase, in the new format whatever the file's is.

    Attributes:
        name: unique in the network.
        type: Caffe's type, such as ``Convolution``.
        bottoms: the blobs it reads.
        tops: the blobs it writes; an in-place layer writes what it reads.
        parameters: everything the text says of it.
        file: the prototxt.
        line: where the layer begins.
    """

    name: str
    type: str
    bottoms: tuple[str, ...]
    tops: tuple[str, ...]
    parameters: caffe_pb2.LayerParameter
    file: Path
    line: int

    @property
    def where(self) -> str:
        """File, line, name and type, for messages."""
        return f"{self.file}:{self.line}: layer '{self.name}' ({self.type})"

    def error(self, what: str, expected: str = "", fix: str = "") -> NetworkError:
        """Return an error that names this layer."""
        return NetworkError(what, where=self.where, expected=expected, fix=fix)


@dataclass(frozen=True)
class Network:
    """A network as its prototxt defines it for the TEST phase.

    Attributes:
        name: as the text says; may be empty.
        file: the prototxt.
        input: the name of its one input blob.
        input_shape: (N, C, H, W) as the text says.
        layers: in the order of the text, without layers of type Input.
        outputs: the blobs that no layer reads, in the order in which they are made.
    """

    name: str
    file: Path
    input: str
    input_shape: tuple[int, int, int, int]
    layers: tuple[Layer, ...]
    outputs: tuple[str, ...]


def read_network(file: Path, known_types: Collection[str]) -> Network:
    """Read a prototxt.

    Args:
        file: the prototxt.
        known_types: the layer types that can be computed.

    Raises:
        NetworkError: the file is absent or no prototxt; a field or layer type is unknown; the
            layers do not fit together; there is not exactly one input of four dimensions.
    """
    text = _read(file)
    text, blocks = _without_mixed_words(text, layer_blocks(text, file))
    message = _parse(text, file, blocks, known_types)
    layers = [layer for layer in _layers(message, file, blocks) if _included(layer, message.state)]
    computed = [layer for layer in layers if layer.type != "Input"]
    name, shape = _input(message, file, layers)
    _check_types(computed, known_types)
    _check_names(computed)
    outputs = _wire(name, computed)
    return Network(message.name, file, name, shape, tuple(computed), outputs)


def _read(file: Path) -> str:
    try:
        with file.open("rb") as stream:
            data = stream.read(_MAX_BYTES + 1)
    except OSError as error:
        raise NetworkError(
            f"the network definition cannot be read: {error.strerror}",
            where=str(file),
            expected="a Caffe network definition (prototxt)",
            fix="check the path",
        ) from error
    if len(data) > _MAX_BYTES or any(byte < 9 or 13 < byte < 32 for byte in data[:4096]):
        raise NetworkError(
            "the file is binary; the weights given in place of the network definition?",
            where=str(file),
            expected="a Caffe network definition (prototxt), which is text",
            fix="give the .prototxt as the network definition and the .caffemodel as the weights",
        )
    # Old files have comments in whatever encoding their author used.
    return data.decode("utf-8-sig", errors="replace")


def _without_mixed_words(
    text: str, blocks: Sequence[LayerBlock]
) -> tuple[str, Sequence[LayerBlock]]:
    """Return text and blocks with ``layers { type: "Softmax" }`` said as ``layer``.

    A string for a type is the new format; networks that were edited by hand mix the two words.
    """
    pieces, end, changed = [], 0, []
    for block in blocks:
        if block.keyword == "layers" and block.quoted_type:
            pieces += [text[end : block.offset], "layer "]  # as long as it was: columns stay
            end = block.offset + len("layers")
            block = replace(block, keyword="layer")
        changed.append(block)
    return "".join((*pieces, text[end:])), changed


def _parse(
    text: str, file: Path, blocks: Sequence[LayerBlock], known_types: Collection[str]
) -> caffe_pb2.NetParameter:
    message = caffe_pb2.NetParameter()
    try:
        text_format.Parse(text, message)
    except text_format.ParseError as error:
        raise _parse_error(error, file, blocks, known_types) from error
    kinds = {block.keyword: block.first_line for block in blocks}
    if len(kinds) > 1:
        raise NetworkError(
            "the network mixes the formats `layer` and `layers`",
            where=f"{file}:{max(kinds.values())}",
            expected="one format",
            fix='write all of it as `layer` with types such as "Convolution"',
        )
    return message


def _parse_error(
    error: text_format.ParseError,
    file: Path,
    blocks: Sequence[LayerBlock],
    known_types: Collection[str],
) -> NetworkError:
    line = error.GetLine() or 1
    what = _PARSER_PREFIX.sub("", str(error)).replace("mlubench.networks.caffe.", "")
    block = next((block for block in blocks if block.holds(line)), None)
    if block is None:
        return NetworkError(
            f"not the text of a Caffe network: {what}",
            where=f"{file}:{line}",
            expected="a Caffe network definition (prototxt)",
            fix=_DEPLOY,
        )
    where = f"{file}:{line}: layer '{block.name}' ({block.type})"
    if _NOT_A_FIELD not in what:
        return NetworkError(what, where=where, fix="mend the line")
    if block.quoted_type and block.type not in known_types and block.type != "Input":
        return _unknown_type(where, block.type, known_types)
    return NetworkError(
        f"unknown field: {what}",
        where=where,
        expected="fields of BVLC Caffe",
        fix="remove the field if it does not change what the layer computes",
    )


def _layers(
    message: caffe_pb2.NetParameter, file: Path, blocks: Sequence[LayerBlock]
) -> Iterator[Layer]:
    """Give all layers of the text in the new format."""
    for block, entry in zip(blocks, message.layer or message.layers, strict=True):
        kind = entry.type
        if isinstance(entry, caffe_pb2.V1LayerParameter):
            kind, entry = _upgraded(entry)
        bottoms, tops = tuple(entry.bottom), tuple(entry.top)
        yield Layer(entry.name, kind, bottoms, tops, entry, file, block.first_line)


def _upgraded(old: caffe_pb2.V1LayerParameter) -> tuple[str, caffe_pb2.LayerParameter]:
    """Return a V1 layer's type and all else of it in the new format, as Caffe upgrades it."""
    word = caffe_pb2.V1LayerParameter.LayerType.Name(old.type)
    new = caffe_pb2.LayerParameter(name=old.name, bottom=old.bottom, top=old.top)
    for field, value in old.ListFields():
        if field.name in ("include", "exclude"):
            getattr(new, field.name).extend(value)
        elif field.name.endswith("_param"):
            getattr(new, field.name).CopyFrom(value)
    return _V1_TYPES.get(word) or word.title().replace("_", ""), new


def _included(layer: Layer, state: Any) -> bool:
    """Tell whether Caffe keeps the layer for the TEST phase at the state's level and stages."""
    rules = layer.parameters
    if rules.include and rules.exclude:
        raise layer.error("the layer has include and exclude rules", "either, as Caffe wants it")
    if rules.include:
        return any(_meets(rule, state) for rule in rules.include)
    return not any(_meets(rule, state) for rule in rules.exclude)


def _meets(rule: Any, state: Any) -> bool:
    stages = set(state.stage)
    return (
        (not rule.HasField("phase") or rule.phase == caffe_pb2.TEST)
        and (not rule.HasField("min_level") or state.level >= rule.min_level)
        and (not rule.HasField("max_level") or state.level <= rule.max_level)
        and stages.issuperset(rule.stage)
        and stages.isdisjoint(rule.not_stage)
    )


def _input(
    message: caffe_pb2.NetParameter, file: Path, layers: Sequence[Layer]
) -> tuple[str, tuple[int, int, int, int]]:
    found = [*_declared_inputs(message, file), *_input_layers(layers)]
    if len(found) != 1:
        names = ", ".join(name for name, _ in found) or "none"
        data = [layer for layer in layers if layer.type in _TRAINING_INPUTS]
        where = data[0].where if data and not found else str(file)
        raise NetworkError(
            f"the network has {len(found)} inputs ({names})",
            where=where,
            expected="one input of images, by `input` or a layer of type Input",
            fix=_DEPLOY,
        )
    name, dims = found[0]
    if len(dims) != 4 or min(dims) < 1 or math.prod(dims) > MAX_COUNT:
        raise NetworkError(
            f"input '{name}' has the shape {list(dims)}",
            where=str(file),
            expected="four dimensions (images, channels, height, width), each at least 1, "
            "and less than 2^31 numbers",
            fix=_DEPLOY,
        )
    return name, (dims[0], dims[1], dims[2], dims[3])


def _declared_inputs(
    message: caffe_pb2.NetParameter, file: Path
) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Give the inputs that ``input`` names, with ``input_shape`` or four ``input_dim`` each."""
    shapes = [tuple(shape.dim) for shape in message.input_shape]
    if message.input_dim:
        numbers = tuple(message.input_dim)
        shapes += [numbers[start : start + 4] for start in range(0, len(numbers), 4)]
    if len(shapes) != len(message.input):
        raise NetworkError(
            f"the network names {len(message.input)} inputs and gives {len(shapes)} shapes",
            where=str(file),
            expected="one input_shape, or four input_dim, for each input",
            fix=_DEPLOY,
        )
    yield from zip(message.input, shapes, strict=True)


def _input_layers(layers: Sequence[Layer]) -> Iterator[tuple[str, tuple[int, ...]]]:
    for layer in layers:
        if layer.type != "Input":
            continue
        shapes = [tuple(shape.dim) for shape in layer.parameters.input_param.shape]
        if len(shapes) == 1:  # Caffe takes one shape for all tops
            shapes *= len(layer.tops)
        if len(shapes) != len(layer.tops):
            raise layer.error(
                f"{len(layer.tops)} tops and {len(shapes)} shapes", "one shape for each top"
            )
        yield from zip(layer.tops, shapes, strict=True)


def _check_types(layers: Sequence[Layer], known_types: Collection[str]) -> None:
    for layer in layers:
        if layer.type not in known_types:
            raise _unknown_type(layer.where, layer.type, known_types)


def _unknown_type(where: str, kind: str, known_types: Collection[str]) -> NetworkError:
    return NetworkError(
        f"layers of type '{kind}' are unknown",
        where=where,
        expected=f"one of {', '.join(sorted(known_types))}",
        fix="give the deploy.prototxt, without layers for training; another type of layer is one "
        "function in mlubench/networks/caffe/layers",
    )


def _check_names(layers: Sequence[Layer]) -> None:
    lines: dict[str, int] = {}
    for layer in layers:
        if not layer.name:
            raise layer.error("the layer has no name", "a name, by which its weights are found")
        if layer.name in lines:
            raise layer.error(
                f"a layer of this name stands in line {lines[layer.name]} already",
                "names that differ, for weights are found by them",
                "rename one of the two",
            )
        lines[layer.name] = layer.line


def _wire(input_name: str, layers: Sequence[Layer]) -> tuple[str, ...]:
    """Check that every blob is made once, before it is read; return those that nothing reads."""
    unread = {input_name: None}
    made = {input_name: "the input"}
    for layer in layers:
        for bottom in layer.bottoms:
            if bottom not in made:
                raise _unknown_bottom(layer, bottom, layers)
            unread.pop(bottom, None)
        for top in layer.tops:
            if top in made and top not in layer.bottoms:
                raise layer.error(
                    f"top '{top}' is made by {made[top]} already",
                    "each blob made by one layer, or changed in place",
                    "rename one of the two tops",
                )
            made[top] = f"layer '{layer.name}'"
            unread[top] = None
    return tuple(unread)


def _unknown_bottom(layer: Layer, bottom: str, layers: Sequence[Layer]) -> NetworkError:
    later = next((other for other in layers if bottom in other.tops), None)
    if later is None:
        what = f"bottom '{bottom}' is made by no layer"
    else:
        what = f"bottom '{bottom}' is made by layer '{later.name}' (line {later.line}) only later"
    return layer.error(
        what, "a blob that the input or a layer above makes", "mend the name or the order"
    )
