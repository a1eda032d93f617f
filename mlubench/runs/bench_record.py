"""run.json of a benchmark: what it was, with what, on what."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import AwareDatetime, Field, JsonValue, NonNegativeFloat

from mlubench.runs.record import ModelRecord, Record, TuningRecord


class BenchRecord(Record):
    """run.json of a benchmark, version 1.

    Attributes:
        schema_version: 1.
        kind: ``benchmark``; an evaluation's has none.
        run_id: the name of the run's folder.
        created_utc: when the run folder was written; runs were published in this order.
        parameters: the options that it was given.
        model: the network.
        engine: the engine's name.
        engine_version: its version.
        engine_facts: all that the engine says of itself.
        devices: those that were measured.
        host: where the run was started.
        seconds: per stage.
        tuning: per network and batch, how devices are kept busy, where that was searched for.
        disturbed: whether other processes had so much of the host that figures may be theirs.
    """

    schema_version: Literal[1] = 1
    kind: Literal["benchmark"] = "benchmark"
    run_id: str
    created_utc: AwareDatetime
    parameters: dict[str, JsonValue]
    model: ModelRecord
    engine: str
    engine_version: str
    engine_facts: dict[str, str]
    devices: list[str]
    host: str
    seconds: dict[str, NonNegativeFloat]
    tuning: dict[str, TuningRecord] = Field({})
    disturbed: bool

    @classmethod
    def is_in(cls, folder: Path) -> bool:
        """Whether a run folder is a benchmark's, as its run.json says."""
        try:
            return '"kind": "benchmark"' in (folder / "run.json").read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            return False
