"""How the runs of a nightly ended, judged together, and the nightly's folder."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from mlubench.errors import MlubenchError
from mlubench.metrics.verdict import Verdict, worst
from mlubench.pipeline.bench_outcome import BenchOutcome
from mlubench.pipeline.nightly_parameters import NightlyParameters
from mlubench.pipeline.outcome import Outcome
from mlubench.pipeline.run import free_run_id
from mlubench.pipeline.suite import Suite, SuiteRun
from mlubench.reports.nightly_json import GateRecord, NightlyRecord, RunEnding
from mlubench.reports.nightly_text import headline, nightly_markdown
from mlubench.store import atomic_folder, locked, write_atomic

#: Exit statuses, the worst first: a gate that failed is news of a network, and no other run's
#: trouble may hide it; what broke comes before what is only in doubt.
_WORST_FIRST = (1, 4, 2, 3, 0)
_WRONG_INPUT = 2


@dataclass(frozen=True)
class NightlyOutcome:
    """How a nightly ended.

    Attributes:
        folder: of its summary.
        record: what summary.json says.
    """

    folder: Path
    record: NightlyRecord

    @property
    def exit_status(self) -> int:
        """The exit status of the command."""
        return self.record.exit_status

    @property
    def headline(self) -> str:
        """The verdict and the first reason, in one line."""
        return headline(self.record)


def judge(outcome: Outcome | BenchOutcome) -> list[GateRecord]:
    """Return what each gate says of a run that has a result."""
    if isinstance(outcome, BenchOutcome):
        return []
    return [
        GateRecord(name=row.precision, verdict=row.verdict, reason=outcome.reasons[row.precision])
        for row in outcome.rows
        if row.verdict != Verdict.NOT_JUDGED
    ]


def run_ending(
    run: SuiteRun, result: Outcome | BenchOutcome | BaseException, seconds: float
) -> RunEnding:
    """Return how a run ended, from its result or from the error that it has instead."""
    if isinstance(result, BaseException):
        status = result.exit_status if isinstance(result, MlubenchError) else 4
        what = str(result) or type(result).__name__
        told = what if isinstance(result, MlubenchError) else f"{type(result).__name__}: {what}"
        return RunEnding(
            name=run.name, kind=run.kind, exit_status=status, error=told, seconds=round(seconds, 3)
        )
    gates = judge(result)
    verdict = worst(gate.verdict for gate in gates)
    own = result.exit_status if isinstance(result, Outcome) else 0
    page = result.folder / "report.html"
    return RunEnding(
        name=run.name,
        kind=run.kind,
        verdict=verdict,
        exit_status=own if own == _WRONG_INPUT else verdict.exit_status,
        gates=tuple(gates),
        notes=tuple(result.notes()),
        run_id=result.record.run_id,
        report=f"runs/{result.record.run_id}/{page.name}" if page.is_file() else "",
        seconds=round(seconds, 3),
    )


def skipped(run: SuiteRun) -> RunEnding:
    """Return the ending of a run that the host lacks something for."""
    return RunEnding(name=run.name, kind=run.kind, skipped=run.absent)


def exit_status(endings: Sequence[RunEnding]) -> int:
    """Return the exit status of a whole: the worst of its parts'; of nothing run, wrong input.

    The worst is a failed gate (1), then a device or engine that failed (4), wrong input (2), and
    doubt (3).
    """
    ran = [ending.exit_status for ending in endings if not ending.skipped]
    if not ran:
        return _WRONG_INPUT
    return min(ran, key=_WORST_FIRST.index)


def write_nightly(
    asked: NightlyParameters, suite: Suite, endings: Sequence[RunEnding], started: datetime
) -> NightlyOutcome:
    """Write the nightly's folder, ``nightly/<run_id>``, which appears when it is complete.

    Args:
        asked: the options.
        suite: what was run.
        endings: how each of its runs ended, in the suite's order.
        started: when the nightly began.

    Raises:
        StoreError: the folder cannot be written.
    """
    place = asked.out / "nightly"
    with locked(place / ".lock"):
        record = NightlyRecord(
            run_id=free_run_id(place, started, suite.name, simulated=False),
            created_utc=started,
            suite=suite.name,
            description=suite.description,
            parameters=asked.model_dump(mode="json"),
            host=socket.gethostname(),
            seconds=round((datetime.now(UTC) - started).total_seconds(), 3),
            verdict=worst(ending.verdict for ending in endings),
            exit_status=exit_status(endings),
            runs=tuple(endings),
        )
        with atomic_folder(place / record.run_id) as folder:
            record.write(folder / "summary.json")
            page = nightly_markdown(record, lambda report: f"../../{report}")
            write_atomic(folder / "summary.md", page.encode("utf-8"))
    return NightlyOutcome(place / record.run_id, record)
