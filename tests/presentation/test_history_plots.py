"""Accuracy over the runs: lines, steps and their sentences."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from mlubench.presentation.drawing import LIGHT, SERIES
from mlubench.presentation.history_plots import accuracy_history
from mlubench.runs.history import ACCURACY_HISTORY, accuracy_until
from mlubench.runs.parquet import read_parquet, write_parquet
from mlubench.runs.record import RunRecord
from mlubench.runs.schemas import ACCURACY
from tests.support.pages import INT8, LOST, NIGHTS, STEP, write_nights


def _rows(out: Path, run: Path, most: int = 100) -> tuple[list[str], pa.Table]:
    record = RunRecord.read(run / "run.json")
    table = accuracy_until(
        out / "history", record, read_parquet(run / "accuracy.parquet", ACCURACY), most
    )
    return list(dict.fromkeys(table["run_id"].to_pylist())), table


def test_a_run_is_shown_with_those_before_it_and_like_it(tmp_path: Path) -> None:
    last = write_nights(tmp_path, nights=4)
    runs = sorted(path.name for path in (tmp_path / "runs").iterdir())
    middle = tmp_path / "runs" / runs[2]
    before, table = _rows(tmp_path, middle)
    assert before == runs[:3]
    # It is the same page whether the run is in the history yet or not, and whatever came after.
    (tmp_path / "history" / "accuracy" / f"{runs[2]}.parquet").unlink()
    assert _rows(tmp_path, middle)[1].equals(table)
    assert _rows(tmp_path, last, most=2)[0] == [runs[1], runs[3]]


def test_runs_of_other_images_are_left_out(tmp_path: Path) -> None:
    run = write_nights(tmp_path, nights=3)
    path = min((tmp_path / "history" / "accuracy").iterdir())
    table = read_parquet(path, ACCURACY_HISTORY)
    place = table.schema.get_field_index("dataset")
    others = pa.array(["others"] * table.num_rows)
    write_parquet(path, table.set_column(place, table.schema.field(place), others))
    runs = sorted(folder.name for folder in (tmp_path / "runs").iterdir())
    assert _rows(tmp_path, run)[0] == runs[1:]


def test_lines_and_steps(tmp_path: Path) -> None:
    run = write_nights(tmp_path)
    _, table = _rows(tmp_path, run)
    picture, sentences = accuracy_history(table)
    assert picture is not None
    (axes,) = picture.figure.axes
    order = sorted(set(table["precision"].to_pylist()))
    colour = LIGHT[SERIES[order.index(INT8)]]
    dots, _, *marks = [line for line in axes.lines if line.get_color() == colour]
    drop = 100 * LOST / 399
    values = np.asarray(dots.get_ydata())
    assert len(values) == NIGHTS
    assert np.diff(values)[STEP - 1] == pytest.approx(-drop)
    assert [list(mark.get_xdata()) for mark in marks] == [[STEP - 0.5] * 2]
    (sentence,) = sentences
    since = sorted(path.name for path in (tmp_path / "runs").iterdir())[STEP]
    assert sentence.startswith(f"{INT8}: ")
    assert sentence.endswith(f"% since {since}; with that run changed: its weights")
    labels = [text.get_text() for text in axes.get_xticklabels()]
    assert (labels[0], labels[-1]) == ("2026-11-01", "2026-11-09")


def test_one_run_is_no_history(tmp_path: Path) -> None:
    run = write_nights(tmp_path, nights=1)
    _, table = _rows(tmp_path, run)
    assert accuracy_history(table) == (None, [])


def test_two_runs_of_one_day_are_told_apart(tmp_path: Path) -> None:
    run = write_nights(tmp_path, nights=2)
    _, table = _rows(tmp_path, run)
    picture, sentences = accuracy_history(table)
    assert picture is not None
    (axes,) = picture.figure.axes
    assert [text.get_text() for text in axes.get_xticklabels()] == ["11-01 02:00", "11-02 02:00"]
    assert sentences == []
