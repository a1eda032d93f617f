"""What the gates of a run say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mlubench.metrics.verdict import Verdict, worst
from mlubench.runs.record import Record
from mlubench.verdicts.speed_gates import RunsCompared


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


@dataclass(frozen=True)
class Judged:
    """A run, judged.

    Attributes:
        run: its id.
        baseline: what it was judged by: another run's id, ``published``, or empty.
        gates: in the order in which they are shown.
        remarks: what else differs from the baseline, a sentence each.
        compared: of a benchmark, the two runs side by side.
    """

    run: str
    baseline: str
    gates: Sequence[Gate]
    remarks: Sequence[str] = ()
    compared: RunsCompared | None = None

    @property
    def verdict(self) -> Verdict:
        """The worst of all gates."""
        return worst(gate.verdict for gate in self.gates)


class GateRecord(Record):
    """What a gate said, as it is kept in files; see :class:`Gate`."""

    name: str
    subject: str
    verdict: Verdict
    reason: str


def gate_records(judged: Judged) -> tuple[GateRecord, ...]:
    """Return a run's gates as they are kept in files."""
    return tuple(GateRecord(**vars(gate)) for gate in judged.gates)


def worst_first(gates: Sequence[GateRecord]) -> list[GateRecord]:
    """Return gates with those that failed first, those that passed last."""
    order = list(Verdict)
    return sorted(gates, key=lambda gate: -order.index(gate.verdict))
