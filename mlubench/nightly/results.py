"""How the runs of a nightly ended, judged together, and the nightly's folder."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mlubench.errors import DepotError, MlubenchError, StoreError
from mlubench.evaluate.results import Outcome
from mlubench.metrics.verdict import Verdict, worst
from mlubench.nightly.next_steps import PastNight
from mlubench.nightly.options import NightlyParameters
from mlubench.nightly.page import render_nightly_page
from mlubench.nightly.record import NightlyRecord, RunEnding
from mlubench.nightly.suite import Suite, SuiteRun
from mlubench.nightly.text import headline, nightly_markdown
from mlubench.object_store.store import Depot
from mlubench.report.page import page_again
from mlubench.runs.baselines import LAST_GOOD, PINNED, PUBLISHED, find_baseline
from mlubench.runs.folders import free_run_id
from mlubench.runs.sharing import bring_baseline
from mlubench.runs.verdict import Gate
from mlubench.speed.benchmark.results import BenchOutcome
from mlubench.store import atomic_folder, locked, write_atomic
from mlubench.verdicts.judge import (
    Judged,
    gate_records,
    judge,
    judge_alone,
    judge_by,
    record_verdict,
)
from mlubench.verdicts.junit import write_junit

#: Exit statuses, the worst first: a gate that failed is news of a network, and no other run's
#: trouble may hide it; what broke comes before what is only in doubt.
_WORST_FIRST = (1, 4, 2, 3, 0)
_WRONG_INPUT = 2
#: Nights that are shown beside one.
_NIGHTS = 30


@dataclass(frozen=True)
class NightlyOutcome:
    """How a nightly ended.

    Attributes:
        folder: of its summary.
        record: what summary.json says.
        unshared: why it is not on the store that other hosts share; empty where it is, or none is.
    """

    folder: Path
    record: NightlyRecord
    unshared: str = ""

    @property
    def exit_status(self) -> int:
        """The exit status of the command."""
        return self.record.exit_status or (DepotError.exit_status if self.unshared else 0)

    @property
    def headline(self) -> str:
        """The verdict and the first reason, in one line."""
        return headline(self.record)


def judge_run(run: SuiteRun, folder: Path, depot: Depot | None = None) -> Judged:
    """Judge a finished run by its baseline and keep what was said, for the nights to come.

    The run's page then says so too; where it cannot be written, a remark tells. Where there is no
    baseline yet, an evaluation is judged by itself alone, a benchmark is not.

    Args:
        run: of the suite.
        folder: what it wrote.
        depot: where a baseline of another host is taken from, if there is one.

    Raises:
        DepotError: the store fails.
        ConfigError: the baseline that the suite names is not there, or cannot be compared with.
        StoreError: a run cannot be read, or the verdict cannot be written.
    """
    out = run.parameters.out
    judged = _judged(run, folder, out, depot)
    record_verdict(judged, out)
    trouble = page_again(folder)
    return replace(judged, remarks=(*judged.remarks, trouble)) if trouble else judged


def _judged(run: SuiteRun, folder: Path, out: Path, depot: Depot | None) -> Judged:
    if run.baseline == PUBLISHED:
        return judge_by(folder.name, PUBLISHED, run.gates, out, run.parameters.conf)
    for which in (run.baseline,) if run.baseline else (PINNED, LAST_GOOD):
        if depot is not None:
            bring_baseline(depot, out, folder, which)
        if (baseline := find_baseline(folder, which, out)) is not None:
            return judge(folder, baseline, run.gates)
    remark = f"there is no {run.baseline or 'baseline'} yet to judge it by"
    if run.kind == "benchmark":
        return Judged(folder.name, "", (), (remark,))
    return replace(judge_alone(folder, run.gates), remarks=(remark,))


def run_ending(
    run: SuiteRun,
    result: Outcome | BenchOutcome | BaseException,
    seconds: float,
    depot: Depot | None = None,
) -> RunEnding:
    """Judge a run that has a result; return how it ended, or with what error."""
    if isinstance(result, BaseException):
        return _broken(run, result, seconds)
    try:
        judged = judge_run(run, result.folder, depot)
    except MlubenchError as error:
        return _broken(run, error, seconds, result.record.run_id)
    own = result.exit_status if isinstance(result, Outcome) else 0
    wrong = [own] if own == _WRONG_INPUT else []
    page = result.folder / "report.html"
    return RunEnding(
        **_about(run),
        verdict=judged.verdict,
        exit_status=min([judged.verdict.exit_status, *wrong], key=_WORST_FIRST.index),
        baseline=judged.baseline,
        gates=gate_records(judged),
        notes=(*_notes(result), *judged.remarks),
        run_id=result.record.run_id,
        report=f"runs/{result.record.run_id}/{page.name}" if page.is_file() else "",
        seconds=round(seconds, 3),
    )


def with_shared(ending: RunEnding, unshared: str) -> RunEnding:
    """Return the ending of a run that was to be put on a store.

    Args:
        ending: how it ended.
        unshared: why that could not be; empty where it was.
    """
    if not unshared:
        return ending
    status = ending.exit_status or DepotError.exit_status
    notes = (*(note for note in ending.notes if note != unshared), unshared)
    return ending.model_copy(update={"notes": notes, "exit_status": status})


def _about(run: SuiteRun) -> dict[str, Any]:
    """Return what an ending says of its run, whatever became of it."""
    return {
        "name": run.name,
        "kind": run.kind,
        "model": run.model,
        "engine": run.parameters.engine,
        "precisions": run.parameters.precision,
    }


def _notes(result: Outcome | BenchOutcome) -> list[str]:
    """Return what a run says beside its verdicts, which the gates have."""
    if isinstance(result, BenchOutcome):
        return result.notes()
    verdicts = {f"{precision}: {reason}" for precision, reason in result.reasons.items()}
    return [note for note in result.notes() if note not in verdicts]


def _broken(run: SuiteRun, error: BaseException, seconds: float, run_id: str = "") -> RunEnding:
    ours = isinstance(error, MlubenchError)
    what = str(error) or type(error).__name__
    return RunEnding(
        **_about(run),
        exit_status=error.exit_status if isinstance(error, MlubenchError) else 4,
        error=what if ours else f"{type(error).__name__}: {what}",
        run_id=run_id,
        seconds=round(seconds, 3),
    )


def skipped(run: SuiteRun) -> RunEnding:
    """Return the ending of a run that the host lacks something for."""
    return RunEnding(**_about(run), skipped=run.absent)


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
            run_id=free_run_id(place, started, suite.name, shared=asked.artifacts is not None),
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
            summary = nightly_markdown(record, lambda report: f"../../{report}")
            write_atomic(folder / "summary.md", summary.encode("utf-8"))
            page = render_nightly_page(record, nights_before(record, place))
            write_atomic(folder / "report.html", page.encode("utf-8"))
            write_junit(folder / "junit.xml", [_as_tests(run) for run in record.runs])
    return NightlyOutcome(place / record.run_id, record)


def nights_before(record: NightlyRecord, place: Path) -> list[PastNight]:
    """Return the last nights of the same suite, the newest first; damaged ones are left out.

    Args:
        record: the night that they were before.
        place: the folder of all nights.
    """
    found: list[PastNight] = []
    # Hidden is what is being written, the night itself among it.
    for path in sorted(place.glob("[!.]*/summary.json"), reverse=True):
        # Ids begin with the time.
        if path.parent.name >= record.run_id or len(found) == _NIGHTS:
            continue
        try:
            past = NightlyRecord.read(path)
        except StoreError:
            continue
        if past.suite == record.suite:
            found.append(PastNight(past, (path.parent / "report.html").is_file()))
    return found


def _as_tests(run: RunEnding) -> Judged:
    """Return a run for JUnit: its gates are tests, and that it ran at all is one."""
    ran = Gate("run", run.kind, Verdict.PASS, "it ran to its end")
    if run.error:
        ran = Gate("run", run.kind, Verdict.FAIL, run.error)
    if run.skipped:
        ran = Gate("run", run.kind, Verdict.NOT_JUDGED, run.skipped)
    gates = (Gate(one.name, one.subject, one.verdict, one.reason) for one in run.gates)
    return Judged(run.name, run.baseline, (ran, *gates), run.notes)
