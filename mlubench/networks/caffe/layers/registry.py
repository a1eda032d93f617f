"""Which Caffe layer types can be computed, and by which function."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from mlubench.networks.caffe.graph import LayerContext
from mlubench.networks.caffe.prototxt import Layer

LayerFunction = Callable[[LayerContext], None]

ANY = 1 << 30
"""As many bottoms or tops as there are."""

# Fields of LayerParameter that say nothing of what a layer computes when testing.
_TRAINING = frozenset(("transform_param", "loss_param"))


@dataclass(frozen=True)
class LayerType:
    """One Caffe layer type.

    Attributes:
        function: adds the layer to the graph.
        parameter: the field of LayerParameter that it reads; empty if none.
        bottoms: the least and the greatest number of bottoms.
        tops: the least and the greatest number of tops.
    """

    function: LayerFunction
    parameter: str
    bottoms: tuple[int, int]
    tops: tuple[int, int]


LAYER_TYPES: dict[str, LayerType] = {}


def layer_type(
    name: str,
    parameter: str = "",
    *,
    bottoms: tuple[int, int] = (1, 1),
    tops: tuple[int, int] = (1, 1),
) -> Callable[[LayerFunction], LayerFunction]:
    """Register the decorated function for a Caffe layer type; see :class:`LayerType`."""

    def register(function: LayerFunction) -> LayerFunction:
        LAYER_TYPES[name] = LayerType(function, parameter, bottoms, tops)
        return function

    return register


def build_layer(context: LayerContext) -> None:
    """Add the context's layer to the graph.

    Raises:
        NetworkError: the layer has parameters of another type or too many or few bottoms or
            tops, cannot be computed as it is defined, or its weights do not fit.
    """
    layer = context.layer
    kind = LAYER_TYPES[layer.type]
    _check_count(layer, "bottoms", len(layer.bottoms), kind.bottoms)
    _check_count(layer, "tops", len(layer.tops), kind.tops)
    for field, _ in layer.parameters.ListFields():
        if field.name.endswith("_param") and field.name not in (kind.parameter, *_TRAINING):
            raise layer.error(
                f"the layer has a {field.name}, which its type does not read",
                kind.parameter or "no parameters",
                "remove it, or mend the type",
            )
    kind.function(context)
    context.finish()


def _check_count(layer: Layer, what: str, count: int, limits: tuple[int, int]) -> None:
    least, most = limits
    if not least <= count <= most:
        expected = f"{least} or more" if most == ANY else " to ".join(map(str, sorted({*limits})))
        raise layer.error(f"the layer has {count} {what}", f"{expected} {what}")
