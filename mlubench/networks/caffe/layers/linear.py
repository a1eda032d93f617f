"""Layers with weight matrices: Convolution, Deconvolution, InnerProduct."""

from __future__ import annotations

import math

import numpy as np

from mlubench.networks.caffe.graph import BATCH, LayerContext
from mlubench.networks.caffe.layers.registry import layer_type
from mlubench.networks.caffe.layers.window import Window, read_window


@layer_type("Convolution", "convolution_param")
def convolution(context: LayerContext) -> None:
    """Convolve: blobs are weight [O, C/group, kh, kw] and, with bias_term, bias [O]."""
    channels, height, width, window = _geometry(context)
    parameters = context.layer.parameters.convolution_param
    size = []
    for image, extent, stride, pad in zip(
        (height, width), window.extent, window.stride, window.pad, strict=True
    ):
        if extent > image + 2 * pad:
            raise context.error(
                f"the kernel covers {extent} and the padded input has {image + 2 * pad}",
                "a kernel that is not larger than its input",
                "check the input's size",
            )
        size.append((image + 2 * pad - extent) // stride + 1)
    outputs, groups = parameters.num_output, parameters.group
    weight = context.blob("weight", (outputs, channels // groups, *window.kernel))
    inputs = [context.bottom.tensor, context.constant("weight", weight)]
    _convolve(context, "Conv", inputs, window, (BATCH, outputs, *size))


@layer_type("Deconvolution", "convolution_param")
def deconvolution(context: LayerContext) -> None:
    """Convolve transposed: blobs are weight [C, O/group, kh, kw] and, with bias_term, bias [O]."""
    channels, height, width, window = _geometry(context)
    parameters = context.layer.parameters.convolution_param
    size = [
        stride * (image - 1) + extent - 2 * pad
        for image, extent, stride, pad in zip(
            (height, width), window.extent, window.stride, window.pad, strict=True
        )
    ]
    if min(size) < 1:
        raise context.error(f"the output would have the size {size}", "at least 1", "check pad")
    outputs, groups = parameters.num_output, parameters.group
    weight = context.blob("weight", (channels, outputs // groups, *window.kernel))
    inputs = [context.bottom.tensor, context.constant("weight", weight)]
    _convolve(context, "ConvTranspose", inputs, window, (BATCH, outputs, *size))


def _geometry(context: LayerContext) -> tuple[int, int, int, Window]:
    """Return channels, height and width of the bottom and the window; check the parameters."""
    parameters = context.layer.parameters.convolution_param
    shape = context.image_shape()
    if parameters.axis not in (1, -3):
        raise context.error(f"convolution_param.axis is {parameters.axis}", "1, the channels")
    channels, outputs, groups = shape[0], parameters.num_output, parameters.group
    if not outputs or not groups or channels % groups or outputs % groups:
        raise context.error(
            f"num_output is {outputs}, group {groups}, and the bottom has {channels} channels",
            "num_output of at least 1, and a group that divides both",
        )
    return *shape, read_window(context, parameters, shape[1:])


def _convolve(
    context: LayerContext,
    op: str,
    inputs: list[str],
    window: Window,
    shape: tuple[int, ...],
) -> None:
    parameters = context.layer.parameters.convolution_param
    if parameters.bias_term:
        bias = context.blob("bias", (parameters.num_output,))
        inputs.append(context.constant("bias", bias))
    context.last(
        op,
        inputs,
        shape,
        kernel_shape=window.kernel,
        strides=window.stride,
        pads=window.pad * 2,
        dilations=window.dilation,
        group=parameters.group,
    )


@layer_type("InnerProduct", "inner_product_param")
def inner_product(context: LayerContext) -> None:
    """Multiply by a matrix: blobs are weight [O, K] ([K, O] if transposed) and bias [O].

    K counts everything from ``axis`` on; the axes before it are kept.
    """
    parameters = context.layer.parameters.inner_product_param
    axis = context.axis(parameters.axis, "inner_product_param.axis")
    kept, outputs = context.bottom.shape[:axis], parameters.num_output
    if not outputs:
        raise context.error("num_output is 0", "at least 1")
    length = math.prod(context.bottom.shape[axis:])
    weight_shape = (length, outputs) if parameters.transpose else (outputs, length)
    weight = context.blob("weight", weight_shape)
    data = context.reshaped(context.bottom, (*kept, length), "flat")
    if axis == 1:
        inputs = [data, context.constant("weight", weight)]
        if parameters.bias_term:
            inputs.append(context.constant("bias", context.blob("bias", (outputs,))))
        context.last("Gemm", inputs, (*kept, outputs), transB=int(not parameters.transpose))
        return
    # Gemm takes matrices only; MatMul takes its second factor as [K, O] only.
    matrix = weight if parameters.transpose else np.ascontiguousarray(weight.T)
    inputs = [data, context.constant("weight", matrix)]
    if not parameters.bias_term:
        context.last("MatMul", inputs, (*kept, outputs))
        return
    product = context.step("product", "MatMul", inputs)
    bias = context.constant("bias", context.blob("bias", (outputs,)))
    context.last("Add", [product, bias], (*kept, outputs))
