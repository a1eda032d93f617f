"""Lost and won images against a plain loop over the table's rows."""

from __future__ import annotations

from dataclasses import replace

import pyarrow as pa
import pytest

from mlubench.evaluate import flips as module
from mlubench.evaluate.accuracy import accuracy_rows
from mlubench.evaluate.flips import (
    PICTURED,
    Flip,
    FlipPart,
    find_flips,
    flips_between,
    parts_of,
    pictured,
)
from mlubench.evaluate.predictions import scored_part
from tests.support import examples


def test_flips_are_the_rows_that_changed() -> None:
    table = examples.predictions()
    rows = {(row["precision"], row["image"]): row for row in table.to_pylist()}
    flips = [flip for part in find_flips(table) for flip in part.flips]
    expected = {
        key
        for key, row in rows.items()
        if row["correct1"] != rows["force_float32", key[1]]["correct1"]
    }
    assert {(flip.precision, flip.image) for flip in flips} == expected
    assert len(flips) == len(expected) > 5
    for flip in flips:
        now = rows[flip.precision, flip.image]
        was = rows["force_float32", flip.image]
        assert flip.won == now["correct1"]
        assert (flip.class_id, flip.label) == (now["class_id"], now["label"])
        assert (flip.index, flip.score) == (now["top5_index"][0], now["top5_score"][0])
        assert flip.reference_index == was["top5_index"][0]
        assert flip.reference_score == was["top5_score"][0]


def test_order_and_counts() -> None:
    table = examples.predictions()
    parts = find_flips(table)
    order = [(part.precision, part.won) for part in parts]
    assert order == sorted(order)
    totals = {(part.precision, part.won): part.total for part in parts}
    for row in accuracy_rows(table, examples.SETUP, {})[1:]:
        for won, count in ((False, row.lost), (True, row.won)):
            assert totals.get((row.precision, won), 0) == count
    for part in parts:
        assert {(flip.precision, flip.won) for flip in part.flips} == {(part.precision, part.won)}
        surest = [min(flip.reference_score, flip.score) for flip in part.flips]
        assert surest == sorted(surest, reverse=True)


def test_the_same_by_rows_and_by_tables_one_by_one() -> None:
    table = examples.predictions()
    reference = scored_part(table, "force_float32")
    for precision in ("force_float16", "qint8_mixed_float16"):
        flips = flips_between(reference, scored_part(table, precision))
        assert parts_of(flips) == [
            part for part in find_flips(table) if part.precision == precision
        ]


def test_of_very_many_the_most_telling_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    table = examples.predictions()
    whole = find_flips(table)
    monkeypatch.setattr(module, "LISTED", 2)
    cut = [replace(part, flips=part.flips[:2]) for part in whole]
    assert find_flips(table) == cut != whole


def test_nothing_flips_without_reference() -> None:
    table = examples.predictions()
    assert find_flips(table.filter(pa.compute.field("precision") != "force_float32")) == []


LOST = Flip("int8", False, "a.JPEG", "n0", 0, 0, 0.9, 1, 0.8)


def test_where_both_answers_are_sure_comes_first() -> None:
    scores = {"b": (0.9, 0.2), "c": (0.5, 0.6), "d": (0.99, 0.98), "e": (0.2, 0.9)}
    flips = [
        replace(LOST, image=name, reference_score=was, score=now)
        for name, (was, now) in scores.items()
    ]
    (part,) = parts_of(flips)
    assert [flip.image for flip in part.flips] == ["d", "c", "b", "e"]


def test_so_many_of_each_direction_are_pictured_at_most() -> None:
    def part(count: int, precision: str, won: bool) -> FlipPart:
        flip = replace(LOST, precision=precision, won=won)
        return FlipPart(precision, won, count, [flip] * count)

    parts = [part(PICTURED + 5, "a", False), part(3, "a", True), part(PICTURED + 1, "b", False)]
    chosen = [(flip.precision, flip.won) for flip in pictured(parts)]
    assert [chosen.count((one.precision, one.won)) for one in parts] == [PICTURED, 3, PICTURED]
