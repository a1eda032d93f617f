"""Small networks with the sample's input, classes and layers' names, and random weights.

Where a test's subject is not the network they take the sample's place, which takes most of a
second to build or to load.
"""

from __future__ import annotations

from pathlib import Path

from mlubench.conf import CONF
from mlubench.networks.caffe import write_random_caffemodel

_CLASSES_OF_BLOCKS = 500
_PROTOTXT = """
name: "small_digits" input: "data" input_shape { dim: 1 dim: 3 dim: 56 dim: 56 }
layer { name: "conv1/7x7_s2" type: "Convolution" bottom: "data" top: "conv1/7x7_s2"
        convolution_param { num_output: 8 kernel_size: 7 stride: 4 } }
layer { name: "conv1/relu_7x7_s2" type: "ReLU" bottom: "conv1/7x7_s2" top: "conv1/7x7_s2" }
layer { name: "pool1/3x3_s2" type: "Pooling" bottom: "conv1/7x7_s2" top: "pool1/3x3_s2"
        pooling_param { pool: MAX kernel_size: 3 stride: 2 } }
layer { name: "conv2_1_1x1_reduce" type: "Convolution" bottom: "pool1/3x3_s2"
        top: "conv2_1_1x1_reduce" convolution_param { num_output: 8 kernel_size: 1 } }
layer { name: "pool5" type: "Pooling" bottom: "conv2_1_1x1_reduce" top: "pool5"
        pooling_param { pool: AVE global_pooling: true } }
layer { name: "classifier" type: "InnerProduct" bottom: "pool5" top: "classifier"
        inner_product_param { num_output: 10 } }
layer { name: "prob" type: "Softmax" bottom: "classifier" top: "prob" }
"""


def write_small_digits(folder: Path) -> tuple[Path, Path]:
    """Write small_digits.prototxt and small_digits.caffemodel: 56 x 56 images, 10 classes."""
    files = folder / "small_digits.prototxt", folder / "small_digits.caffemodel"
    files[0].write_text(_PROTOTXT)
    write_random_caffemodel(*files, seed=0)
    return files


def write_first_blocks(folder: Path) -> tuple[Path, Path]:
    """Write the sample's first two blocks and its last layers, with random weights.

    So that the last layers take longer than a microsecond, the least time that OpenVINO tells, it
    has many classes.
    """
    text = (CONF / "sample" / "se_resnet50_digits.prototxt").read_text()
    start, *layers = text.split("\nlayer {")
    names = [layer.split('name: "')[1].split('"')[0] for layer in layers]
    first = layers[: names.index("conv2_2/relu") + 1]
    last = layers[names.index("conv5_3/relu") + 1 :]
    last = [layer.replace('"conv5_3"', '"conv2_2"') for layer in last]
    last = [
        layer.replace("num_output: 10 ", f"num_output: {_CLASSES_OF_BLOCKS} ") for layer in last
    ]
    cut = [*first, *last]
    files = folder / "first_blocks.prototxt", folder / "first_blocks.caffemodel"
    files[0].write_text("\nlayer {".join([start, *cut]))
    write_random_caffemodel(*files, seed=0)
    return files
