"""Small networks for tests."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from mlubench.networks.caffe import write_random_caffemodel

SIDE = 16
CLASSES = 10
_OF_IMAGENET = """
name: "small" input: "data" input_shape { dim: 1 dim: 3 dim: 56 dim: 56 }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
        convolution_param { num_output: 4 kernel_size: 7 stride: 4 } }
layer { name: "pool" type: "Pooling" bottom: "conv" top: "pool"
        pooling_param { pool: AVE global_pooling: true } }
layer { name: "fc" type: "InnerProduct" bottom: "pool" top: "fc"
        inner_product_param { num_output: 1000 } }
layer { name: "prob" type: "Softmax" bottom: "fc" top: "prob" }
"""


def write_caffe_network(folder: Path) -> tuple[Path, Path]:
    """Write small.prototxt and small.caffemodel: 56 x 56 images, 1000 classes, random weights."""
    files = folder / "small.prototxt", folder / "small.caffemodel"
    files[0].write_text(_OF_IMAGENET)
    write_random_caffemodel(*files, seed=0)
    return files


def write_small_network(path: Path, seed: int = 0) -> Path:
    """Write a classifier of 16 x 16 images: two convolutions, pooling, product, softmax."""
    rng = np.random.default_rng(seed)
    shapes = {"w1": (8, 3, 3, 3), "w2": (16, 8, 3, 3), "w3": (CLASSES, 16)}
    weights = {
        name: (rng.standard_normal(shape) / np.sqrt(np.prod(shape[1:]))).astype(np.float32)
        for name, shape in shapes.items()
    }
    nodes = [
        helper.make_node("Conv", ["data", "w1"], ["conv1"], "conv1", pads=[1] * 4),
        helper.make_node("Relu", ["conv1"], ["relu1"], "relu1"),
        helper.make_node("Conv", ["relu1", "w2"], ["conv2"], "conv2", strides=[2, 2]),
        helper.make_node("GlobalAveragePool", ["conv2"], ["pool"], "pool"),
        helper.make_node("Flatten", ["pool"], ["flat"], "flat"),
        helper.make_node("Gemm", ["flat", "w3"], ["fc"], "fc", transB=1),
        helper.make_node("Softmax", ["fc"], ["prob"], "prob"),
    ]
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info("data", TensorProto.FLOAT, ["N", 3, SIDE, SIDE])],
        [helper.make_tensor_value_info("prob", TensorProto.FLOAT, ["N", CLASSES])],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(model, path)
    return path


def random_images(count: int, side: int = SIDE, seed: int = 1) -> np.ndarray:
    """Return uint8 [count, side, side, 3]."""
    return np.random.default_rng(seed).integers(0, 256, (count, side, side, 3), np.uint8)
