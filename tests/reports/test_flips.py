"""Lost and won images against a plain loop over the table's rows."""

from __future__ import annotations

import pyarrow as pa

from mlubench.reports.accuracy import accuracy_rows
from mlubench.reports.flips import find_flips
from tests.reports import examples


def test_flips_are_the_rows_that_changed() -> None:
    table = examples.predictions()
    rows = {(row["precision"], row["image"]): row for row in table.to_pylist()}
    flips = find_flips(table)
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
    flips = find_flips(table)
    order = [(flip.precision, flip.won, flip.image) for flip in flips]
    assert order == sorted(order)
    for row in accuracy_rows(table, examples.SETUP, {})[1:]:
        changes = [flip.won for flip in flips if flip.precision == row.precision]
        assert (changes.count(False), changes.count(True)) == (row.lost, row.won)


def test_nothing_flips_without_reference() -> None:
    table = examples.predictions()
    assert find_flips(table.filter(pa.compute.field("precision") != "force_float32")) == []
