"""Pictures of a benchmark: true to scale, grouped, everything within the frame."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mlubench.runs.parquet import read_parquet
from mlubench.runs.schemas import THROUGHPUT
from mlubench.speed.benchmark.plots import (
    bench_plots,
    configuration_names,
    latency_picture,
    rounds_picture,
    scaling_picture,
    scaling_rows,
    stages_picture,
    throughput_picture,
)
from tests.support.speed_pages import INT8, RATES, write_bench

ROUNDS = 8
TWO = (("cpu:0", "cpu:1"), ("cpu:0",))


def _rows(folder: Path, **options: Any) -> list[dict[str, Any]]:
    path = write_bench(folder, 0, **options) / "throughput.parquet"
    rows: list[dict[str, Any]] = read_parquet(path, THROUGHPUT).to_pylist()
    return rows


@pytest.fixture
def rows(tmp_path: Path) -> list[dict[str, Any]]:
    return _rows(tmp_path)


def test_bars_are_as_long_as_the_throughput_and_grouped_by_batch(
    rows: list[dict[str, Any]],
) -> None:
    (axes,) = throughput_picture(rows).figure.axes
    by_batch = sorted(rows, key=lambda row: row["batch_size"])
    assert [bar.get_width() for bar in axes.patches] == [row["throughput"] for row in by_batch]
    texts = [text.get_text() for text in axes.texts]
    assert [text for text in texts if text.startswith("batch")] == ["batch 1", "batch 8"]
    ends = [line.get_xdata() for line in axes.lines]
    expected = [(row["throughput_low"], row["throughput_high"]) for row in by_batch]
    np.testing.assert_allclose(ends, expected)
    assert axes.get_xlim()[1] > max(row["throughput_high"] for row in rows)


def test_percentiles_are_where_they_belong_and_hollow_where_samples_lack(
    rows: list[dict[str, Any]],
) -> None:
    (axes,) = latency_picture(rows).figure.axes
    dots = [line for line in axes.lines if line.get_marker() == "o"]
    assert len(dots) == 5 * len(rows)
    first = rows[0]
    expected = [first[f"{name}_ms"] for name in ("p50", "p90", "p95", "p99", "p999")]
    assert [dot.get_xdata()[0] for dot in dots[:5]] == expected
    filled = [dot.get_markerfacecolor() == dot.get_color() for dot in dots[:5]]
    # Of 720 requests: MLPerf wants 662 for p99 and 6636 for p99.9.
    assert filled == [True, True, True, True, False]
    left, right = axes.get_xlim()
    assert all(left <= dot.get_xdata()[0] <= right for dot in dots)


def test_stages_add_up(rows: list[dict[str, Any]]) -> None:
    (axes,) = stages_picture(rows).figure.axes
    widths = np.array([bar.get_width() for bar in axes.patches]).reshape(len(rows), 3)
    np.testing.assert_allclose(widths.sum(axis=1), 100)
    times = np.array([rows[0][f"{stage}_ms"] for stage in ("copy_in", "compute", "copy_out")])
    np.testing.assert_allclose(widths[0], 100 * times / times.sum())


def test_a_drift_of_the_machine_is_the_bold_line(rows: list[dict[str, Any]]) -> None:
    for row in rows:
        row["round_throughput"] = [row["throughput"] * (1 - 0.02 * i) for i in range(ROUNDS)]
    (axes,) = rounds_picture(rows).figure.axes
    bold = max(axes.lines, key=lambda line: line.get_linewidth())
    np.testing.assert_allclose(bold.get_ydata(), [100 - 2 * i for i in range(ROUNDS)])
    assert list(bold.get_xdata()) == list(range(1, ROUNDS + 1))


def test_scaling_is_beside_the_perfect_line(tmp_path: Path) -> None:
    rows = _rows(tmp_path, devices=TWO, batches=(8,))
    (axes,) = scaling_picture(scaling_rows(rows)).figure.axes
    dashed = [line for line in axes.lines if line.is_dashed()]
    assert len(dashed) == len(RATES)
    alone = [row for row in rows if len(row["devices"]) == 1]
    for line, row in zip(dashed, alone, strict=True):
        np.testing.assert_allclose(line.get_xdata(), [1, 2], atol=0.1)
        np.testing.assert_allclose(line.get_ydata(), [row["throughput"], 2 * row["throughput"]])


def test_what_was_not_measured_is_not_drawn(tmp_path: Path) -> None:
    rows = _rows(tmp_path)
    assert scaling_rows(rows) == []
    single = [{**row, "rounds": 1} for row in rows]
    titles = [plot.title for plot in bench_plots(single)]
    assert titles == [
        "Throughput, images per second",
        "Latency of a request, ms",
        "Stages of a request, %",
    ]


def test_names_tell_configurations_apart(tmp_path: Path) -> None:
    rows = _rows(tmp_path, devices=TWO)
    names = configuration_names(rows)
    assert len(set(names)) == len(rows)
    assert f"{INT8}, batch 8, 2 devices" in names
    assert configuration_names(rows[-1:]) == [f"{INT8}, batch 8"]
