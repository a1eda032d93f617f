"""The page: complete, self-contained, and no name can break it."""

from __future__ import annotations

import dataclasses
import re
import xml.etree.ElementTree as ElementTree
from datetime import UTC, datetime
from html.parser import HTMLParser
from typing import Any

import pyarrow as pa
import pytest

from mlubench.metrics.verdict import Verdict
from mlubench.reports.accuracy import AccuracyRow, accuracy_rows
from mlubench.reports.flips import Flip, find_flips
from mlubench.reports.html import render_report
from mlubench.reports.schemas import SHARDS
from tests.reports import examples

_LIMITS = {"force_float16": 0.02, "qint8_mixed_float16": 0.01}
_HOSTILE = "<script>alert(1)</script>\"'&"
_VOID = {"meta", "br"}


class _Page(HTMLParser):
    """Collects a page's tags, attributes and text; checks that tags close in order."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.texts: list[str] = []
        self._open: list[str] = []
        self.feed(page)
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in _VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", " ".join(self.texts))


@pytest.fixture(scope="module")
def rows() -> list[AccuracyRow]:
    return accuracy_rows(examples.predictions(), examples.SETUP, _LIMITS)


@pytest.fixture(scope="module")
def flips() -> list[Flip]:
    return find_flips(examples.predictions())


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
    arguments: dict[str, Any] = {
        "max_drop": _LIMITS,
        "class_names": examples.CLASSES,
        "corrupt": {"image_030.JPEG": "empty file", "image_007.JPEG": "ends too early"},
        "shards": _shards(),
        "provenance": {"openvino": "2026.4.0"},
    }
    run = changes.pop("run", examples.run_record())
    return render_report(run, rows, flips, **(arguments | changes))


def test_page_shows_everything(rows: list[AccuracyRow], flips: list[Flip]) -> None:
    page = _Page(_render(rows, flips))
    expected = [
        "tiny on digits: inconclusive",
        "398 of 401 scored; 400 present, 2 corrupt, 1 missing, 0 duplicate, 3 not in the list",
        f"qint8_mixed_float16: {rows[2].lost} lost",
        f"qint8_mixed_float16: {rows[2].won} won",
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
            f"{examples.CLASSES[flip.reference_index]} {flip.reference_score:.4f} "
            f"{examples.CLASSES[flip.index]} {flip.score:.4f}"
        ) in text


def test_verdict_comes_first(rows: list[AccuracyRow], flips: list[Flip]) -> None:
    page = _render(rows, flips)
    body = page[page.index("<body>") :]
    assert body.index("inconclusive") < body.index("<h2>")


def test_page_needs_nothing_else(rows: list[AccuracyRow], flips: list[Flip]) -> None:
    text = _render(rows, flips)
    page = _Page(text)
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
    record = examples.run_record()
    run = record.model_copy(
        update={
            "run_id": _HOSTILE,
            "host": _HOSTILE,
            "engine": _HOSTILE,
            "devices": [_HOSTILE],
            "parameters": {_HOSTILE: _HOSTILE},
            "seconds": {_HOSTILE: 1.0},
            "model": record.model.model_copy(update={"name": _HOSTILE}),
            "dataset": record.dataset.model_copy(update={"name": _HOSTILE}),
        }
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
        max_drop={_HOSTILE: 0.01},
        class_names=[_HOSTILE] * 10,
        corrupt={_HOSTILE: _HOSTILE},
        shards=_shards(_HOSTILE),
        provenance={_HOSTILE: _HOSTILE},
    )
    page = _Page(text)
    assert "<script" not in text
    assert "script" not in page.tags
    assert page.text.count(_HOSTILE) >= 15


def test_same_page_again(rows: list[AccuracyRow], flips: list[Flip]) -> None:
    assert _render(rows, flips) == _render(rows, flips)


def test_long_lists_are_cut_and_say_so(rows: list[AccuracyRow], flips: list[Flip]) -> None:
    many = [dataclasses.replace(flips[0], image=f"many_{index}.JPEG") for index in range(501)]
    text = _Page(_render(rows, many)).text
    assert "501 lost" in text
    assert "The first 500; all of them are in predictions.parquet." in text
    assert "many_499.JPEG" in text
    assert "many_500.JPEG" not in text


def test_run_with_one_precision(rows: list[AccuracyRow]) -> None:
    run = examples.run_record().model_copy(update={"verdict": Verdict.NOT_JUDGED})
    text = _Page(
        _render(rows[:1], [], run=run, corrupt={}, shards=SHARDS.empty_table(), provenance={})
    ).text
    assert "not judged" in text
    assert text.count("None.") == 2
