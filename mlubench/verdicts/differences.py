"""What differs between a run and its baseline besides what is judged."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Difference:
    """A fact in which two runs differ.

    Attributes:
        fact: such as ``host``.
        run: its value in the run that is judged.
        baseline: its value in the baseline.
    """

    fact: str
    run: object
    baseline: object

    def __str__(self) -> str:
        return f"another {self.fact} than the baseline's: {self.run} in place of {self.baseline}"


def differences(pairs: Mapping[str, tuple[object, object]]) -> list[Difference]:
    """Return the facts that differ, in the order in which they are given.

    Args:
        pairs: by fact, its values in the run and in the baseline.
    """
    return [Difference(fact, *values) for fact, values in pairs.items() if values[0] != values[1]]
