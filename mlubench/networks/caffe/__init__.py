"""Caffe networks: reading them, importing them to ONNX, writing weights."""

from __future__ import annotations

from mlubench.networks.caffe.importer import import_caffe, with_all_outputs
from mlubench.networks.caffe.random_weights import write_random_caffemodel
from mlubench.networks.caffe.weights import write_caffemodel

__all__ = ["import_caffe", "with_all_outputs", "write_caffemodel", "write_random_caffemodel"]
