"""run.json: round trip, and every wrong key told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mlubench.errors import StoreError
from mlubench.runs.record import RunRecord
from tests.support import examples


def test_round_trip(tmp_path: Path) -> None:
    record = examples.run_record()
    record.write(tmp_path / "run.json")
    assert RunRecord.read(tmp_path / "run.json") == record
    first = (tmp_path / "run.json").read_bytes()
    RunRecord.read(tmp_path / "run.json").write(tmp_path / "run.json")
    assert (tmp_path / "run.json").read_bytes() == first


def test_keys_are_the_contracts(tmp_path: Path) -> None:
    examples.run_record().write(tmp_path / "run.json")
    content = json.loads((tmp_path / "run.json").read_text())
    assert content["schema_version"] == 1
    assert content["created_utc"] == "2026-11-03T09:30:15Z"
    assert content["verdict"] == "inconclusive"
    assert sorted(content) == [
        "begun_utc",
        "compile_seconds",
        "created_utc",
        "damage",
        "dataset",
        "device_use",
        "devices",
        "engine",
        "engine_version",
        "host",
        "label_order",
        "model",
        "parameters",
        "provenance",
        "published",
        "run_id",
        "schema_version",
        "seconds",
        "tuning",
        "verdict",
    ]
    assert sorted(content["dataset"]["images"]) == [
        "corrupt",
        "duplicate",
        "expected",
        "missing",
        "present",
        "scored",
        "unlisted",
    ]


def test_a_record_of_before_some_were_counted_is_read(tmp_path: Path) -> None:
    content = examples.run_record().model_dump(mode="json")
    for added in ("present", "unlisted"):
        del content["dataset"]["images"][added]
    del content["begun_utc"]
    (tmp_path / "run.json").write_text(json.dumps(content))
    assert RunRecord.read(tmp_path / "run.json").dataset.images.unlisted is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema_version": 2}, "schema_version"),
        ({"more": 1}, "more: Extra inputs"),
        ({"verdict": "good"}, "verdict"),
        ({"host": None}, "host"),
        ({"created_utc": "2026-11-03T09:30:15"}, "created_utc"),
        ({"seconds": {"build": -1}}, r"seconds\.build"),
        ({"model": {"name": "x", "prototxt_sha256": "?", "weights_sha256": "a" * 64}}, r"model\.p"),
    ],
)
def test_wrong_keys_are_named(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    path = tmp_path / "run.json"
    content = examples.run_record().model_dump(mode="json") | change
    path.write_text(json.dumps(content))
    with pytest.raises(StoreError, match=message) as caught:
        RunRecord.read(path)
    assert caught.value.where == str(path)


@pytest.mark.parametrize("text", ["", "{", "[]", "\0"])
def test_no_json(tmp_path: Path, text: str) -> None:
    (tmp_path / "run.json").write_text(text)
    with pytest.raises(StoreError, match="the file"):
        RunRecord.read(tmp_path / "run.json")


def test_absent(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="cannot be read"):
        RunRecord.read(tmp_path / "run.json")
