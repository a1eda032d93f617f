"""The page: complete, self-contained, and no name can break it."""

from __future__ import annotations

import dataclasses
import re
import shlex
import xml.etree.ElementTree as ElementTree
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pytest

from mlubench.evaluate.accuracy import AccuracyRow, accuracy_rows, accuracy_table
from mlubench.evaluate.flips import Flip, find_flips, parts_of
from mlubench.metrics.classes import ClassDrop
from mlubench.presentation.page import command
from mlubench.report.evaluation import EvaluationPage, render_report
from mlubench.report.verdict import by_own_limits
from mlubench.runs.history import accuracy_until
from mlubench.runs.record import PublishedRecord, RunRecord, TriedRecord, TuningRecord
from mlubench.runs.schemas import SHARDS
from tests.support import examples
from tests.support.markup import ParsedPage

_LIMITS = {"force_float16": 0.02, "qint8_mixed_float16": 0.01}
_HOSTILE = "<script>alert(1)</script>\"'&"


@pytest.fixture(scope="module")
def rows() -> list[AccuracyRow]:
    return accuracy_rows(examples.predictions(), examples.SETUP, _LIMITS)


@pytest.fixture(scope="module")
def flips() -> list[Flip]:
    return [flip for part in find_flips(examples.predictions()) for flip in part.flips]


def _shards(device: str = "cpu:0") -> pa.Table:
    shard = {
        "precision": "force_float32",
        "first_image": 0,
        "images": 200,
        "host": "a host",
        "started_utc": datetime(2026, 11, 3, tzinfo=UTC),
        "seconds": 10.25,
    }
    rows = [
        {**shard, "shard": 0, "device": device, "attempts": 1, "failures": []},
        {**shard, "shard": 1, "device": device, "attempts": 3, "failures": ["a", "b"]},
    ]
    return pa.Table.from_pylist(rows, schema=SHARDS)


def _render(rows: list[AccuracyRow], flips: list[Flip], **changes: Any) -> str:
    limits = changes.get("max_drop", _LIMITS)
    run = changes.pop("run", _record())
    arguments: dict[str, Any] = {
        "run": run,
        "rows": rows,
        "verdict": by_own_limits(rows, limits, []),
        "max_drop": limits,
        "flips": parts_of(flips),
        "thumbnails": {},
        "classes": {"qint8_mixed_float16": [_drop("n3", 2, 1), _drop("n5", 0, 0)]},
        "class_ids": [f"n{number}" for number in range(10)],
        "class_names": examples.CLASSES,
        "explained": [],
        "history": accuracy_until(None, run, accuracy_table(rows)),
        "shards": _shards(),
    }
    return render_report(EvaluationPage(**(arguments | changes)))


def _record(**changes: Any) -> RunRecord:
    facts = {
        "damage": {"image_030.JPEG": "empty file", "image_007.JPEG": "ends too early"},
        "provenance": {"openvino": "2026.4.0"},
        "published": (
            PublishedRecord(source="a vendor", precision="force_float32", top1=0.5, top5=0.75),
            PublishedRecord(source="others", precision="force_float16", top1=0.25, top5=0.5),
        ),
    }
    return examples.run_record().model_copy(update=facts | changes)


def _drop(class_id: str, lost: int, won: int) -> ClassDrop:
    return ClassDrop(class_id, 40, lost, won, 0.5, 1.0)


def test_page_shows_everything(rows: list[AccuracyRow], flips: list[Flip]) -> None:
    page = ParsedPage(_render(rows, flips))
    expected = [
        "tiny on digits: inconclusive",
        "398 of 401 scored; 400 present, 2 corrupt, 1 missing, 0 duplicate, 3 not in the list",
        f"qint8_mixed_float16 against force_float32: {rows[2].lost} lost",
        f"qint8_mixed_float16 against force_float32: {rows[2].won} won",
        "0 of 2 classes show a loss against force_float32",
        "class 3 n3 40 2 1 2.50 1.000",
        "75.00 a vendor",
        "mlubench explain 20261103-093015-tiny --precision force_float16",
        "This is the first run of its kind.",
        "image_007.JPEG ends too early",
        "force_float32 a host cpu:0 2 400 20.5 2",
        "decode 3.2 s",
        "a" * 64,
        "c" * 32,
        "2026.4.0",
        "limit 1.00; the smallest drop",
    ]
    text = re.sub(r" +", " ", page.text)
    for part in expected:
        assert part in text
    for row in rows:
        assert f"{row.precision} {row.executed_precision} {100 * row.top1:.2f}" in text
    for flip in flips:
        assert (
            f"{flip.image} {examples.CLASSES[flip.label]} {flip.class_id} "
            f"{examples.CLASSES[flip.reference_index]} {flip.reference_score:.3f} "
            f"{examples.CLASSES[flip.index]} {flip.score:.3f}"
        ) in text


def test_verdict_comes_first(rows: list[AccuracyRow], flips: list[Flip]) -> None:
    page = _render(rows, flips)
    body = page[page.index("<body>") :]
    assert body.index("inconclusive") < body.index("<h2>")


