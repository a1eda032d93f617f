"""Caffe's layers, each as one function that adds it to an ONNX graph.

One more layer is one function decorated with ``layer_type`` in one of these modules, its
parameters in ``caffe.proto``, and its test.
"""

from __future__ import annotations

from mlubench.networks.caffe.layers import (
    activation,
    arithmetic,
    linear,
    normalisation,
    pooling,
    reshaping,
)
from mlubench.networks.caffe.layers.registry import LAYER_TYPES, build_layer

__all__ = [
    "LAYER_TYPES",
    "activation",
    "arithmetic",
    "build_layer",
    "linear",
    "normalisation",
    "pooling",
    "reshaping",
]
