"""The history: appended by any number of writers, read by others' tools, its steps."""

from __future__ import annotations

import multiprocessing
import re
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from mlubench.errors import StoreError
from mlubench.runs.bench_record import BenchRecord
from mlubench.runs.history import (
    ACCURACY_SERIES,
    THROUGHPUT_SERIES,
    append_accuracy,
    append_throughput,
    find_series,
    read_accuracy_history,
    read_throughput_history,
    settle,
)
from mlubench.runs.parquet import read_parquet
from mlubench.runs.record import RunRecord
from mlubench.runs.schemas import ACCURACY, THROUGHPUT
from mlubench.store import sweep
from tests.support.runs import PRECISIONS, answers, right_ones, write_benchmark, write_evaluation

INT8 = "qint8_mixed_float16"


def _append(out: Path, night: int, lost: int = 0) -> str:
    worse = answers(500, right_ones(500)[:lost])
    run = write_evaluation(out, night, {"force_float32": answers(500), INT8: worse}, images=500)
    record = RunRecord.read(run / "run.json")
    rows = read_parquet(run / "accuracy.parquet", ACCURACY)
    with append_accuracy(out / "history", record, rows):
        pass
    return run.name


def test_rows_and_their_run(tmp_path: Path) -> None:
    names = [_append(tmp_path, night) for night in (1, 0)]
    rows = read_accuracy_history(tmp_path / "history")
    assert rows["run_id"].to_pylist() == [names[1]] * 2 + [names[0]] * 2
    assert rows["precision"].to_pylist() == list(PRECISIONS) * 2
    assert set(rows["dataset_digest"].to_pylist()) == {"c" * 32}
    before = rows
    assert _append(tmp_path, 1) == names[0]  # once more
    assert read_accuracy_history(tmp_path / "history").equals(before)


def test_no_history(tmp_path: Path) -> None:
    assert read_accuracy_history(tmp_path).num_rows == 0
    assert read_throughput_history(tmp_path).num_rows == 0


def test_two_writers_do_not_meet(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    with context.Pool(2) as pool:
        names = pool.starmap(_append, [(tmp_path, night) for night in range(12)])
    assert read_accuracy_history(tmp_path / "history")["run_id"].to_pylist()[::2] == names


@pytest.mark.parametrize("named", [True, False])
def test_what_a_killed_run_began_is_finished(tmp_path: Path, named: bool) -> None:
    """Killed when its rows were written: before its folder had its name, or after."""
    name = _append(tmp_path, 0)
    folder = tmp_path / "history" / "accuracy"
    (folder / f"{name}.parquet").rename(folder / f"{name}.new")
    (folder / f".tmp-1-{name}.new").write_bytes(b"half")
    (tmp_path / "runs" / f".tmp-1-{name}").mkdir()
    (tmp_path / "runs" / f".tmp-1-{name}" / "run.json").write_bytes(b"half")
    if not named:
        shutil.rmtree(tmp_path / "runs" / name)
    settle(tmp_path / "history", tmp_path / "runs")
    assert [file.name for file in folder.glob("*.parquet")] == [f"{name}.parquet"] * named
    sweep(folder)
    assert [file.name for file in folder.iterdir()] == ([f"{name}.parquet"] if named else [])
    assert read_accuracy_history(tmp_path / "history").num_rows == (2 if named else 0)


def test_a_run_whose_folder_fails_is_in_no_history(tmp_path: Path) -> None:
    run = write_evaluation(tmp_path, 0, images=10)
    record = RunRecord.read(run / "run.json")
    rows = read_parquet(run / "accuracy.parquet", ACCURACY)
    with (
        pytest.raises(ValueError, match="no folder"),
        append_accuracy(tmp_path / "history", record, rows),
    ):
        raise ValueError("no folder")
    assert list((tmp_path / "history" / "accuracy").iterdir()) == []


def test_duckdb_and_pandas_read_it(tmp_path: Path) -> None:
    import duckdb
    import pandas as pd

    for night in range(3):
        _append(tmp_path, night, lost=night * 10)
    folder = tmp_path / "history" / "accuracy"
    # What a writer that was killed leaves is in nobody's way.
    (folder / "20261109-020000-tiny.new").write_bytes(b"half")
    (folder / ".tmp-1-20261109-020000-tiny.new").write_bytes(b"half")
    found = duckdb.sql(
        f"SELECT created_utc::date AS night, top1 FROM '{folder}/*.parquet' "
        f"WHERE precision = '{INT8}' ORDER BY night"
    ).fetchall()
    frame = pd.concat(map(pd.read_parquet, sorted(folder.glob("*.parquet"))))
    drops = [one[1] for one in found]
    assert np.diff(drops) == pytest.approx([-10 / 500] * 2)
    assert frame[frame.precision == INT8].top1.tolist() == drops


def test_damaged_file_is_named(tmp_path: Path) -> None:
    name = _append(tmp_path, 0)
    (tmp_path / "history" / "accuracy" / f"{name}.parquet").write_bytes(b"half")
    with pytest.raises(StoreError, match=name):
        read_accuracy_history(tmp_path / "history")


def test_since_which_run_accuracy_changed(tmp_path: Path) -> None:
    names = [_append(tmp_path, night, lost=0 if night < 6 else 3) for night in range(10)]
    series = find_series(read_accuracy_history(tmp_path / "history"), ACCURACY_SERIES, "top1")
    steady, changed = series
    assert [one.key["precision"] for one in series] == list(PRECISIONS)
    assert steady.steps == ()
    (step,) = changed.steps
    assert step.since.run_id == names[6]
    assert step.before - step.after == pytest.approx(3 / 500)
    assert changed.levels == (step.before,) * 6 + (step.after,) * 4
    assert changed.name == f"tiny, pictures, {INT8}, batch 8, static"


def test_since_which_run_speed_changed(tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    names = []
    for night in range(20):
        speed = 1000 if night < 12 else 950
        rounds = speed + 5 * rng.standard_normal(8)
        run = write_benchmark(tmp_path, night, {INT8: rounds.tolist()})
        record = BenchRecord.read(run / "run.json")
        rows: pa.Table = read_parquet(run / "throughput.parquet", THROUGHPUT)
        with append_throughput(tmp_path / "history", record, rows):
            pass
        names.append(run.name)
    history = read_throughput_history(tmp_path / "history")
    (series,) = find_series(history, THROUGHPUT_SERIES, "throughput")
    assert [step.since.run_id for step in series.steps] == [names[12]]
    assert series.name == f"tiny, {INT8}, batch 8, static, cpu:0"


def test_the_readmes_queries_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import duckdb

    for night in range(2):
        _append(tmp_path / "artifacts", night, lost=5 * night)
        run = write_benchmark(tmp_path, night, {INT8: [900.0, 1000.0 + night]})
        rows = read_parquet(run / "throughput.parquet", THROUGHPUT)
        history = tmp_path / "artifacts" / "history"
        with append_throughput(history, BenchRecord.read(run / "run.json"), rows):
            pass
    document = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    queries = re.findall(r"```sql\n(.*?)```", document, re.DOTALL)
    monkeypatch.chdir(tmp_path)
    over_time, changes, fastest = (duckdb.sql(query).fetchall() for query in queries)
    assert [row[2] for row in over_time] == ["force_float32"] * 2 + [INT8] * 2
    assert [row[3] for row in changes] == pytest.approx([None, None, 0.0, -1.0])
    assert fastest == [("tiny", INT8, 8, pytest.approx(950.5))]
