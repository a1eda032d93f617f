"""``mlubench layers``: where a network's time goes, in two precisions."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from mlubench import cli
from tests.cli.conftest import Models, compile_twice
from tests.support.long import long

_SVG = "{http://www.w3.org/2000/svg}"


def _texts(folder: Path) -> list[str]:
    picture = ET.parse(folder / "layers.svg").getroot()
    return [one.text or "" for one in picture.iter(f"{_SVG}text")]


def _run(capsys: pytest.CaptureFixture[str], *words: object, status: int = 0) -> str:
    done = cli.main(["layers", *map(str, words)])
    said = capsys.readouterr()
    assert done == status, said.out + said.err
    return said.err if status else said.out


def test_one_network(
    blocks: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = _run(capsys, blocks["force_float32"], "--out", tmp_path)
    assert said.splitlines()[0].split()[:3] == ["layer", "ms", "share"]
    assert "classifier" in said
    assert max(map(len, said.splitlines())) <= 100
    document = json.loads((tmp_path / "layers.json").read_text())
    texts = _texts(tmp_path)
    for one in document["layers"]:
        more = len(one["layers"]) - 1
        assert one["layer"] + (f" +{more}" if more else "") in texts


def test_two_precisions_side_by_side(
    blocks: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    both = _compare(capsys, blocks, tmp_path)
    # Most of its 12 convolutions are matched.
    assert sum(name.startswith("conv") for name in both) > 8


@long
def test_two_precisions_of_the_whole_sample(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    both = _compare(capsys, compile_twice(tmp_path, batch_size=1), tmp_path)
    assert len(both) > 50  # most of the network's convolutions are matched


def _compare(
    capsys: pytest.CaptureFixture[str], models: dict[str, Path], tmp_path: Path
) -> list[str]:
    """Check what is said of two precisions; return the layers that both have."""
    said = _run(capsys, *models.values(), "--out", tmp_path)
    head = " ".join(said.splitlines()[0:2])
    assert "force_float32" in head
    assert "qint8_mixed_float16" in head
    assert "ratio" in head
    assert max(map(len, said.splitlines())) <= 100
    document = json.loads((tmp_path / "layers.json").read_text())
    pairs = {pair["layer"]: pair for pair in document["pairs"]}
    both = [one for one in pairs.values() if one["ratio"] is not None]
    for one in both:
        expected = one["first_milliseconds"] / one["second_milliseconds"]
        assert one["ratio"] == pytest.approx(expected)
    classifier = pairs["classifier"]
    assert classifier["first_arithmetic"].endswith("f32")
    assert any(one["second_arithmetic"].endswith("I8") for one in both)
    for side, milliseconds in (("first", "first_milliseconds"), ("second", "second_milliseconds")):
        found = sum(one[milliseconds] or 0.0 for one in pairs.values())
        assert found == pytest.approx(document[side]["milliseconds"])
    told = [text for text in _texts(tmp_path) if " ms " in text or text == "-"]
    assert len(told) == 2 * len(pairs)  # a pair of bars for each
    return [one["layer"] for one in both]


def test_json_and_batches(models: Models, capsys: pytest.CaptureFixture[str]) -> None:
    document = json.loads(_run(capsys, models["openvino", "static"], "--json"))
    assert document["executed_precision"] == "float32"
    said = _run(capsys, models["openvino", "static"], "--batch_size", 3, status=2)
    assert "compiled for batches of 2" in said


def test_networks_of_other_batches_are_not_compared(
    models: Models, capsys: pytest.CaptureFixture[str]
) -> None:
    twos, fours = models["openvino", "static"], models["openvino", "static of 4"]
    said = _run(capsys, twos, fours, status=2)
    assert f"{fours.name}: runs batches of 4, the other of 2" in " ".join(said.split())


@pytest.mark.parametrize(
    ("option", "value"), [("--batch_size", 0), ("--streams", 0), ("--warmup", -1)]
)
def test_numbers_that_are_none_are_refused(
    models: Models, capsys: pytest.CaptureFixture[str], option: str, value: int
) -> None:
    said = _run(capsys, models["openvino", "static"], f"{option}={value}", status=2)
    assert option in said


def test_a_card_tells_no_layers_times(
    models: Models,
    cards: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name, value in cards.items():
        monkeypatch.setenv(name, value)
    card = models["magicmind", "static"]
    said = _run(capsys, card, status=2)
    assert "tells no layer's time" in said
    assert "--native" in said
    said = _run(capsys, models["openvino", "static"], card, status=2)
    assert "was compiled for magicmind, the other for openvino" in said
