"""Pooling, with Caffe's own rules for the output's size and for the divisor of a mean.

Source: Caffe's src/caffe/layers/pooling_layer.cpp.
"""

from __future__ import annotations

from dataclasses import dataclass

from mlubench.networks.caffe import caffe_pb2
from mlubench.networks.caffe.graph import BATCH, LayerContext
from mlubench.networks.caffe.layers.registry import layer_type
from mlubench.networks.caffe.layers.window import Window, read_window

_Pooling = caffe_pb2.PoolingParameter


@dataclass(frozen=True)
class _Axis:
    """Pooling along one axis.

    Attributes:
        size: of the output.
        pad: in front of the image, and of what Caffe takes as padding behind it.
        end: how far the last window reaches behind the image.
    """

    size: int
    pad: int
    end: int

    @property
    def overhang(self) -> int:
        """How far the last window reaches behind the padding."""
        return max(self.end - self.pad, 0)


@layer_type("Pooling", "pooling_param")
def pooling(context: LayerContext) -> None:
    """Take the maximum or the mean of each window."""
    parameters = context.layer.parameters.pooling_param
    if parameters.pool == _Pooling.STOCHASTIC:
        raise context.error("pool is STOCHASTIC", "MAX or AVE: a result that does not change")
    channels, *image = context.image_shape()
    height, width = image
    window = read_window(context, parameters, (height, width))
    maximum = parameters.pool == _Pooling.MAX
    if parameters.global_pooling:
        _check_global(context, window, parameters)
        op = "GlobalMaxPool" if maximum else "GlobalAveragePool"
        context.last(op, [context.bottom.tensor], (BATCH, channels, 1, 1))
        return
    floor = parameters.round_mode == _Pooling.FLOOR or not parameters.ceil_mode
    clip = max(window.pad) > 0
    axes = [
        _along(context, size, *sides, floor=floor, clip=clip)
        for size, *sides in zip(
            (height, width), window.kernel, window.stride, window.pad, strict=True
        )
    ]
    shape = (BATCH, channels, axes[0].size, axes[1].size)
    if maximum:
        pads = [axis.pad for axis in axes] + [axis.end for axis in axes]
        _pool(context, "MaxPool", context.bottom.tensor, shape, window, pads)
    else:
        _mean(context, shape, window, axes)


def _check_global(context: LayerContext, window: Window, parameters: _Pooling) -> None:
    given = [name for name in ("kernel_size", "kernel_h", "kernel_w") if parameters.HasField(name)]
    if given or window.pad != (0, 0) or window.stride != (1, 1):
        raise context.error(
            "global_pooling is given with a kernel, a pad or a stride",
            "none of them, as Caffe wants it",
            "remove them, or global_pooling",
        )


def _along(
    context: LayerContext,
    image: int,
    kernel: int,
    stride: int,
    pad: int,
    *,
    floor: bool,
    clip: bool,
) -> _Axis:
    """Apply Caffe's rule for one axis.

    The output's size is rounded up. If there is padding on either axis, a last window that would
    begin in the padding behind the image is dropped.
    """
    room = image + 2 * pad - kernel
    size = (room // stride if floor else -(-room // stride)) + 1
    if clip and (size - 1) * stride >= image + pad:
        size -= 1
    if size < 1 or pad >= kernel:
        raise context.error(
            f"the window covers {kernel} and the input has {image}, padded by {pad} on each side",
            "a window that is not larger than the padded input, and larger than the padding",
            "check the input's size",
        )
    last = (size - 1) * stride - pad
    if last >= image:
        raise context.error(
            f"the last window begins at {last} and the input has {image}",
            "windows that begin inside the input; Caffe's result of another one has no meaning",
            "use a kernel that is not smaller than the stride",
        )
    return _Axis(size, pad, max(last + kernel - image, 0))


def _mean(context: LayerContext, shape: tuple[int, ...], window: Window, axes: list[_Axis]) -> None:
    """Take means. Caffe's divisor counts the padding, and not what lies behind it.

    ONNX counts all padding or none, so where a window reaches behind the padding, the padding
    is made of real zeros first.
    """
    tensor = context.bottom.tensor
    front, end = [axis.pad for axis in axes], [axis.end for axis in axes]
    overhang = [axis.overhang for axis in axes]
    if not any(overhang):
        _pool(context, "AveragePool", tensor, shape, window, front + end, count_include_pad=1)
        return
    if any(front):
        behind = [min(axis.pad, axis.end) for axis in axes]
        pads = context.integers("pads", [0, 0, *front, 0, 0, *behind])
        tensor = context.step("padded", "Pad", [tensor, pads])
    pads_left = [0, 0, *overhang]
    _pool(context, "AveragePool", tensor, shape, window, pads_left, count_include_pad=0)


def _pool(
    context: LayerContext,
    op: str,
    tensor: str,
    shape: tuple[int, ...],
    window: Window,
    pads: list[int],
    **attributes: int,
) -> None:
    context.last(
        op,
        [tensor],
        shape,
        kernel_shape=window.kernel,
        strides=window.stride,
        pads=pads,
        **attributes,
    )
