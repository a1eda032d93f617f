"""How long layers take, and two such lists side by side."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

#: Between the layers of a group that is run as one.
JOINT = " + "


@dataclass(frozen=True)
class TimedLayer:
    """Layers that an engine ran as one.

    Attributes:
        layers: by the network's own names, in its order; of what the engine added itself, the
            engine's name of its kind.
        kinds: the engine's names of what it ran.
        arithmetic: of the part that took longest.
        milliseconds: of one inference.
    """

    layers: tuple[str, ...]
    kinds: tuple[str, ...]
    arithmetic: str
    milliseconds: float

    @property
    def name(self) -> str:
        """The first of its layers."""
        return self.layers[0]


@dataclass(frozen=True)
class LayerTimes:
    """The layers of a network.

    Attributes:
        name: of the compiled network.
        executed_precision: the arithmetic that the device used.
        layers: in the order of execution.
    """

    name: str
    executed_precision: str
    layers: tuple[TimedLayer, ...]

    @property
    def milliseconds(self) -> float:
        """Of all layers."""
        return sum(one.milliseconds for one in self.layers)

    def share(self, one: TimedLayer) -> float:
        """Return a layer's share of the whole, as a fraction; 0 where nothing took any time."""
        return one.milliseconds / self.milliseconds if self.milliseconds else 0.0


@dataclass(frozen=True)
class LayerPair:
    """What two networks spend on the same layers; None where one of them runs none of them."""

    layers: tuple[str, ...]
    first: TimedLayer | None
    second: TimedLayer | None

    @property
    def name(self) -> str:
        """The first of the layers."""
        return self.layers[0]

    @property
    def ratio(self) -> float | None:
        """The first's time over the second's: over 1, the second is faster."""
        if self.first is None or self.second is None or not self.second.milliseconds:
            return None
        return self.first.milliseconds / self.second.milliseconds


def side_by_side(first: LayerTimes, second: LayerTimes) -> tuple[LayerPair, ...]:
    """Match the layers of two networks that were made of one.

    Engines fuse layers differently in each precision. Layers that either of the two runs as one
    count as one in both, so every millisecond stands in exactly one pair; it is named by the
    first of the layers.

    Args:
        first: in the order of execution, which is that of the pairs.
        second: what it runs alone stands behind the rest.
    """
    groups = _joined([one.layers for one in (*first.layers, *second.layers)])
    return tuple(LayerPair(group, _sum(first, group), _sum(second, group)) for group in groups)


def merged(layers: Iterable[TimedLayer]) -> tuple[TimedLayer, ...]:
    """Return the layers with all that have a layer in common as one."""
    rows = list(layers)
    whole = LayerTimes("", "", tuple(rows))
    found = (_sum(whole, group) for group in _joined([one.layers for one in rows]))
    return tuple(one for one in found if one is not None)


def _joined(groups: Sequence[tuple[str, ...]]) -> list[tuple[str, ...]]:
    """Join groups that share a layer, in the order in which layers are first named."""
    heads: dict[str, str] = {}

    def head(name: str) -> str:
        while heads[name] != name:
            name = heads[name]
        return name

    for group in groups:
        for name in group:
            heads.setdefault(name, name)
        for name in group[1:]:
            one, other = head(group[0]), head(name)
            heads[other] = one
    order = {name: place for place, name in enumerate(heads)}
    members: dict[str, list[str]] = {}
    for name in heads:
        members.setdefault(head(name), []).append(name)
    joined = [tuple(sorted(names, key=order.__getitem__)) for names in members.values()]
    return sorted(joined, key=lambda names: order[names[0]])


def _sum(times: LayerTimes, group: Sequence[str]) -> TimedLayer | None:
    wanted = set(group)
    parts = [one for one in times.layers if wanted & set(one.layers)]
    if not parts:
        return None
    longest = max(parts, key=lambda one: one.milliseconds)
    own = dict.fromkeys(name for one in parts for name in one.layers)
    return TimedLayer(
        layers=tuple(own),
        kinds=tuple(dict.fromkeys(kind for one in parts for kind in one.kinds)),
        arithmetic=longest.arithmetic,
        milliseconds=sum(one.milliseconds for one in parts),
    )


def usual_times(
    rounds: Sequence[Mapping[tuple[str, str, str], float]],
) -> tuple[TimedLayer, ...]:
    """Return the interquartile mean of each layer's time over rounds.

    Engines tell whole microseconds, so a median would be one of few values; the mean of the
    middle half is as little moved by a round that was disturbed. What never took any time is
    left out.

    Args:
        rounds: seconds of what an engine ran, by (layers joined by :data:`JOINT`, kind,
            arithmetic), in the order of execution; the same keys in each.
    """
    means = {key: _middle_mean([one[key] for one in rounds]) for key in rounds[0]}
    return tuple(
        TimedLayer(tuple(layer.split(JOINT)), (kind,), arithmetic, 1e3 * seconds)
        for (layer, kind, arithmetic), seconds in means.items()
        if seconds
    )


def _middle_mean(values: Sequence[float]) -> float:
    ordered = sorted(values)
    cut = len(ordered) // 4
    middle = ordered[cut : len(ordered) - cut]
    return sum(middle) / len(middle)
