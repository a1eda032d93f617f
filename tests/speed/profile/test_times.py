"""Layers of two networks matched: every millisecond once, whatever was fused."""

from __future__ import annotations

import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlubench.speed.profile.times import (
    LayerTimes,
    TimedLayer,
    merged,
    side_by_side,
    usual_times,
)


def _times(*layers: tuple[str, float], name: str = "net") -> LayerTimes:
    """Return layers given as ``a b`` (run as one) with their milliseconds."""
    rows = tuple(TimedLayer(tuple(names.split()), ("Kind",), "f32", ms) for names, ms in layers)
    return LayerTimes(name, "float32", rows)


def test_fused_layers_are_matched_by_the_first_of_them() -> None:
    first = _times(("conv1 relu1", 4.0), ("pool1", 1.0), ("conv2", 3.0))
    second = _times(("conv1", 1.0), ("relu1", 0.5), ("pool1", 0.5), ("conv2", 1.5))
    conv1, pool1, conv2 = side_by_side(first, second)
    assert (conv1.name, conv1.layers) == ("conv1", ("conv1", "relu1"))
    assert conv1.second is not None
    assert conv1.second.milliseconds == 1.5
    assert conv1.ratio == pytest.approx(4 / 1.5)
    assert (pool1.ratio, conv2.ratio) == (2.0, 2.0)


def test_groups_that_overlap_become_one() -> None:
    first = _times(("a b", 1.0), ("c", 2.0))
    second = _times(("a", 1.0), ("b c", 4.0))
    (pair,) = side_by_side(first, second)
    assert pair.layers == ("a", "b", "c")
    assert pair.ratio == 3 / 5


def test_what_one_of_them_has_alone_has_no_ratio() -> None:
    alone, both, other = side_by_side(
        _times(("(Reorder)", 1.0), ("a", 1.0)), _times(("a", 0.0), ("(Convert)", 2.0))
    )
    assert (alone.name, alone.second, alone.ratio) == ("(Reorder)", None, None)
    assert both.ratio is None  # nothing is so many times faster than no time
    assert (other.name, other.first) == ("(Convert)", None)


_NAMES = st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=3, unique=True).map(" ".join)
_NETWORKS = st.lists(st.tuples(_NAMES, st.floats(0, 100)), min_size=1, max_size=6)


@given(_NETWORKS, _NETWORKS)
def test_every_millisecond_stands_in_one_pair(
    one: list[tuple[str, float]], other: list[tuple[str, float]]
) -> None:
    first, second = _times(*one), _times(*other)
    pairs = side_by_side(first, second)
    for times, sides in ((first, [p.first for p in pairs]), (second, [p.second for p in pairs])):
        found = [side.milliseconds for side in sides if side is not None]
        assert sum(found) == pytest.approx(times.milliseconds)
    layers = [name for pair in pairs for name in pair.layers]
    assert len(layers) == len(set(layers))


def test_parts_of_one_layer_are_merged() -> None:
    conv, pool = merged(
        [
            TimedLayer(("conv",), ("FakeQuantize",), "f32", 0.1),
            TimedLayer(("conv", "relu"), ("Convolution",), "I8", 2.0),
            TimedLayer(("pool",), ("MaxPool",), "I8", 1.0),
        ]
    )
    assert conv == TimedLayer(("conv", "relu"), ("FakeQuantize", "Convolution"), "I8", 2.1)
    assert pool.name == "pool"


def test_usual_times_are_those_of_the_middle_half() -> None:
    seconds = [0.004, 0.001, 0.002, 0.003, 0.002, 0.003, 0.9, 0.0]
    rounds = [{("a + b", "K", "f32"): one, ("c", "K", "f32"): 0.0} for one in seconds]
    (only,) = usual_times(rounds)
    assert only.layers == ("a", "b")
    assert only.milliseconds == pytest.approx(1e3 * statistics.mean(sorted(seconds)[2:6]))


def test_shares() -> None:
    times = _times(("a", 1.0), ("b", 3.0))
    assert [times.share(one) for one in times.layers] == [0.25, 0.75]
    nothing = _times(("a", 0.0))
    assert nothing.share(nothing.layers[0]) == 0
