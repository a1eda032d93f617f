"""The history: every run's rows, as Parquet files that only ever are added; where figures changed.

``accuracy/<run_id>.parquet`` and ``throughput/<run_id>.parquet`` hold a run's accuracy.parquet or
throughput.parquet with a few columns of its run.json before them. One file a run, so that two
writers never meet; each appears whole.

A run's rows are written as ``<run_id>.new`` before its folder appears, and get their name after.
What a run that was killed in between lacks of the two steps, the next one does: :func:`settle`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow as pa

from mlubench.metrics.figures import figure, in_points
from mlubench.metrics.steps import stretches
from mlubench.runs.bench_record import BenchRecord
from mlubench.runs.parquet import read_parquet, write_parquet
from mlubench.runs.record import RunRecord
from mlubench.runs.schemas import ACCURACY, THROUGHPUT
from mlubench.store import name_finished

#: The folders of the history that have a file of each run.
TABLES = ("accuracy", "throughput")
#: Not an ending as the data's: DuckDB's *.parquet finds hidden files too.
_NEW = ".new"
_RUN = (
    pa.field("run_id", pa.string(), nullable=False),
    pa.field("created_utc", pa.timestamp("us", "UTC"), nullable=False),
    pa.field("prototxt_sha256", pa.string(), nullable=False),
    pa.field("weights_sha256", pa.string(), nullable=False),
    pa.field("host", pa.string(), nullable=False),
)

#: Rows of accuracy.parquet and their run's.
ACCURACY_HISTORY = pa.schema([*_RUN, pa.field("dataset_digest", pa.string(), False), *ACCURACY])
#: Rows of throughput.parquet and their run's.
THROUGHPUT_HISTORY = pa.schema([*_RUN, *THROUGHPUT])

#: What makes rows of several runs one series.
ACCURACY_SERIES = (
    "model",
    "dataset",
    "engine",
    "precision",
    "batch_size",
    "dynamic_shape",
)
THROUGHPUT_SERIES = (
    "model",
    "engine",
    "precision",
    "batch_size",
    "dynamic_shape",
    "devices",
    "threads",
    "infer_depth",
    "host",
)


#: A page shows so many runs at most.
RUNS_SHOWN = 100
#: Inputs of a run that may change its figures, by column, in words.
_INPUTS = {
    "prototxt_sha256": "the network's text",
    "weights_sha256": "its weights",
    "dataset_digest": "the images",
    "engine_version": "the engine's version",
    "host": "the host",
}
#: Run ids begin with when the run began.
_STAMP = len("20261103-093015-")
_OLDEST_FIRST = [("created_utc", "ascending"), ("run_id", "ascending")]


@dataclass(frozen=True)
class Point:
    """A figure of one run."""

    run_id: str
    created_utc: datetime
    value: float


@dataclass(frozen=True)
class Step:
    """A change of a figure that lasted.

    Attributes:
        since: the first run with the new level.
        before: the old level, the median of its runs.
        after: the new one.
    """

    since: Point
    before: float
    after: float

    @property
    def accuracy_text(self) -> str:
        """The step of an accuracy in words."""
        change = f"{100 * (self.after - self.before):+.2f} points"
        return self._text(f"{in_points(self.before)} %", f"{in_points(self.after)} %", change)

    @property
    def throughput_text(self) -> str:
        """The step of a throughput in words."""
        change = f"{100 * (self.after / self.before - 1):+.1f} %" if self.before else "from nothing"
        return self._text(figure(self.before), f"{figure(self.after)} images/s", change)

    def _text(self, before: str, after: str, change: str) -> str:
        return f"{before} to {after} ({change}) since run {self.since.run_id}"


@dataclass(frozen=True)
class Series:
    """A figure over the runs, oldest first.

    Attributes:
        key: what the runs have in common, by column.
        figure: the column.
        points: a run each.
        levels: the level of the stretch that each point lies in.
        steps: where the level changed.
    """

    key: Mapping[str, Any]
    figure: str
    points: Sequence[Point]
    levels: Sequence[float]
    steps: Sequence[Step]

    @property
    def name(self) -> str:
        """The series in a few words."""
        shape = "dynamic" if self.key["dynamic_shape"] else "static"
        devices = self.key.get("devices")
        words = [
            self.key["model"],
            *([self.key["dataset"]] if "dataset" in self.key else []),
            self.key["precision"],
            f"batch {self.key['batch_size']}",
            shape,
            *([" ".join(devices)] if devices else []),
        ]
        return ", ".join(words)


def append_accuracy(
    history: Path, record: RunRecord, rows: pa.Table
) -> AbstractContextManager[None]:
    """Add an evaluation's rows to the history where the block, which names its folder, ends well.

    Args:
        history: the folder of the history.
        record: the run's.
        rows: of schema :data:`~mlubench.runs.schemas.ACCURACY`.

    Raises:
        StoreError: it cannot be written.
    """
    folder = history / "accuracy"
    return _append(folder, record.run_id, _accuracy_facts(record), rows, ACCURACY_HISTORY)


def append_throughput(
    history: Path, record: BenchRecord, rows: pa.Table
) -> AbstractContextManager[None]:
    """Add a benchmark's rows to the history; see :func:`append_accuracy`."""
    folder = history / "throughput"
    return _append(folder, record.run_id, _facts(record), rows, THROUGHPUT_HISTORY)


