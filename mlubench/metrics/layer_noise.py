"""How much of a layer's output is noise, and where in the network it comes in."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class LayerNoise:
    """A layer's output in a candidate against a reference, over all images.

    Attributes:
        layer: the network's own name of it.
        kind: its type; empty where it is not known.
        place: in the order of the network, from 0.
        snr_db: signal-to-noise ratio in decibels; infinite where both are equal.
        fall_db: how far that is below the worst of the layers that it reads; None where those
            are equal and this one is not (the noise begins here) or it reads none.
        begins: whether the noise begins here.
        numbers: how many were compared.
    """

    layer: str
    kind: str
    place: int
    snr_db: float
    fall_db: float | None
    begins: bool
    numbers: int


def snr_db(signal: float, noise: float) -> float:
    """Return a signal-to-noise ratio in decibels, 10 log10(signal / noise).

    Args:
        signal: the sum of the reference's squares.
        noise: the sum of the squared differences from it, over the same numbers.

    Returns:
        Infinite where there is no noise, minus infinity where there is no signal but noise.

    Raises:
        ValueError: a sum is negative or not finite.
    """
    if not (0 <= signal < math.inf and 0 <= noise < math.inf):
        raise ValueError(f"sums of squares are finite and not negative, got {signal} and {noise}")
    if noise == 0:
        return math.inf
    return 10 * math.log10(signal / noise) if signal > 0 else -math.inf


def layer_noises(
    sums: Sequence[tuple[str, float, float, int]],
    inputs: Mapping[str, Sequence[str]],
    kinds: Mapping[str, str],
) -> list[LayerNoise]:
    """Return the layers, worst first; of equals, the earlier.

    Args:
        sums: per layer in the network's order: name, sum of the reference's squares, sum of the
            squared differences, how many numbers.
        inputs: per layer, those that it reads; unknown names are left out.
        kinds: per layer, its type.
    """
    found = {name: snr_db(signal, noise) for name, signal, noise, _ in sums}
    layers = []
    for place, (name, _, _, numbers) in enumerate(sums):
        read = [found[one] for one in inputs.get(name, ()) if one in found]
        before = min(read, default=math.inf)
        own = found[name]
        begins = math.isinf(before) and before > 0 and own < math.inf
        fall = before - own if math.isfinite(before) and math.isfinite(own) else None
        layers.append(LayerNoise(name, kinds.get(name, ""), place, own, fall, begins, numbers))
    return sorted(layers, key=lambda one: (one.snr_db, one.place))


def rank_by_added_noise(
    layers: Sequence[LayerNoise],
    inputs: Mapping[str, Sequence[str]],
    weighted: Collection[str],
    elementwise: Collection[str],
) -> list[str]:
    """Return the layers that multiply weights, that first which adds most noise of its own.

    What a layer adds is told by the noisiest of it and of the elementwise layers behind it, which
    have it alone to read (its noise may show only where BatchNorm has brought the channels to one
    size), less what the noisiest layer that it reads has already. Noise is counted relative to
    the signal and up to the signal's own size: beyond that a layer is lost, and it says nothing
    how far.

    Args:
        layers: in any order.
        inputs: per layer, those that it reads.
        weighted: the types of layers that multiply weights.
        elementwise: the types of those that go with the layer before them.

    Returns:
        Names; of equals, the earlier layer first.
    """
    noise = {one.layer: min(1.0, 10 ** (-one.snr_db / 10)) for one in layers}
    kinds = {one.layer: one.kind for one in layers}
    behind: dict[str, list[str]] = {}
    for name, read in inputs.items():
        if len(read) == 1 and kinds.get(name) in elementwise:
            behind.setdefault(read[0], []).append(name)

    def added(layer: str) -> float:
        unit = [layer]
        for member in unit:
            unit.extend(behind.get(member, ()))
        before = max((noise.get(one, 0.0) for one in inputs.get(layer, ())), default=0.0)
        return max(noise[member] for member in unit) - before

    chosen = [one for one in layers if one.kind in weighted]
    ordered = sorted(chosen, key=lambda one: (-added(one.layer), one.place))
    return [one.layer for one in ordered]
