"""summary.json: how a nightly ended, run by run and gate by gate."""

from __future__ import annotations

from typing import Literal

from pydantic import AwareDatetime, JsonValue, NonNegativeFloat, NonNegativeInt

from mlubench.metrics.verdict import Verdict
from mlubench.reports.gates import GateRecord
from mlubench.reports.run_json import Record


class RunEnding(Record):
    """How one evaluation or benchmark of a nightly ended.

    Attributes:
        name: as the suite has it.
        kind: which flow ran it.
        verdict: the worst of its gates'; ``not_judged`` where it broke or was skipped.
        exit_status: as of a command of its own.
        baseline: what it was judged by: another run's id, ``published``, or empty.
        gates: one by one.
        error: why it has no result; empty where it has one.
        skipped: what the host lacked; empty where it ran.
        notes: what else a reader must know.
        run_id: the name of its folder in ``runs``; empty where it has none.
        report: its page, relative to the folder of all artifacts; empty where it has none.
        seconds: how long it took.
    """

    name: str
    kind: Literal["evaluation", "benchmark"]
    verdict: Verdict = Verdict.NOT_JUDGED
    exit_status: NonNegativeInt = 0
    baseline: str = ""
    gates: tuple[GateRecord, ...] = ()
    error: str = ""
    skipped: str = ""
    notes: tuple[str, ...] = ()
    run_id: str = ""
    report: str = ""
    seconds: NonNegativeFloat = 0.0


class NightlyRecord(Record):
    """summary.json, version 1.

    Attributes:
        schema_version: 1.
        kind: ``nightly``.
        run_id: the name of the nightly's folder.
        created_utc: when it started.
        suite: the suite's name.
        description: the suite's own.
        parameters: the options that it was given.
        host: where it ran.
        seconds: how long it took.
        verdict: the worst of its runs'.
        exit_status: of the command; see :func:`mlubench.pipeline.nightly.exit_status`.
        runs: in the suite's order.
    """

    schema_version: Literal[1] = 1
    kind: Literal["nightly"] = "nightly"
    run_id: str
    created_utc: AwareDatetime
    suite: str
    description: str
    parameters: dict[str, JsonValue]
    host: str
    seconds: NonNegativeFloat
    verdict: Verdict
    exit_status: NonNegativeInt
    runs: tuple[RunEnding, ...]
