"""The layers of the embedded sample network, and the prototxt that says them.

The network is SE-ResNet-50 (Hu et al., "Squeeze-and-Excitation Networks", CVPR 2018; stages
of 3, 4, 6 and 3 blocks) with the layer names and types of the authors' Caffe definition, at an
eighth of its width, for images of 56 x 56 pixels in ten classes. A 56 x 56 input leaves a
2 x 2 map before ``pool5``, which is therefore a global pooling here.

Standard library only: what reads the table decides how to run it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

NETWORK_NAME = "SE-ResNet-50-digits"
INPUT_CHANNELS = 3
INPUT_SIDE = 56
CLASSES = 10

#: Of B, G and R; what is subtracted from the pixels.
MEANS = (104.0, 117.0, 123.0)

#: The value of a layer's setting: a number, a switch, or the bare word of an enumeration.
Setting = int | bool | str

_CONV1_WIDTH = 8
_SE_REDUCTION = 16
_PARAMETER_FIELD = {
    "BatchNorm": "batch_norm_param",
    "Convolution": "convolution_param",
    "InnerProduct": "inner_product_param",
    "Pooling": "pooling_param",
    "Scale": "scale_param",
}


@dataclass(frozen=True)
class Layer:
    """A Caffe layer: its blobs by name and the settings of its parameter message."""

    name: str
    type: str
    bottoms: tuple[str, ...]
    top: str
    settings: Mapping[str, Setting] = field(default_factory=dict)


@dataclass(frozen=True)
class Stage:
    """A stage of the network: ``blocks`` blocks; the first has the stride and the projection."""

    number: int
    blocks: int
    narrow: int
    wide: int
    stride: int


STAGES = (
    Stage(number=2, blocks=3, narrow=8, wide=32, stride=1),
    Stage(number=3, blocks=4, narrow=16, wide=64, stride=2),
    Stage(number=4, blocks=6, narrow=32, wide=128, stride=2),
    Stage(number=5, blocks=3, narrow=64, wide=256, stride=2),
)


def sample_layers() -> tuple[Layer, ...]:
    """Return every layer after the input ``data``, in the order in which Caffe runs them."""
    return tuple(_layers())


def exchange_axpy(layers: Iterable[Layer]) -> tuple[Layer, ...]:
    """Return the layers with the second and third bottom of each Axpy exchanged."""
    return tuple(
        replace(layer, bottoms=(layer.bottoms[0], layer.bottoms[2], layer.bottoms[1]))
        if layer.type == "Axpy"
        else layer
        for layer in layers
    )


def prototxt(layers: Iterable[Layer]) -> str:
    """Return the Caffe network definition (a ``NetParameter`` in text form) of ``layers``."""
    shape = " ".join(f"dim: {size}" for size in (1, INPUT_CHANNELS, INPUT_SIDE, INPUT_SIDE))
    head = (
        "# SE-ResNet-50 at an eighth of the width, for handwritten digits.\n"
        "# Written by conf/sample/train.py from the table in conf/sample/network.py.\n"
        "# Input: B, G, R minus the means 104, 117, 123.\n"
        f'name: "{NETWORK_NAME}"\n'
        "layer {\n"
        '  name: "data"\n'
        '  type: "Input"\n'
        '  top: "data"\n'
        f"  input_param {{ shape {{ {shape} }} }}\n"
        "}\n"
    )
    return head + "".join(_layer_text(layer) for layer in layers)


def _layers() -> Iterator[Layer]:
    conv1, pool1 = "conv1/7x7_s2", "pool1/3x3_s2"
    yield from _normalised_convolution(conv1, "data", _CONV1_WIDTH, kernel=7, stride=2, pad=3)
    yield Layer("conv1/relu_7x7_s2", "ReLU", (conv1,), conv1)
    yield Layer(pool1, "Pooling", (conv1,), pool1, {"pool": "MAX", "kernel_size": 3, "stride": 2})
    bottom = pool1
    for stage in STAGES:
        for block in range(1, stage.blocks + 1):
            yield from _block(stage, block, bottom)
            bottom = f"conv{stage.number}_{block}"
    pool5 = "pool5/7x7_s1"
    yield Layer(pool5, "Pooling", (bottom,), pool5, {"pool": "AVE", "global_pooling": True})
    yield Layer("classifier", "InnerProduct", (pool5,), "classifier", {"num_output": CLASSES})
    yield Layer("prob", "Softmax", ("classifier",), "prob")


def _block(stage: Stage, block: int, bottom: str) -> Iterator[Layer]:
    """A bottleneck, its squeeze and excitation, and the sum with its input or projection.

    As in the authors' network, the stride is in the 1 x 1 reduction, not in the 3 x 3.
    """
    name = f"conv{stage.number}_{block}"
    reduce, middle, increase = f"{name}_1x1_reduce", f"{name}_3x3", f"{name}_1x1_increase"
    stride = stage.stride if block == 1 else 1
    yield from _normalised_convolution(reduce, bottom, stage.narrow, stride=stride)
    yield Layer(f"{reduce}/relu", "ReLU", (reduce,), reduce)
    yield from _normalised_convolution(middle, reduce, stage.narrow, kernel=3, pad=1)
    yield Layer(f"{middle}/relu", "ReLU", (middle,), middle)
    yield from _normalised_convolution(increase, middle, stage.wide)
    yield from _squeeze_excitation(name, increase, stage.wide)
    shortcut = bottom
    if block == 1:
        shortcut = f"{name}_1x1_proj"
        yield from _normalised_convolution(shortcut, bottom, stage.wide, stride=stride)
    yield Layer(name, "Axpy", (f"{name}_1x1_up", increase, shortcut), name)
    yield Layer(f"{name}/relu", "ReLU", (name,), name)


def _squeeze_excitation(name: str, bottom: str, width: int) -> Iterator[Layer]:
    """The gate of a block, a number in 0..1 for each channel, in the blob ``<name>_1x1_up``."""
    pool, down, up = f"{name}_global_pool", f"{name}_1x1_down", f"{name}_1x1_up"
    yield Layer(pool, "Pooling", (bottom,), pool, {"pool": "AVE", "global_pooling": True})
    yield _convolution(down, pool, width // _SE_REDUCTION, bias=True)
    yield Layer(f"{down}/relu", "ReLU", (down,), down)
    yield _convolution(up, down, width, bias=True)
    yield Layer(f"{name}_prob", "Sigmoid", (up,), up)


def _normalised_convolution(
    name: str, bottom: str, width: int, *, kernel: int = 1, stride: int = 1, pad: int = 0
) -> Iterator[Layer]:
    """A convolution without bias, its batch normalisation and its scale, in place."""
    yield _convolution(name, bottom, width, bias=False, kernel=kernel, stride=stride, pad=pad)
    yield Layer(f"{name}/bn", "BatchNorm", (name,), name, {"use_global_stats": True})
    yield Layer(f"{name}/bn/scale", "Scale", (name,), name, {"bias_term": True})


def _convolution(
    name: str,
    bottom: str,
    width: int,
    *,
    bias: bool,
    kernel: int = 1,
    stride: int = 1,
    pad: int = 0,
) -> Layer:
    settings: dict[str, Setting] = {
        "num_output": width,
        "bias_term": bias,
        "kernel_size": kernel,
        "stride": stride,
        "pad": pad,
    }
    return Layer(name, "Convolution", (bottom,), name, settings)


def _layer_text(layer: Layer) -> str:
    lines = [f'name: "{layer.name}"', f'type: "{layer.type}"']
    lines += [f'bottom: "{bottom}"' for bottom in layer.bottoms]
    lines.append(f'top: "{layer.top}"')
    if layer.settings:
        body = " ".join(f"{key}: {_value_text(value)}" for key, value in layer.settings.items())
        lines.append(f"{_PARAMETER_FIELD[layer.type]} {{ {body} }}")
    return "layer {\n" + "".join(f"  {line}\n" for line in lines) + "}\n"


def _value_text(value: Setting) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
