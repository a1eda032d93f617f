"""Layers that move numbers without changing them."""

from __future__ import annotations

import itertools
import math

from mlubench.networks.caffe.graph import BATCH, LayerContext, Shape, shown
from mlubench.networks.caffe.layers.registry import ANY, layer_type


@layer_type("Split", tops=(1, ANY))
def split(context: LayerContext) -> None:
    """Give the bottom several names."""
    context.pass_on()


@layer_type("Concat", "concat_param", bottoms=(1, ANY))
def concat(context: LayerContext) -> None:
    """Join the bottoms along one axis."""
    parameters = context.layer.parameters.concat_param
    axis = _axis_or_old_name(context, parameters, "concat")
    shape = list(context.bottom.shape)
    for blob in context.bottoms[1:]:
        rest = [*blob.shape[:axis], shape[axis], *blob.shape[axis + 1 :]]
        if rest != shape:
            raise context.error(
                f"bottoms have the shapes {shown(context.bottom.shape)} and {shown(blob.shape)}",
                f"shapes that are equal but for axis {axis}",
            )
    shape[axis] = sum(blob.shape[axis] for blob in context.bottoms)
    context.last("Concat", [blob.tensor for blob in context.bottoms], tuple(shape), axis=axis)


@layer_type("Slice", "slice_param", tops=(1, ANY))
def slice_(context: LayerContext) -> None:
    """Cut the bottom along one axis, at the slice points or into equal parts."""
    parameters = context.layer.parameters.slice_param
    axis = _axis_or_old_name(context, parameters, "slice")
    length, parts = context.bottom.shape[axis], len(context.layer.tops)
    points = list(parameters.slice_point)
    if not points and length % parts == 0:
        points = list(range(length // parts, length, length // parts))
    bounds = [0, *points, length]
    sizes = [end - start for start, end in itertools.pairwise(bounds)]
    if len(sizes) != parts or min(sizes) < 1:
        raise context.error(
            f"{parts} tops, slice points {points}, and {length} along axis {axis}",
            "rising slice points, one fewer than tops, or none and equal parts",
        )
    shapes = [
        (*context.bottom.shape[:axis], size, *context.bottom.shape[axis + 1 :]) for size in sizes
    ]
    inputs = [context.bottom.tensor, context.integers("sizes", sizes)]
    context.last("Split", inputs, *shapes, axis=axis)


def _axis_or_old_name(context: LayerContext, parameters: object, layer: str) -> int:
    """Return the axis of a ConcatParameter or SliceParameter, which have two names for it."""
    old = f"{layer}_dim"
    given = [field.name for field, _ in parameters.ListFields()]  # type: ignore[attr-defined]
    if old in given and "axis" in given:
        raise context.error(f"axis and {old} are given", "either")
    name = old if old in given else "axis"
    return context.axis(getattr(parameters, name), f"{layer}_param.{name}")


@layer_type("Flatten", "flatten_param")
def flatten(context: LayerContext) -> None:
    """Make one axis of the axes from ``axis`` to ``end_axis``."""
    parameters = context.layer.parameters.flatten_param
    axis = context.axis(parameters.axis, "flatten_param.axis")
    end = context.axis(parameters.end_axis, "flatten_param.end_axis")
    if end < axis:
        raise context.error(f"flatten_param.end_axis is {end}, axis {axis}", "an end behind axis")
    shape = context.bottom.shape
    flat = (*shape[:axis], math.prod(shape[axis : end + 1]), *shape[end + 1 :])
    _reshape(context, flat)


@layer_type("Reshape", "reshape_param")
def reshape(context: LayerContext) -> None:
    """Give ``num_axes`` axes from ``axis`` on new sizes: 0 keeps one, -1 takes what is left."""
    parameters = context.layer.parameters.reshape_param
    shape = context.bottom.shape
    rank = len(shape)
    start = parameters.axis if parameters.axis >= 0 else rank + parameters.axis + 1
    end = rank if parameters.num_axes == -1 else start + parameters.num_axes
    if not 0 <= start <= end <= rank:
        raise context.error(
            f"reshape_param.axis is {parameters.axis}, num_axes {parameters.num_axes}",
            f"axes of a blob of {rank} dimensions",
        )
    sizes = list(parameters.shape.dim)
    for index, size in enumerate(sizes):
        if size == 0:
            if start + index >= end:
                raise context.error(f"dim {index} is 0", f"an axis of {shown(shape)} to keep")
            sizes[index] = shape[start + index]
    target = [*shape[:start], *sizes, *shape[end:]]
    _reshape(context, _with_batch(context, shape, target))


def _with_batch(context: LayerContext, shape: Shape, target: list[int]) -> Shape:
    """Return a Reshape's target with BATCH first and -1 replaced."""
    count = math.prod(shape[1:])
    first, rest = (target[0], target[1:]) if target else (1, [])
    known = math.prod(size for size in rest if size != -1)
    if first == BATCH and rest.count(-1) == 1 and known > 0 and count % known == 0:
        rest = [count // known if size == -1 else size for size in rest]
    # The prototxt's own batch size, or -1, in the first place stands for the images too.
    if first not in (BATCH, -1, context.batch) or BATCH in rest:
        raise context.across_images(f"the new shape is {target}")
    if min(rest, default=1) < 1 or math.prod(rest) != count:
        raise context.error(
            f"{shown(shape)} cannot take the shape {target}", f"{count} numbers for each image"
        )
    return (BATCH, *rest)


@layer_type("Permute", "permute_param")
def permute(context: LayerContext) -> None:
    """Reorder the axes; those that ``order`` leaves out follow in their old order."""
    shape = context.bottom.shape
    order = list(context.layer.parameters.permute_param.order)
    order += [axis for axis in range(len(shape)) if axis not in order]
    if sorted(order) != list(range(len(shape))):
        raise context.error(f"permute_param.order is {order}", f"axes of {shown(shape)}, each once")
    if order[0] != 0:
        raise context.across_images(f"permute_param.order is {order}")
    context.last(
        "Transpose", [context.bottom.tensor], tuple(shape[axis] for axis in order), perm=order
    )


@layer_type("ShuffleChannel", "shuffle_channel_param")
def shuffle_channel(context: LayerContext) -> None:
    """Deal the channels of ``group`` groups out in turn, as ShuffleNet's authors define it."""
    group = context.layer.parameters.shuffle_channel_param.group
    channels, height, width = context.image_shape()
    if not group or channels % group:
        raise context.error(f"group is {group} for {channels} channels", "a divisor of them")
    apart = (BATCH, group, channels // group, height * width)
    groups = context.reshaped(context.bottom, apart, "groups")
    dealt = context.step("dealt", "Transpose", [groups], perm=(0, 2, 1, 3))
    shape = context.bottom.shape
    context.last("Reshape", [dealt, context.integers("shape", shape)], shape)


def _reshape(context: LayerContext, shape: Shape) -> None:
    inputs = [context.bottom.tensor, context.integers("shape", shape)]
    context.last("Reshape", inputs, shape)
