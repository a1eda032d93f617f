"""How a kernel moves over an image, as convolutions and poolings define it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from mlubench.networks.caffe.graph import LayerContext

Pair = tuple[int, int]
"""Height, width."""

_LIMIT = 1 << 20


@dataclass(frozen=True)
class Window:
    """Kernel size, stride, padding (the same before and behind) and dilation, each (h, w)."""

    kernel: Pair
    stride: Pair
    pad: Pair
    dilation: Pair

    @property
    def extent(self) -> Pair:
        """The size of the kernel with its holes."""
        height, width = (
            dilation * (kernel - 1) + 1
            for kernel, dilation in zip(self.kernel, self.dilation, strict=True)
        )
        return height, width


def read_window(context: LayerContext, parameters: Any, image: Pair) -> Window:
    """Return the window that a ConvolutionParameter or PoolingParameter defines.

    Each of its sizes may be given once, once per axis, or as ``_h`` and ``_w``.

    Args:
        context: of the layer.
        parameters: the parameter message.
        image: the size of the input, which the window takes for global pooling.
    """
    if getattr(parameters, "global_pooling", False):
        kernel = image
    else:
        kernel = _pair(context, parameters, "kernel_size", "kernel", 0)
    window = Window(
        kernel=kernel,
        stride=_pair(context, parameters, "stride", "stride", 1),
        pad=_pair(context, parameters, "pad", "pad", 0),
        dilation=_pair(context, parameters, "dilation", "dilation", 1),
    )
    for name in ("kernel", "stride", "dilation"):
        if min(getattr(window, name)) < 1:
            raise context.error(f"the {name} is {getattr(window, name)}", "at least 1")
    if max(*window.extent, *window.stride, *window.pad) > _LIMIT:
        raise context.error(f"the window is {window}", f"sizes of at most {_LIMIT}")
    return window


def _pair(context: LayerContext, parameters: Any, field: str, prefix: str, default: int) -> Pair:
    values = _given(parameters, field)
    by_axis = [_given(parameters, f"{prefix}_{side}") for side in "hw"]
    if any(by_axis):
        if values:
            raise context.error(f"{field} and {prefix}_h or {prefix}_w are given", "either")
        height, width = (given[0] if given else default for given in by_axis)
        return height, width
    if len(values) > 2:
        raise context.error(
            f"{field} is given {len(values)} times", "once, or for height and width"
        )
    values = values or [default]
    return values[0], values[-1]


def _given(parameters: Any, field: str) -> list[int]:
    """Return what the text says of a field that may be repeated, single or unknown."""
    return next(
        (
            [value] if isinstance(value, int) else list(value)
            for descriptor, value in parameters.ListFields()
            if descriptor.name == field
        ),
        [],
    )