def test_page_needs_nothing_else(rows: list[AccuracyRow], flips: list[Flip]) -> None:
    text = _render(rows, flips)
    page = ParsedPage(text)
    assert not {"script", "link", "iframe", "object", "form"} & set(page.tags)
    fetched = {"src", "href", "xlink:href", "srcset", "action"}
    values = {value or "" for name, value in page.attributes if name in fetched}
    assert all(value.startswith(("#", "data:image/")) for value in values)
    # A name space is no address.
    plain = re.sub(r'xmlns(:xlink)?="[^"]*"', "", text)
    assert not re.search(r"https?:|url\((?!#)|@import|//[a-z]", plain)
    assert "default-src 'none'" in text
    assert "prefers-color-scheme: dark" in text
    assert "width=device-width" in text


def test_pictures_are_well_formed(rows: list[AccuracyRow], flips: list[Flip]) -> None:
    pictures = re.findall(r"<svg.*?</svg>", _render(rows, flips), re.DOTALL)
    titles = [ElementTree.fromstring(svg).attrib["aria-label"] for svg in pictures]
    assert titles == ["Top-1 accuracy, %", "Top-1 drop against force_float32, points"]


def test_hostile_names_are_text(rows: list[AccuracyRow], flips: list[Flip]) -> None:
    record = _record()
    run = _record(
        run_id=_HOSTILE,
        host=_HOSTILE,
        engine=_HOSTILE,
        devices=[_HOSTILE],
        parameters={_HOSTILE: _HOSTILE, "out": _HOSTILE},
        seconds={_HOSTILE: 1.0},
        damage={_HOSTILE: _HOSTILE},
        provenance={_HOSTILE: _HOSTILE},
        published=(
            PublishedRecord(
                source=_HOSTILE, precision=_HOSTILE, top1=0.5, top5=0.5, differs=_HOSTILE
            ),
        ),
        model=record.model.model_copy(update={"name": _HOSTILE}),
        dataset=record.dataset.model_copy(update={"name": _HOSTILE}),
    )
    bad_rows = [
        *rows[:2],
        dataclasses.replace(rows[2], precision=_HOSTILE, executed_precision=_HOSTILE),
    ]
    bad_flips = [
        dataclasses.replace(flip, image=_HOSTILE, class_id=_HOSTILE, precision=_HOSTILE)
        for flip in flips[:1]
    ]
    text = _render(
        bad_rows,
        bad_flips,
        run=run,
        thumbnails={_HOSTILE: b"\xff"},
        max_drop={_HOSTILE: 0.01},
        classes={_HOSTILE: [_drop(_HOSTILE, 1, 0)]},
        class_names=[_HOSTILE] * 10,
        shards=_shards(_HOSTILE),
        remarks=[_HOSTILE],
    )
    page = ParsedPage(text)
    assert "<script" not in text
    assert "script" not in page.tags
    assert page.text.count(_HOSTILE) >= 25
    assert page.tags.count("img") == 1


def test_same_page_again(rows: list[AccuracyRow], flips: list[Flip]) -> None:
    assert _render(rows, flips) == _render(rows, flips)


def test_long_lists_are_cut_and_say_so(rows: list[AccuracyRow], flips: list[Flip]) -> None:
    many = [dataclasses.replace(flips[0], image=f"many_{index}.JPEG") for index in range(501)]
    text = ParsedPage(_render(rows, many)).text
    assert "501 lost" in text
    assert "The first 500; all of them are in predictions.parquet." in text
    assert "many_499.JPEG" in text
    assert "many_500.JPEG" not in text


def test_run_with_one_precision(rows: list[AccuracyRow]) -> None:
    run = _record(damage={}, published=())
    text = ParsedPage(_render(rows[:1], [], run=run, classes={}, shards=SHARDS.empty_table())).text
    assert "not judged" in text
    assert text.count("mlubench eval --precision force_float32 ...") == 3
    assert "None are known" in text
    assert "Corrupt images" not in text


def test_a_limit_of_its_own_is_a_verdict(rows: list[AccuracyRow], flips: list[Flip]) -> None:
    text = ParsedPage(_render(rows, flips)).text
    assert "not judged" not in text
    assert "Gates: 1 inconclusive, 1 pass." in text


def test_commands_can_be_copied_whatever_the_names_are() -> None:
    run = _record(run_id="a b", parameters={"out": "/x y"})
    words = ["mlubench", "explain", "a b", "--precision", "p", "--out", "/x y"]
    assert shlex.split(command(run, "explain", "--precision", "p")) == words
    usual = _record(parameters={"out": "artifacts"})
    assert command(usual, "explain") == f"mlubench explain {usual.run_id}"


def test_what_was_tuned_is_shown_with_its_choice(
    rows: list[AccuracyRow], flips: list[Flip]
) -> None:
    tried = [
        TriedRecord(
            batch_size=batch,
            streams=2,
            requests=3,
            threads=1,
            images_per_second=[rate],
            p_faster=p_faster,
        )
        for batch, rate, p_faster in ((8, 200.0, 1.0), (1, 250.0, 0.0009))
    ]
    search = TuningRecord(tried=tried, chosen=1)
    run = _record(tuning={"force_float32, batch": search})
    text = " ".join(ParsedPage(_render(rows, flips, run=run)).text.split())
    assert "force_float32, batch 8 2 3 1 200 1.000 - usual" in text
    assert "1 2 3 1 250 1.250 0.0009 chosen" in text
    assert "Tuned" not in _render(rows, flips)
