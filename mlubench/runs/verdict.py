"""Gates: what was judged of a run, and how gates are kept in files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mlubench.metrics.verdict import Verdict
from mlubench.runs.record import Record


@dataclass(frozen=True)
class Gate:
    """One thing that was judged.

    Attributes:
        name: of the gate, such as ``accuracy-baseline``.
        subject: what it judges: a precision, a class, a configuration.
        verdict: PASS, FAIL or INCONCLUSIVE.
        reason: one sentence with the numbers.
    """

    name: str
    subject: str
    verdict: Verdict
    reason: str


class GateRecord(Record):
    """What a gate said, as it is kept in files; see :class:`Gate`."""

    name: str
    subject: str
    verdict: Verdict
    reason: str


def worst_first(gates: Sequence[GateRecord]) -> list[GateRecord]:
    """Return gates with those that failed first, those that passed last."""
    order = list(Verdict)
    return sorted(gates, key=lambda gate: -order.index(gate.verdict))
