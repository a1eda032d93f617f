"""Explanations and searches: what was written is read again."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import pytest

from mlubench.errors import StoreError
from mlubench.explain.curve import read_curve, write_fallback
from mlubench.explain.explanation import read_explanation, write_explanation
from mlubench.metrics.figures import decibels
from mlubench.metrics.layer_noise import LayerNoise
from tests.support import pages

NAMES = [f"class {number}" for number in range(10)]


def test_an_explanation_is_read_as_it_was_written(tmp_path: Path) -> None:
    told = pages.explanation(pages.write_nights(tmp_path, nights=6))
    write_explanation(told, tmp_path / "x")
    read = read_explanation(tmp_path / "x", NAMES)
    assert read.flips
    assert read == dataclasses.replace(told, class_names=NAMES)


@pytest.mark.parametrize(
    "ratios",
    [
        [-math.inf, -3.0, 20.0, math.inf],
        [math.inf, math.inf],
        [-3.0, math.inf],
        [],
    ],
)
def test_ratios_without_an_end_are_told_apart(tmp_path: Path, ratios: list[float]) -> None:
    layers = [
        LayerNoise(str(place), "", place, ratio, None, False, 1)
        for place, ratio in enumerate(ratios)
    ]
    run = pages.write_nights(tmp_path, nights=1)
    told = dataclasses.replace(pages.explanation(run), layers=layers)
    write_explanation(told, tmp_path / "x")
    assert [one.snr_db for one in read_explanation(tmp_path / "x", NAMES).layers] == ratios


def test_ratios_as_text() -> None:
    values = [3.25, math.inf, -math.inf, None]
    assert [decibels(value) for value in values] == ["3.2", "equal", "no signal", "-"]


def test_why_there_are_no_layers_is_read_again(tmp_path: Path) -> None:
    told = pages.explanation(pages.write_nights(tmp_path, nights=1))
    told = dataclasses.replace(told, layers=[], images=0, no_layers="the engine gives none")
    write_explanation(told, tmp_path / "x")
    assert read_explanation(tmp_path / "x", NAMES).no_layers == "the engine gives none"


@pytest.mark.parametrize("text", ["", "{}", '{"run": 1}', "[]"])
def test_a_damaged_explanation_is_told(tmp_path: Path, text: str) -> None:
    (tmp_path / "explain.json").write_text(text)
    with pytest.raises(StoreError, match="cannot be read") as caught:
        read_explanation(tmp_path, NAMES)
    assert caught.value.fix == "run mlubench explain again"


def test_a_search_is_read_as_it_was_written(tmp_path: Path) -> None:
    found = pages.fallback()
    write_fallback(found, tmp_path)
    curve = read_curve(tmp_path)
    assert curve is not None
    assert (curve.budget, curve.layers, curve.kept, curve.command) == (
        found.budget,
        len(found.ranked),
        found.kept,
        found.command,
    )
    assert [point.count for point in curve.points] == [0, 1, 3]
    assert [point.drop for point in curve.points] == [0.03, 0.004, 0.0]
    assert curve.points[0].throughput == 302.0
    assert curve.points[0].speedup == pytest.approx(302 / 102, rel=0.02)


def test_no_search_and_a_damaged_one(tmp_path: Path) -> None:
    assert read_curve(tmp_path) is None
    write_fallback(dataclasses.replace(pages.fallback(), kept=None, command=""), tmp_path)
    curve = read_curve(tmp_path)
    assert curve is not None
    assert curve.kept is None
    (tmp_path / "fallback.json").write_text("{}")
    with pytest.raises(StoreError, match="there is no kept in it"):
        read_curve(tmp_path)
