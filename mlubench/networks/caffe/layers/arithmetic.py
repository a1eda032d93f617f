"""Layers that combine several blobs number by number: Eltwise, Axpy."""

from __future__ import annotations

from mlubench.networks.caffe import caffe_pb2
from mlubench.networks.caffe.graph import LayerContext, shown
from mlubench.networks.caffe.layers.registry import ANY, layer_type

_Eltwise = caffe_pb2.EltwiseParameter
_ELTWISE_OPS = {_Eltwise.PROD: "Mul", _Eltwise.SUM: "Add", _Eltwise.MAX: "Max"}


@layer_type("Eltwise", "eltwise_param", bottoms=(2, ANY))
def eltwise(context: LayerContext) -> None:
    """Compute the product, the sum (each bottom times its coefficient) or the maximum."""
    parameters = context.layer.parameters.eltwise_param
    shape = context.bottom.shape
    for blob in context.bottoms:
        if blob.shape != shape:
            raise context.error(
                f"bottoms have the shapes {shown(shape)} and {shown(blob.shape)}", "equal shapes"
            )
    coefficients = list(parameters.coeff) or [1.0] * len(context.bottoms)
    if parameters.coeff and parameters.operation != _Eltwise.SUM:
        raise context.error("coeff is given", "coefficients for a SUM only")
    if len(coefficients) != len(context.bottoms):
        raise context.error(
            f"{len(coefficients)} coeff for {len(context.bottoms)} bottoms", "one for each, or none"
        )
    terms = [
        blob.tensor if factor == 1 else _scaled(context, index, blob.tensor, factor)
        for index, (blob, factor) in enumerate(zip(context.bottoms, coefficients, strict=True))
    ]
    op = _ELTWISE_OPS[parameters.operation]
    result = terms[0]
    for index, term in enumerate(terms[1:-1], 1):
        result = context.step(f"first_{index + 1}", op, [result, term])
    context.last(op, [result, terms[-1]], shape)


def _scaled(context: LayerContext, index: int, tensor: str, factor: float) -> str:
    return context.step(f"term_{index}", "Mul", [tensor, context.scalar(f"coeff_{index}", factor)])


@layer_type("Axpy", bottoms=(3, 3))
def axpy(context: LayerContext) -> None:
    """Compute bottom[0] * bottom[1] + bottom[2], as the authors of SENet define it.

    bottom[0] has one factor per image and channel: [N, C] or [N, C, 1, 1]. Source:
    https://github.com/hujie-frank/SENet, include/caffe/layers/axpy_layer.hpp.
    """
    scale, x, y = context.bottoms
    channels = x.shape[:2]
    if len(x.shape) != 4 or x.shape != y.shape or scale.shape not in (channels, (*channels, 1, 1)):
        raise context.error(
            f"bottoms have the shapes {shown(scale.shape)}, {shown(x.shape)} and {shown(y.shape)}",
            "[N, C] or [N, C, 1, 1], then twice [N, C, H, W]",
        )
    factors = context.reshaped(scale, (*channels, 1, 1), "factors")
    product = context.step("product", "Mul", [factors, x.tensor])
    context.last("Add", [product, y.tensor], x.shape)