def settle(history: Path, runs: Path) -> None:
    """Finish what runs that were killed while they wrote their folders had begun here.

    Args:
        history: the folder of the history.
        runs: the folder of all runs; hold its lock, so that no other run is writing.

    Raises:
        StoreError: it cannot be written.
    """
    for written in sorted(history.glob(f"*/[!.]*{_NEW}")):
        if (runs / written.stem / "run.json").is_file():
            name_finished(written, written.with_suffix(".parquet"))
        else:
            written.unlink(missing_ok=True)


def read_accuracy_history(history: Path) -> pa.Table:
    """Return the rows of all evaluations, oldest first.

    Raises:
        StoreError: a file is damaged.
    """
    return _read(history / "accuracy", ACCURACY_HISTORY)


def accuracy_until(
    history: Path | None, record: RunRecord, rows: pa.Table, most: int = RUNS_SHOWN
) -> pa.Table:
    """Return an evaluation's rows and those of the runs like it before it, oldest first.

    Like it are those of the same network, images, engine, batch and shape. Later runs are left
    out, so that a run's page stays what it is.

    Args:
        history: the folder of the history; the run itself need not be in it. None: it alone.
        record: the run's.
        rows: of its accuracy.parquet.
        most: runs, its own among them; the newest ones.

    Raises:
        StoreError: a file is damaged.
    """
    own = _with_run(_accuracy_facts(record), rows, ACCURACY_HISTORY)
    folder = history / "accuracy" if history else None
    alike = [name for name in ACCURACY_SERIES if name != "precision"]
    return _until(folder, own, alike, most)


def what_changed(rows: pa.Table, run_id: str) -> list[str]:
    """Return what of its inputs a run had otherwise than the run before it.

    Args:
        rows: of :func:`accuracy_until`.
        run_id: not the first run.
    """
    by_run = {row["run_id"]: row for row in rows.to_pylist()}
    ids = list(by_run)
    before, after = by_run[ids[ids.index(run_id) - 1]], by_run[run_id]
    return [what for column, what in _INPUTS.items() if before[column] != after[column]]


def read_throughput_history(history: Path) -> pa.Table:
    """Return the rows of all benchmarks, oldest first.

    Raises:
        StoreError: a file is damaged.
    """
    return _read(history / "throughput", THROUGHPUT_HISTORY)


def throughput_until(
    history: Path | None, record: BenchRecord, rows: pa.Table, most: int = RUNS_SHOWN
) -> pa.Table:
    """Return a benchmark's rows and those of the runs like it before it, oldest first.

    Like it are those of the same network, engine and host; see :func:`accuracy_until`.
    """
    own = _with_run(_facts(record), rows, THROUGHPUT_HISTORY)
    folder = history / "throughput" if history else None
    return _until(folder, own, ("model", "engine", "host"), most)


def named_alike(name: str, run_id: str) -> bool:
    """Whether a run's id is like another's but for when it was: it may be of the same network."""
    return name[_STAMP:].startswith(re.sub(r"-\d+$", "", run_id[_STAMP:]))


