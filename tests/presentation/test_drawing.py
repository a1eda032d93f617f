"""Pictures: the page's colours, text as text, the same bytes each time."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from xml.etree import ElementTree

import cv2
import numpy as np

from mlubench.presentation.drawing import DARK, LIGHT, as_png, as_svg, drawing

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_NAME = 'conv $1$ <b> & "#3465b5"'


def _figure() -> Figure:
    with drawing(2) as (figure, axes):
        axes.barh([_NAME, "fc"], [1, 2], color=LIGHT["series1"])
        axes.axvline(1.5, color=LIGHT["fail"])
        axes.grid(axis="x")
    return figure


def test_a_picture_takes_its_colours_from_the_page() -> None:
    styles = " ".join(re.findall('style="([^"]*)"', as_svg(_figure(), "bars")))
    assert "var(--series1)" in styles
    assert "var(--fail)" in styles
    assert not re.findall("#[0-9a-f]{6}", styles)


def test_both_papers_have_the_same_colours_and_no_colour_has_two_names() -> None:
    assert LIGHT.keys() == DARK.keys()
    assert len(set(LIGHT.values())) == len(LIGHT)


def test_text_is_text_whatever_it_holds() -> None:
    root = ElementTree.fromstring(as_svg(_figure(), _NAME))
    assert root.attrib["aria-label"] == _NAME
    texts = [node.text for node in root.iter("{http://www.w3.org/2000/svg}text")]
    assert _NAME in texts


def test_a_picture_keeps_no_style_sheet_and_no_name_that_nothing_refers_to() -> None:
    svg = as_svg(_figure(), "bars")
    assert "<style" not in svg
    assert "<metadata" not in svg
    names = set(re.findall(' id="([^"]+)"', svg))
    assert names == set(re.findall(r"#([\w-]+)\)", svg))


def test_the_same_figure_gives_the_same_bytes() -> None:
    assert as_svg(_figure(), "bars") == as_svg(_figure(), "bars")
    assert as_png(_figure()) == as_png(_figure())


def test_a_png_is_a_picture_on_light_paper() -> None:
    pixels = cv2.imdecode(np.frombuffer(as_png(_figure()), np.uint8), cv2.IMREAD_COLOR)
    assert pixels.shape == (320, 928, 3)
    assert pixels[0, 0].tolist() == [0xFC, 0xFD, 0xFD]
