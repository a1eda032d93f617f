"""The folders of finished runs: found by path or id, and what makes two of them comparable."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from pydantic import JsonValue

from mlubench.errors import ConfigError, StoreError
from mlubench.metrics.verdict import Verdict
from mlubench.runs.bench_record import BenchRecord
from mlubench.runs.parquet import read_parquet
from mlubench.runs.record import RunRecord
from mlubench.runs.schemas import ACCURACY

EVALUATION = "evaluation"
BENCHMARK = "benchmark"
#: Options that say which images are scored or which configurations are measured: a run of other
#: ones answers another question.
_COMPARED = ("image_num", "batch_size", "dynamic_shape", "devices", "threads", "infer_depth")


@dataclass(frozen=True)
class RunFacts:
    """What of a run decides which others it can be compared with.

    Attributes:
        folder: the run folder.
        run_id: its name.
        created_utc: when it was written.
        kind: ``evaluation`` or ``benchmark``.
        model: the network's name.
        dataset: the images' name; empty of a benchmark.
        engine: the engine's name.
        precisions: all of them, sorted.
        options: what else was asked for that makes a difference, as JSON.
        devices: what the engine says of each.
        verdict: the run's own; of a benchmark nothing is judged.
    """

    folder: Path
    run_id: str
    created_utc: datetime
    kind: str
    model: str
    dataset: str
    engine: str
    precisions: tuple[str, ...]
    options: str
    devices: tuple[str, ...]
    verdict: Verdict

    @property
    def key(self) -> tuple[str, ...]:
        """Equal of runs that are comparable."""
        return (self.kind, self.model, self.dataset, self.engine, " ".join(self.precisions))


def find_run(name: str, out: Path) -> Path:
    """Return a run's folder.

    Args:
        name: its path, or its id below OUT/runs.
        out: folder of runs and caches.

    Raises:
        ConfigError: there is no such run.
    """
    for folder in (out / "runs" / name, Path(name)):
        if (folder / "run.json").is_file():
            return folder
    newest = [path.parent.name for path in _records(out)][-3:]
    raise ConfigError(
        "is no run",
        where=name,
        expected=f"a run folder, or an id below {out / 'runs'}"
        + (f", such as {', '.join(newest)}" if newest else ""),
        fix="name it with its path, or give --out",
    )


def read_facts(folder: Path) -> RunFacts:
    """Read what a run was.

    Raises:
        StoreError: run.json or accuracy.parquet cannot be read.
    """
    if BenchRecord.is_in(folder):
        bench = BenchRecord.read(folder / "run.json")
        precisions = bench.parameters.get("precision", [])
        names = precisions if isinstance(precisions, list) else []
        return RunFacts(
            folder=folder,
            run_id=bench.run_id,
            created_utc=bench.created_utc,
            kind=BENCHMARK,
            model=bench.model.name,
            dataset="",
            engine=bench.engine,
            precisions=tuple(sorted(map(str, names))),
            options=_options(bench.parameters),
            devices=tuple(bench.devices),
            verdict=Verdict.NOT_JUDGED,
        )
    record = RunRecord.read(folder / "run.json")
    rows = read_parquet(folder / "accuracy.parquet", ACCURACY)
    return RunFacts(
        folder=folder,
        run_id=record.run_id,
        created_utc=record.created_utc,
        kind=EVALUATION,
        model=record.model.name,
        dataset=record.dataset.name,
        engine=record.engine,
        precisions=tuple(sorted(rows["precision"].to_pylist())),
        options=_options(record.parameters),
        devices=tuple(record.devices),
        verdict=record.verdict,
    )


def _options(parameters: Mapping[str, JsonValue]) -> str:
    return json.dumps({name: parameters.get(name) for name in _COMPARED})


def all_facts(out: Path) -> Iterator[RunFacts]:
    """Give every run below OUT/runs by name, without those that cannot be read."""
    for path in _records(out):
        try:
            yield read_facts(path.parent)
        except StoreError:
            continue


def _records(out: Path) -> list[Path]:
    """Return run.json of every run; what is being written, or was left by a kill, is none."""
    return sorted((out / "runs").glob("[!.]*/run.json"))
