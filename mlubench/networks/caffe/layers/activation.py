"""Layers that work on each number by itself, and Softmax."""

from __future__ import annotations

import numpy as np

from mlubench.networks.caffe.graph import LayerContext
from mlubench.networks.caffe.layers.registry import layer_type


@layer_type("ReLU", "relu_param")
def relu(context: LayerContext) -> None:
    """Compute max(x, 0) + negative_slope * min(x, 0)."""
    slope = context.layer.parameters.relu_param.negative_slope
    bottom = context.bottom
    if slope:
        context.last("LeakyRelu", [bottom.tensor], bottom.shape, alpha=slope)
    else:
        context.last("Relu", [bottom.tensor], bottom.shape)


@layer_type("PReLU", "prelu_param")
def prelu(context: LayerContext) -> None:
    """Compute max(x, 0) + slope * min(x, 0); the blob is slope [C], or [1] if shared."""
    bottom = context.bottom
    channels = 1 if context.layer.parameters.prelu_param.channel_shared else bottom.shape[1]
    slope = context.blob("slope", (channels,))
    slope = slope.reshape(channels, *[1] * (len(bottom.shape) - 2))
    context.last("PRelu", [bottom.tensor, context.constant("slope", slope)], bottom.shape)


@layer_type("Sigmoid", "sigmoid_param")
def sigmoid(context: LayerContext) -> None:
    """Compute 1 / (1 + exp(-x))."""
    context.last("Sigmoid", [context.bottom.tensor], context.bottom.shape)


@layer_type("TanH", "tanh_param")
def tanh(context: LayerContext) -> None:
    """Compute the hyperbolic tangent."""
    context.last("Tanh", [context.bottom.tensor], context.bottom.shape)


@layer_type("Power", "power_param")
def power(context: LayerContext) -> None:
    """Compute (shift + scale * x) ^ power."""
    parameters = context.layer.parameters.power_param
    steps = [
        (role, op, value)
        for role, op, value, neutral in (
            ("scaled", "Mul", parameters.scale, 1.0),
            ("shifted", "Add", parameters.shift, 0.0),
            ("power", "Pow", parameters.power, 1.0),
        )
        if value != neutral
    ]
    if not steps:
        context.pass_on()
        return
    tensor = context.bottom.tensor
    for role, op, value in steps[:-1]:
        tensor = context.step(role, op, [tensor, context.scalar(f"{role}_by", value)])
    role, op, value = steps[-1]
    context.last(op, [tensor, context.scalar(f"{role}_by", value)], context.bottom.shape)


@layer_type("Dropout", "dropout_param")
def dropout(context: LayerContext) -> None:
    """Do nothing when testing; where training does not scale, multiply by 1 - dropout_ratio."""
    parameters = context.layer.parameters.dropout_param
    if parameters.scale_train:
        context.pass_on()
        return
    kept = float(np.float32(1) - np.float32(parameters.dropout_ratio))
    inputs = [context.bottom.tensor, context.scalar("kept", kept)]
    context.last("Mul", inputs, context.bottom.shape)


@layer_type("Softmax", "softmax_param")
def softmax(context: LayerContext) -> None:
    """Compute exp(x) / sum(exp(x)) along one axis."""
    axis = context.axis(context.layer.parameters.softmax_param.axis, "softmax_param.axis")
    context.last("Softmax", [context.bottom.tensor], context.bottom.shape, axis=axis)
