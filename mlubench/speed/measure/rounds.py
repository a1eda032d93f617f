"""The order in which configurations are measured, so that none gets the machine's better hours."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

Configuration = TypeVar("Configuration")


def interleave(
    configurations: Sequence[Configuration], rounds: int
) -> tuple[tuple[Configuration, ...], ...]:
    """Return for each round the order in which all configurations are measured.

    ABBA: each second round is the one before it in reverse, so over a pair of rounds all
    configurations have the same mean position, and a drift that is linear in time cancels. From
    pair to pair the order moves on by one, so that over as many pairs as there are
    configurations each of them is measured twice at every position: none is always the one
    after the slowest.

    Args:
        configurations: at least one, in any order; equal ones are configurations of their own.
        rounds: how often each is measured; an even number, or the last pair is half a one.

    Raises:
        ValueError: there is no configuration, or the number of rounds is less than 1.
    """
    if not configurations or rounds < 1:
        raise ValueError(f"{rounds} rounds of {len(configurations)} configurations")
    plan = []
    for number in range(rounds):
        shift = number // 2 % len(configurations)
        order = (*configurations[shift:], *configurations[:shift])
        plan.append(order[::-1] if number % 2 else order)
    return tuple(plan)
