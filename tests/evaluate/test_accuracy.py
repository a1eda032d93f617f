"""The rows of accuracy.parquet against scikit-learn and plain counting."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from mlubench.errors import DatasetError
from mlubench.evaluate.accuracy import (
    AccuracyRow,
    accuracy_rows,
    accuracy_table,
    rows_of,
    verdict_reasons,
)
from mlubench.evaluate.predictions import predictions_table
from mlubench.metrics.verdict import Verdict
from mlubench.runs.parquet import read_parquet, write_parquet
from mlubench.runs.schemas import ACCURACY
from tests.support import examples

_LIMITS = {"force_float16": 0.02, "qint8_mixed_float16": 0.0}


@pytest.fixture(scope="module")
def rows() -> list[AccuracyRow]:
    return accuracy_rows(examples.predictions(), examples.SETUP, _LIMITS)


def test_reference_comes_first(rows: list[AccuracyRow]) -> None:
    assert [row.precision for row in rows] == [
        "force_float32",
        "force_float16",
        "qint8_mixed_float16",
    ]
    assert [row.executed_precision for row in rows] == ["float32", "bfloat16", "int8"]


def test_accuracies_are_scikit_learns(rows: list[AccuracyRow]) -> None:
    from scipy.stats import binomtest
    from sklearn.metrics import accuracy_score, top_k_accuracy_score

    scored = np.setdiff1d(np.arange(examples.IMAGES), sorted(examples.CORRUPT))
    labels = examples.LABELS[scored]
    for row in rows:
        scores = examples.scores()[row.precision][scored]
        assert row.images == len(scored)
        assert row.top1 == pytest.approx(accuracy_score(labels, scores.argmax(axis=1)))
        assert row.top5 == pytest.approx(top_k_accuracy_score(labels, scores, k=5))
        right = round(row.top5 * row.images)
        interval = binomtest(right, row.images).proportion_ci(method="wilson")
        assert (row.top5_low, row.top5_high) == pytest.approx((interval.low, interval.high))


def test_comparison_counts(rows: list[AccuracyRow]) -> None:
    scored = np.setdiff1d(np.arange(examples.IMAGES), sorted(examples.CORRUPT))
    labels = examples.LABELS[scored].tolist()
    answers = {p: s[scored].argmax(axis=1).tolist() for p, s in examples.scores().items()}
    for row in rows[1:]:
        triples = list(zip(answers["force_float32"], answers[row.precision], labels, strict=True))
        assert row.lost == sum(a == label != b for a, b, label in triples)
        assert row.won == sum(b == label != a for a, b, label in triples)
        assert row.agreement == pytest.approx(sum(a == b for a, b, _ in triples) / len(triples))
        assert row.drop == pytest.approx(rows[0].top1 - row.top1)
    assert (rows[2].lost or 0) > 0
    assert (rows[2].won or 0) > 0


def test_reference_is_not_compared_with_itself(rows: list[AccuracyRow]) -> None:
    reference = rows[0]
    assert reference.agreement is reference.lost is reference.drop is reference.mcnemar_p is None
    assert reference.verdict is Verdict.NOT_JUDGED


def test_without_reference_nothing_is_compared() -> None:
    values = examples.top(examples.scores()["force_float16"])
    table = predictions_table(
        examples.NAMES, examples.NAMES, examples.LABELS, set(), {"force_float16": values}
    )
    (row,) = accuracy_rows(table, examples.SETUP, {"force_float16": 0.0})
    assert row.drop_high is None
    assert row.verdict is Verdict.NOT_JUDGED
    assert verdict_reasons([row], {"force_float16": 0.0}) == {}


def test_verdicts_and_their_reasons(rows: list[AccuracyRow]) -> None:
    reasons = verdict_reasons(rows, _LIMITS)
    assert list(reasons) == ["force_float16", "qint8_mixed_float16"]
    assert rows[1].verdict is Verdict.PASS
    assert "limit 2.00" in reasons["force_float16"]
    assert rows[2].verdict in (Verdict.FAIL, Verdict.INCONCLUSIVE)
    unlimited = accuracy_rows(examples.predictions(), examples.SETUP, {})
    assert {row.verdict for row in unlimited} == {Verdict.NOT_JUDGED}
    assert "no limit" in verdict_reasons(unlimited, {})["force_float16"]


def test_all_corrupt() -> None:
    values = examples.top(examples.scores()["force_float32"][:2])
    table = predictions_table(
        ["a", "b"], ["n", "n"], examples.LABELS[:2], {0, 1}, {"force_float32": values}
    )
    with pytest.raises(DatasetError, match="no image was scored"):
        accuracy_rows(table, examples.SETUP, {})


def test_other_images_are_not_paired() -> None:
    table = examples.predictions()
    shorter = pa.concat_tables([table.slice(0, 350), table.slice(400)])
    with pytest.raises(ValueError, match="same images"):
        accuracy_rows(shorter, examples.SETUP, {})


def test_table_round_trip(tmp_path: Path, rows: list[AccuracyRow]) -> None:
    import pandas as pd

    path = tmp_path / "accuracy.parquet"
    write_parquet(path, accuracy_table(rows))
    assert rows_of(read_parquet(path, ACCURACY)) == rows
    frame = pd.read_parquet(path)
    assert list(frame.columns) == [field.name for field in dataclasses.fields(AccuracyRow)]
    assert frame["verdict"].tolist() == [row.verdict.value for row in rows]
    assert frame["drop"].isna().tolist() == [True, False, False]
