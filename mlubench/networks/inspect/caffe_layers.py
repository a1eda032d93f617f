"""A network as a list of its layers: shapes, parameters, operations; of Caffe's files here."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.table import Table
from rich.text import Text

from mlubench.networks.caffe import import_caffe
from mlubench.networks.caffe.graph import GraphBuilder, LayerContext, Role, Shape, shown
from mlubench.networks.caffe.layers import LAYER_TYPES, build_layer
from mlubench.networks.caffe.prototxt import Layer, Network, read_network

_LEARNT: tuple[Role, ...] = ("weight", "bias", "scale", "slope")


@dataclass(frozen=True)
class LayerRow:
    """One layer.

    Attributes:
        name: as in the network's file.
        type: Caffe's, or ONNX's operation.
        shapes: of its outputs, with N for the images.
        parameters: numbers that were learnt; the statistics of BatchNorm (mean, variance and
            their factor) are none, as the papers count.
        macs: multiplications with an addition, for one image, of convolutions, deconvolutions
            and inner products; those of other layers are not counted, as the papers do. None
            where the network's file does not tell.
    """

    name: str
    type: str
    shapes: tuple[str, ...]
    parameters: int
    macs: int | None


def layer_rows(prototxt: Path, caffemodel: Path | None = None) -> tuple[LayerRow, ...]:
    """Return the layers of a Caffe network; :mod:`.onnx_layers` has those of an ONNX file.

    Args:
        prototxt: the network's text, which is all that the figures depend on.
        caffemodel: weights; if given, they are checked to fit.

    Raises:
        NetworkError: a file is wrong; names file and layer.
    """
    network = read_network(prototxt, LAYER_TYPES)
    if caffemodel is not None:
        import_caffe(prototxt, caffemodel)
    counts = _Counts()
    builder = _Shapes(network, counts)
    rows = []
    for layer in network.layers:
        context = builder.context(layer)
        build_layer(context)
        rows.append(
            LayerRow(
                name=layer.name,
                type=layer.type,
                shapes=tuple(shown(builder.shapes[top]) for top in layer.tops),
                parameters=counts.parameters.get(layer.name, 0),
                macs=_macs(context, counts.weights.get(layer.name, 0), builder.shapes),
            )
        )
    return tuple(rows)


def print_layers(rows: Sequence[LayerRow], console: Console) -> None:
    """Print the layers as a table with totals."""
    parameters = sum(row.parameters for row in rows)
    counted = [row.macs for row in rows if row.macs is not None]
    macs = sum(counted) if len(counted) == len(rows) else None
    table = Table(show_footer=True, box=None, pad_edge=False, header_style="", footer_style="bold")
    table.add_column("layer", f"{len(rows)} layers", overflow="fold")
    table.add_column("type", overflow="fold")
    table.add_column("output", no_wrap=True)
    table.add_column("parameters", f"{parameters:,}", justify="right", no_wrap=True)
    table.add_column("MACs", _count(macs) or "0", justify="right", no_wrap=True)
    for row in rows:
        shapes = "\n".join(row.shapes)
        table.add_row(
            Text(row.name), row.type, Text(shapes), _count(row.parameters), _count(row.macs)
        )
    console.print(table)


def _count(number: int | None) -> str:
    """Write a number: nothing for none, a question mark for one that is not known."""
    if number is None:
        return "?"
    return f"{number:,}" if number else ""


def _macs(context: LayerContext, weights: int, shapes: dict[str, Shape]) -> int:
    """Return how often a layer multiplies and adds for one image.

    Every weight is used once at each place of the output; of a deconvolution, of the input.
    """
    match context.layer.type:
        case "Convolution":
            return weights * math.prod(shapes[context.layer.tops[0]][2:])
        case "Deconvolution":
            return weights * math.prod(context.bottom.shape[2:])
        case "InnerProduct":
            return weights * math.prod(shapes[context.layer.tops[0]][1:-1])
        case _:
            return 0


class _Counts:
    """Blobs without numbers: only their sizes are noted."""

    def __init__(self) -> None:
        self.parameters: dict[str, int] = {}
        self.weights: dict[str, int] = {}

    def take(self, layer: Layer, role: Role, shape: Shape) -> npt.NDArray[np.float32]:
        """Note a blob and return one of that shape, which takes no memory."""
        size = math.prod(shape)
        if role in _LEARNT:
            self.parameters[layer.name] = self.parameters.get(layer.name, 0) + size
        if role == "weight":
            self.weights[layer.name] = size
        return np.broadcast_to(np.float32(1), shape)

    def finish(self, layer: Layer) -> None:
        """Nothing is to be checked."""


class _Shapes(GraphBuilder):
    """A graph of which only the shapes are kept."""

    def __init__(self, network: Network, source: _Counts) -> None:
        super().__init__(network, source)
        self.shapes: dict[str, Shape] = {}

    def set_blob(self, layer: Layer, top: str, blob: Any) -> None:
        """Note the shape of a top."""
        super().set_blob(layer, top, blob)
        self.shapes[top] = blob.shape

    def add_constant(self, name: str, array: npt.NDArray[Any], kind: int) -> None:
        """Leave the weights out: those of a VGG are half a gigabyte."""
