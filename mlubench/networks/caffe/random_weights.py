"""Random weights for a network whose own are not at hand: to time it, to test with it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mlubench.networks.caffe import caffe_pb2
from mlubench.networks.caffe.graph import Role, Shape
from mlubench.networks.caffe.importer import build_graph
from mlubench.networks.caffe.layers import LAYER_TYPES
from mlubench.networks.caffe.prototxt import Layer, Network, read_network
from mlubench.networks.caffe.weights import Array, write_caffemodel

_SAMPLES = 4096
# Of pixels from 0 to 255 with their mean subtracted.
_PIXEL_DEVIATION = 70


def write_random_caffemodel(prototxt: Path, path: Path, seed: int) -> None:
    """Write random weights for a network; the same seed gives the same bytes.

    Convolutions and inner products get normal weights, scaled so that their output has about
    unit variance (He et al. 2015, with the mean square of what the layer reads); batch
    statistics are about those that the network would have. So activations keep their size
    through any number of layers.

    Args:
        prototxt: the network's definition.
        path: the caffemodel to write.
        seed: of NumPy's PCG64.

    Raises:
        NetworkError: the prototxt cannot be used.
        StoreError: the file cannot be written.
    """
    network = read_network(prototxt, LAYER_TYPES)
    source = _RandomBlobs(network, seed)
    build_graph(network, source)
    layers = {
        layer.name: (layer.type, source.blobs.get(layer.name, [])) for layer in network.layers
    }
    write_caffemodel(path, network.name, layers)


class _RandomBlobs:
    """Draws each blob when a layer asks for it, and keeps it.

    How large the numbers are that a layer reads is simulated: of each Caffe blob a sample is
    followed through the network, as if all of its numbers were alike and independent.
    """

    def __init__(self, network: Network, seed: int) -> None:
        self.blobs: dict[str, list[Array]] = {}
        self._random = np.random.default_rng(seed)
        pixels = self._random.standard_normal(_SAMPLES, np.float32) * np.float32(_PIXEL_DEVIATION)
        self._samples = {network.input: pixels}

    def take(self, layer: Layer, role: Role, shape: Shape) -> Array:
        """Draw a blob."""
        blob = self._draw(layer, role, shape)
        self.blobs.setdefault(layer.name, []).append(blob)
        return blob

    def finish(self, layer: Layer) -> None:
        """Note what the layer's output is like, for those that read it."""
        bottoms = [self._samples[bottom] for bottom in layer.bottoms]
        sample = np.asarray(_response(layer, bottoms, self._random), np.float32)
        self._samples.update(dict.fromkeys(layer.tops, sample))

    def _draw(self, layer: Layer, role: Role, shape: Shape) -> Array:
        sample = self._samples[layer.bottoms[0]]
        normal = self._random.standard_normal(shape, np.float32)
        match role:
            case "weight":
                power = _fan_in(layer, shape) * float(np.square(sample).mean())
                return normal * _rounded(1 / math.sqrt(power or 1))
            case "bias":
                return normal * np.float32(0.1)
            case "mean":
                return _rounded(sample.mean()) + normal * _rounded(sample.std() / 10)
            case "variance":
                spread = np.float32(1) + self._random.random(shape, np.float32) / np.float32(4)
                return spread * _rounded(sample.var() or 1)
            case "scale":
                return np.float32(1) + normal * np.float32(0.1)
            case "slope":
                return np.float32(0.25) + normal * np.float32(0.05)
            case "factor":
                return np.ones(shape, np.float32)


def _rounded(value: float) -> np.float32:
    """Round to three digits: the last bits of a mean differ between processors."""
    return np.float32(f"{value:.3g}")


def _fan_in(layer: Layer, shape: Shape) -> int:
    """Return how many numbers of the bottom go into one of the top."""
    if layer.type == "InnerProduct" and layer.parameters.inner_product_param.transpose:
        return shape[0]
    return math.prod(shape[1:])


def _response(layer: Layer, bottoms: Sequence[Array], random: np.random.Generator) -> Any:
    """Return a sample of a layer's output, given samples of its bottoms.

    It need not be exact; a type that is not named here passes its bottom on.
    """
    first = bottoms[0]
    match layer.type:
        case "Convolution" | "Deconvolution" | "InnerProduct":
            return random.standard_normal(_SAMPLES, np.float32)
        case "BatchNorm":
            deviation = first.std()
            return (first - first.mean()) / (deviation or np.float32(1))
        case "ReLU":
            return np.maximum(first, 0)
        case "Sigmoid":
            from scipy.special import expit  # takes half a second, which few runs need

            return expit(first)
        case "Eltwise":
            return np.sum(bottoms, axis=0)
        case "Axpy":
            return bottoms[0] * bottoms[1] + bottoms[2]
        case "Concat":
            return random.choice(np.concatenate(bottoms), _SAMPLES, replace=False)
        case "Pooling":
            windows = [np.roll(first, shift) for shift in range(4)]
            if layer.parameters.pooling_param.pool == caffe_pb2.PoolingParameter.MAX:
                return np.max(windows, axis=0)
            return np.mean(windows, axis=0)
        case _:
            return first
