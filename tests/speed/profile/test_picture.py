"""The picture of layers' times: a file that opens by itself, readable with many layers."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest

from mlubench.speed.profile.picture import layer_picture
from mlubench.speed.profile.times import LayerTimes, TimedLayer

_SVG = "{http://www.w3.org/2000/svg}"


def _times(name: str, layers: int, milliseconds: float = 0.1) -> LayerTimes:
    return LayerTimes(
        name,
        "float32",
        tuple(
            TimedLayer((f"conv{place}",), ("Convolution",), "brgemm_f32", milliseconds + place)
            for place in range(layers)
        ),
    )


def _texts(picture: bytes) -> list[str]:
    return [node.text or "" for node in ElementTree.fromstring(picture).iter(f"{_SVG}text")]


def test_it_opens_by_itself() -> None:
    picture = layer_picture([_times("net force_float32", 3)])
    root = ElementTree.fromstring(picture)
    assert root.tag == f"{_SVG}svg"
    assert root.attrib["width"].endswith("pt")
    text = picture.decode()
    assert "var(--" not in text
    assert "#3465b5" in text
    assert not re.search(r"(href|src)=\"(?!#)", text)


@pytest.mark.parametrize("layers", [1, 50, 150])
def test_every_layer_has_its_name_and_time_and_room(layers: int) -> None:
    picture = layer_picture([_times("net a", layers), _times("net b", layers, 0.2)])
    texts = _texts(picture)
    assert [text for text in texts if text.startswith("conv")] == [
        f"conv{place}" for place in range(layers)
    ]
    assert sum(text.endswith(" ms float32") for text in texts) == 2 * layers
    assert texts[-2:] == [f"net a, {_whole(layers, 0.1)} ms", f"net b, {_whole(layers, 0.2)} ms"]
    height = float(ElementTree.fromstring(picture).attrib["height"].removesuffix("pt"))
    assert height / layers >= 20  # points, of two bars


def _whole(layers: int, milliseconds: float) -> str:
    total = sum(milliseconds + place for place in range(layers))
    return f"{total:.0f}" if total >= 1000 else f"{total:.3g}"


def test_a_layer_that_only_one_has_is_told() -> None:
    texts = _texts(layer_picture([_times("net a", 3), _times("net b", 2)]))
    assert texts.count("-") == 1


def test_long_names_are_cut_in_the_middle_and_what_is_run_as_one_is_counted() -> None:
    long = "a" * 30 + "b" * 30
    one = TimedLayer((long, "relu"), (), "x_i8", 1.0)
    texts = _texts(layer_picture([LayerTimes("n", "int8", (one,))]))
    assert f"{'a' * 18}…{'b' * 14} +1" in texts
    assert "1 ms int8" in texts


def test_the_same_times_give_the_same_bytes() -> None:
    assert layer_picture([_times("net", 5)]) == layer_picture([_times("net", 5)])
