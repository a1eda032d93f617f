"""What a page says of its run first: the verdict, by what, and what every gate said."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mlubench.evaluate.accuracy import AccuracyRow, verdict_reasons
from mlubench.metrics.verdict import Verdict, worst
from mlubench.presentation.text import verdict_text
from mlubench.runs.verdict import GateRecord, worst_first

_SEVERITY = list(Verdict)


@dataclass(frozen=True)
class PageVerdict:
    """How a run was judged.

    Attributes:
        verdict: the worst of all gates.
        by: what it was judged by, as a sentence.
        gates: all of them.
        remarks: what else a reader must know, a sentence each.
    """

    verdict: Verdict
    by: str
    gates: Sequence[GateRecord]
    remarks: Sequence[str] = ()

    @property
    def against_it(self) -> list[GateRecord]:
        """The gates that did not pass, worst first."""
        return worst_first([gate for gate in self.gates if gate.verdict != Verdict.PASS])

    @property
    def passed(self) -> list[GateRecord]:
        """The gates that passed, in their order."""
        return [gate for gate in self.gates if gate.verdict == Verdict.PASS]

    @property
    def counts(self) -> str:
        """How many gates said what, worst first: ``1 fail, 3 pass``."""
        found = [gate.verdict for gate in self.gates]
        ordered = sorted(set(found), key=_SEVERITY.index, reverse=True)
        return ", ".join(f"{found.count(one)} {verdict_text(one)}" for one in ordered)

    def of(self, precision: str) -> Verdict:
        """Return the worst that was said of a precision, or of a class in it."""
        return worst(
            gate.verdict for gate in self.gates if gate.subject.split(", ")[0] == precision
        )


def by_own_limits(
    rows: Sequence[AccuracyRow], max_drop: Mapping[str, float], remarks: Sequence[str]
) -> PageVerdict:
    """Return how a run is judged by the limits that it was given, and by nothing else.

    Args:
        rows: its accuracy.
        max_drop: per precision, the largest drop allowed, as a fraction.
        remarks: as of :class:`PageVerdict`.
    """
    reasons = verdict_reasons(rows, max_drop)
    gates = [
        GateRecord(
            name="accuracy-float32",
            subject=row.precision,
            verdict=row.verdict,
            reason=reasons[row.precision],
        )
        for row in rows
        if row.verdict != Verdict.NOT_JUDGED
    ]
    by = (
        "Judged by its own limit, --max_drop, against force_float32 of the same run."
        if gates
        else "No limit was set and no other run was named to judge it by."
    )
    return PageVerdict(worst(gate.verdict for gate in gates), by, gates, remarks)
