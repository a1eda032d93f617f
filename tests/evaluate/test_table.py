"""The table fits a terminal, and names cannot break it."""

from __future__ import annotations

import dataclasses
import io

import pytest
from rich.console import Console

from mlubench.evaluate.accuracy import AccuracyRow, accuracy_rows
from mlubench.evaluate.table import accuracy_markdown, render_accuracy, summary_lines
from mlubench.metrics.verdict import Verdict
from tests.support import examples


@pytest.fixture(scope="module")
def rows() -> list[AccuracyRow]:
    limits = {"force_float16": 0.02, "qint8_mixed_float16": 0.0}
    return accuracy_rows(examples.predictions(), examples.SETUP, limits)


def _printed(rows: list[AccuracyRow], width: int = 100) -> str:
    stream = io.StringIO()
    Console(file=stream, width=width, color_system=None).print(render_accuracy(rows))
    return stream.getvalue()


def test_table_shows_every_figure(rows: list[AccuracyRow]) -> None:
    printed = _printed(rows)
    for row in rows:
        assert row.precision in printed
        assert row.executed_precision in printed
        assert f"{100 * row.top1:.2f}" in printed
        assert f"{100 * row.top5_low:.2f} to {100 * row.top5_high:.2f}" in printed
    assert f"{rows[2].lost} / {rows[2].won}" in printed
    assert f"{100 * (rows[2].drop or 0):.2f}" in printed
    assert f"{rows[2].mcnemar_p:.3f}" in printed
    assert "reference" in printed


def test_widest_figures_fit_100_columns(rows: list[AccuracyRow]) -> None:
    widest = dataclasses.replace(
        rows[2],
        precision="qint16_mixed_float32",
        executed_precision="int8, the rest in bfloat16",
        top1_low=0.9999,
        top1_high=1.0,
        top5_low=0.9999,
        top5_high=1.0,
        drop=-0.05,
        drop_low=-0.0512,
        drop_high=-0.0499,
        lost=10_000,
        won=25_000,
        verdict=Verdict.INCONCLUSIVE,
    )
    printed = _printed([widest])
    assert "…" not in printed
    assert "bfloat16" in printed
    for text in ("qint16_mixed_float32", "99.99 to 100.00", "-5.12 to -4.99", "10000 / 25000"):
        assert text in printed
    assert max(map(len, printed.splitlines())) <= 100


def test_brackets_are_no_markup(rows: list[AccuracyRow]) -> None:
    assert "[red]x[/red]" in _printed([dataclasses.replace(rows[0], precision="[red]x[/red]")])


def test_markdown_has_a_line_per_precision(rows: list[AccuracyRow]) -> None:
    lines = accuracy_markdown(rows).splitlines()
    assert len(lines) == 2 + len(rows)
    assert {line.count("|") for line in lines} == {11}
    cells = [cell.strip() for cell in lines[3].split("|")[1:-1]]
    assert cells[:3] == ["force_float16", "bfloat16", str(rows[1].images)]
    assert cells[3].startswith(f"{100 * rows[1].top1:.2f} (")
    assert cells[-1] == "pass"
    assert [cell.strip() for cell in lines[2].split("|")[6:10]] == ["\u2013"] * 4


def test_markdown_escapes_names(rows: list[AccuracyRow]) -> None:
    odd = dataclasses.replace(rows[0], executed_precision="a|b<script>`")
    assert "a&#124;b&lt;script>&#96;" in accuracy_markdown([odd])


def test_summary() -> None:
    assert summary_lines(examples.run_record()) == [
        "verdict: inconclusive",
        "run:     20261103-093015-tiny",
        "model:   tiny",
        "images:  digits, 398 of 401 images scored, 2 corrupt, 1 missing, 3 not in the list",
        "engine:  openvino 2026.4 on cpu:0, cpu:1",
        "time:    build 12.5 s, decode 3.2 s, infer 61.0 s",
    ]
