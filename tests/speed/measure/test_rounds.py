"""The plan of rounds: everyone equally often, everyone at every place."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlubench.speed.measure.rounds import interleave

_COUNTS = st.integers(1, 9)


@given(_COUNTS, st.integers(1, 40))
def test_each_round_measures_each_configuration_once(count: int, rounds: int) -> None:
    plan = interleave(range(count), rounds)
    assert len(plan) == rounds
    assert all(sorted(order) == list(range(count)) for order in plan)
    assert plan == interleave(range(count), rounds)


@given(_COUNTS, st.integers(1, 20))
def test_a_linear_drift_cancels_over_pairs(count: int, pairs: int) -> None:
    flat = [name for order in interleave(range(count), 2 * pairs) for name in order]
    moments: Counter[int] = Counter()
    for moment, name in enumerate(flat):
        moments[name] += moment
    assert len(set(moments.values())) == 1


@given(_COUNTS)
def test_over_a_whole_turn_each_is_twice_at_each_place(count: int) -> None:
    plan = interleave(range(count), 2 * count)
    for place in range(count):
        assert set(Counter(order[place] for order in plan).values()) == {2}


def test_two_configurations_are_abba() -> None:
    assert interleave("AB", 4) == (("A", "B"), ("B", "A"), ("B", "A"), ("A", "B"))
    assert interleave("ABC", 3) == (("A", "B", "C"), ("C", "B", "A"), ("B", "C", "A"))


@pytest.mark.parametrize(("names", "rounds"), [("", 2), ("AB", 0)])
def test_nothing_to_plan(names: str, rounds: int) -> None:
    with pytest.raises(ValueError, match="rounds of"):
        interleave(names, rounds)
