"""Layers that shift and scale: BatchNorm, Scale, LRN."""

from __future__ import annotations

import numpy as np

from mlubench.networks.caffe import caffe_pb2
from mlubench.networks.caffe.graph import BATCH, Blob, LayerContext, shown
from mlubench.networks.caffe.layers.registry import layer_type
from mlubench.networks.caffe.weights import Array

_LRN = caffe_pb2.LRNParameter


@layer_type("BatchNorm", "batch_norm_param")
def batch_norm(context: LayerContext) -> None:
    """Compute (x - mean / f) / sqrt(variance / f + eps) per channel.

    Blobs are mean [C], variance [C] and f [1], the weight that the moving averages have gathered;
    where f is 0, both are taken as 0. Source: Caffe's batch_norm_layer.cpp.
    """
    parameters = context.layer.parameters.batch_norm_param
    if parameters.HasField("use_global_stats") and not parameters.use_global_stats:
        raise context.error(
            "use_global_stats is false, which mixes the images of a batch",
            "the statistics that the weights hold",
            "remove the line: when testing, Caffe uses them unless told otherwise",
        )
    shape = context.bottom.shape
    channels = shape[1]
    mean, variance = context.blob("mean", (channels,)), context.blob("variance", (channels,))
    factor = context.blob("factor", (1,))[0]
    inverse = np.float32(0) if factor == 0 else np.float32(1) / factor
    inputs = [
        context.bottom.tensor,
        context.constant("ones", np.ones(channels, np.float32)),
        context.constant("zeros", np.zeros(channels, np.float32)),
        context.constant("mean", mean * inverse),
        context.constant("variance", variance * inverse),
    ]
    context.last("BatchNormalization", inputs, shape, epsilon=parameters.eps)


@layer_type("Scale", "scale_param", bottoms=(1, 2))
def scale(context: LayerContext) -> None:
    """Multiply by a scale that covers some axes, and add a bias if ``bias_term``.

    The scale is the second bottom, or else a blob over ``num_axes`` axes from ``axis`` on. The
    bias, the last blob, has the scale's shape.
    """
    parameters = context.layer.parameters.scale_param
    bottom = context.bottom
    if len(context.bottoms) == 2:
        axis, shape, factor = _second_bottom(context, parameters.axis)
    else:
        axis = context.axis(parameters.axis, "scale_param.axis")
        end = len(bottom.shape) if parameters.num_axes == -1 else axis + parameters.num_axes
        if not axis <= end <= len(bottom.shape):
            raise context.error(
                f"scale_param.num_axes is {parameters.num_axes} from axis {axis} on",
                f"axes of a blob of {len(bottom.shape)} dimensions",
            )
        shape = bottom.shape[axis:end]
        factor = context.constant("scale", _aligned(context.blob("scale", shape), axis, bottom))
    inputs = [bottom.tensor, factor]
    if not parameters.bias_term:
        context.last("Mul", inputs, bottom.shape)
        return
    if BATCH in shape:
        raise context.across_images("the bias has a number for each image of a batch")
    bias = context.constant("bias", _aligned(context.blob("bias", shape), axis, bottom))
    product = context.step("product", "Mul", inputs)
    context.last("Add", [product, bias], bottom.shape)


def _second_bottom(context: LayerContext, axis: int) -> tuple[int, tuple[int, ...], str]:
    """Return the axis, shape and tensor, with all of the bottom's axes, of a second bottom."""
    bottom, factor = context.bottoms
    rank = len(bottom.shape)
    start = axis + rank if axis < 0 else axis
    if bottom.shape[start : start + len(factor.shape)] != factor.shape or start != 0:
        raise context.error(
            f"the second bottom has the shape {shown(factor.shape)} for axis {axis} of "
            f"{shown(bottom.shape)}",
            "the first dimensions of the first bottom, and axis 0",
        )
    target = (*factor.shape, *[1] * (rank - len(factor.shape)))
    return start, factor.shape, context.reshaped(factor, target, "factors")


def _aligned(array: Array, axis: int, bottom: Blob) -> Array:
    """Return the array with trailing axes of 1, so that it broadcasts from ``axis`` on."""
    return array.reshape(*array.shape, *[1] * (len(bottom.shape) - axis - array.ndim))


@layer_type("LRN", "lrn_param")
def lrn(context: LayerContext) -> None:
    """Divide by (k + alpha * mean of squares nearby) ^ beta, across channels or within one.

    Within a channel Caffe always takes k as 1, and counts zeros outside the image in the mean.
    """
    parameters = context.layer.parameters.lrn_param
    size, bottom = parameters.local_size, context.bottom
    context.image_shape()
    if size % 2 == 0:
        raise context.error(f"lrn_param.local_size is {size}", "an odd number")
    if parameters.norm_region == _LRN.ACROSS_CHANNELS:
        context.last(
            "LRN",
            [bottom.tensor],
            bottom.shape,
            size=size,
            alpha=parameters.alpha,
            beta=parameters.beta,
            bias=parameters.k,
        )
        return
    squares = context.step("squares", "Mul", [bottom.tensor, bottom.tensor])
    mean = context.step(
        "mean",
        "AveragePool",
        [squares],
        kernel_shape=(size, size),
        pads=(size // 2,) * 4,
        strides=(1, 1),
        count_include_pad=1,
    )
    scaled = context.step("scaled", "Mul", [mean, context.scalar("alpha", parameters.alpha)])
    raised = context.step("raised", "Add", [scaled, context.scalar("one", 1)])
    divisor = context.step("divisor", "Pow", [raised, context.scalar("beta", parameters.beta)])
    context.last("Div", [bottom.tensor, divisor], bottom.shape)