def _until(folder: Path | None, own: pa.Table, alike: Sequence[str], most: int) -> pa.Table:
    """Return a run's rows and those of older runs that have these columns in common with it."""
    tables = [own]
    run_id = own["run_id"][0].as_py()
    for path in sorted(folder.glob("*.parquet") if folder else (), reverse=True):
        if len(tables) == most:
            break
        # A file's name tells when and of what the run was, so that few of very many are read.
        if path.stem != run_id and named_alike(path.stem, run_id):
            table = read_parquet(path, own.schema)
            if _values(table, alike) == _values(own, alike) and _age(table) < _age(own):
                tables.append(table)
    return pa.concat_tables(tables).sort_by(_OLDEST_FIRST)


def _values(rows: pa.Table, columns: Sequence[str]) -> tuple[Any, ...]:
    return tuple(rows.slice(0, 1).select(list(columns)).to_pylist()[0].values())


def _age(rows: pa.Table) -> tuple[datetime, str]:
    return rows["created_utc"][0].as_py(), rows["run_id"][0].as_py()


def find_series(
    rows: pa.Table, keys: Sequence[str], figure: str, min_length: int = 3
) -> list[Series]:
    """Return a figure's series over the history, with the steps in each.

    Args:
        rows: of the history, oldest first.
        keys: the columns that make one series, such as :data:`ACCURACY_SERIES`.
        figure: the column, such as ``top1`` or ``throughput``; rows without it are left out.
        min_length: runs that a new level must last for.
    """
    by_key: dict[tuple[Any, ...], list[Point]] = {}
    for row in rows.to_pylist():
        if row[figure] is not None:
            key = tuple(tuple(row[k]) if isinstance(row[k], list) else row[k] for k in keys)
            point = Point(row["run_id"], row["created_utc"], float(row[figure]))
            by_key.setdefault(key, []).append(point)
    return [
        _series(dict(zip(keys, key, strict=True)), figure, points, min_length)
        for key, points in sorted(by_key.items(), key=lambda item: str(item[0]))
    ]


def _series(
    key: Mapping[str, Any], figure: str, points: Sequence[Point], min_length: int
) -> Series:
    parts = stretches([point.value for point in points], min_length)
    steps = [
        Step(points[after.first], before.level, after.level) for before, after in pairwise(parts)
    ]
    levels = [part.level for part in parts for _ in range(part.first, part.end)]
    return Series(key, figure, tuple(points), tuple(levels), tuple(steps))


def _facts(record: RunRecord | BenchRecord) -> dict[str, Any]:
    return {
        "run_id": record.run_id,
        "created_utc": record.created_utc,
        "prototxt_sha256": record.model.prototxt_sha256,
        "weights_sha256": record.model.weights_sha256,
        "host": record.host,
    }


def _with_run(facts: Mapping[str, Any], rows: pa.Table, schema: pa.Schema) -> pa.Table:
    """Return rows with the facts of their run before them."""
    columns = {
        **{
            name: pa.repeat(pa.scalar(value, schema.field(name).type), rows.num_rows)
            for name, value in facts.items()
        },
        **{name: rows[name] for name in rows.column_names},
    }
    return pa.Table.from_arrays([columns[name] for name in schema.names], schema=schema)


def _accuracy_facts(record: RunRecord) -> dict[str, Any]:
    return {**_facts(record), "dataset_digest": record.dataset.digest}


@contextmanager
def _append(
    folder: Path, run_id: str, facts: Mapping[str, Any], rows: pa.Table, schema: pa.Schema
) -> Iterator[None]:
    table = _with_run(facts, rows, schema)
    written = folder / f"{run_id}{_NEW}"
    write_parquet(written, table)
    try:
        yield
    except BaseException:
        with suppress(OSError):
            written.unlink()
        raise
    name_finished(written, folder / f"{run_id}.parquet")


def _read(folder: Path, schema: pa.Schema) -> pa.Table:
    tables = [read_parquet(path, schema) for path in sorted(folder.glob("*.parquet"))]
    return pa.concat_tables([schema.empty_table(), *tables]).sort_by(_OLDEST_FIRST)
