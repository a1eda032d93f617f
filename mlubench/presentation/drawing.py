"""How pictures are drawn: by Matplotlib, once for pages (SVG) and for Prefect's UI (PNG).

A picture in a page takes the page's own colours, so that it follows light and dark: it is drawn in
the light theme's, and each of them becomes the style variable of that name. Text stays text, which
can be selected and searched. The same figure gives the same bytes.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

import matplotlib as mpl
from markupsafe import Markup, escape
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

#: The pages' colours by name, on light and on dark paper. Series are told apart by the colour-blind
#: too: blue, orange, green, purple, ochre and pink of about equal weight on either paper.
LIGHT: Final = {
    "paper": "#fdfdfc",
    "ink": "#1c1e21",
    "faint": "#5c636b",
    "rule": "#d9dcdf",
    "panel": "#f2f3f4",
    "accent": "#2459a9",
    "pass": "#1a7f42",
    "fail": "#b42318",
    "inconclusive": "#8a5a00",
    "not_judged": "#5c636c",
    "series1": "#3465b5",
    "series2": "#c96a10",
    "series3": "#2b8a70",
    "series4": "#8450a8",
    "series5": "#a8860e",
    "series6": "#b5386c",
}
DARK: Final = {
    "paper": "#16181b",
    "ink": "#e6e8ea",
    "faint": "#9da5ad",
    "rule": "#363b41",
    "panel": "#1f2226",
    "accent": "#7fb0f5",
    "pass": "#58c27d",
    "fail": "#f1877c",
    "inconclusive": "#e0b15a",
    "not_judged": "#9da5ad",
    "series1": "#84aef0",
    "series2": "#f0a35c",
    "series3": "#5cc4a6",
    "series4": "#c39be0",
    "series5": "#dcc04f",
    "series6": "#ee8ab2",
}
SERIES: Final = tuple(name for name in LIGHT if name.startswith("series"))

#: Narrow enough that text is readable on a phone, where it is shown at about 0.85.
WIDTH_INCHES = 5.8
_PIXELS_PER_INCH = 72
_PNG_PIXELS_PER_INCH = 160

_STYLE: Any = {
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 10,
    "axes.edgecolor": LIGHT["rule"],
    "axes.labelcolor": LIGHT["faint"],
    "axes.facecolor": "none",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "figure.facecolor": LIGHT["paper"],
    "grid.color": LIGHT["rule"],
    "grid.linewidth": 0.8,
    "legend.frameon": False,
    "legend.fontsize": 9,
    "text.color": LIGHT["ink"],
    # A dollar in a name is a dollar.
    "text.parse_math": False,
    "xtick.color": LIGHT["faint"],
    "ytick.color": LIGHT["faint"],
    "xtick.major.size": 0,
    "ytick.major.size": 0,
}

_COLOURS = {value: f"var(--{name})" for name, value in LIGHT.items()}
#: What Matplotlib writes and a page has no use for: its own style sheet is for all of the page.
_DROPPED = re.compile(r"<metadata>.*?</metadata>|<!--.*?-->|<style.*?</style>", re.DOTALL)
_STYLES = re.compile(r'style="([^"]*)"')
_IDS = re.compile(r' id="([^"]+)"')
_REFERENCES = re.compile(r"#([\w-]+)")
_FONT = re.compile(r"font-family: [^;\"]*")

#: In inches: of many lines with text, so narrow that it can be read on a phone.
WIDTH = 4.8

_KEY_WORDS = 32


@contextmanager
def drawing(height: float, *, width: float = WIDTH_INCHES) -> Iterator[tuple[Figure, Axes]]:
    """Give a figure with one pair of axes, in the pages' style.

    Args:
        height: in inches.
        width: in inches.
    """
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(width, height), dpi=_PIXELS_PER_INCH, layout="constrained")
        yield figure, figure.add_subplot()


@contextmanager
def panels(
    heights: Sequence[float], *, width: float = WIDTH_INCHES
) -> Iterator[tuple[Figure, list[Axes]]]:
    """Give a figure with axes below each other, in the pages' style.

    Args:
        heights: of each, in inches.
        width: in inches.
    """
    with mpl.rc_context(_STYLE):
        size = (width, sum(heights))
        figure = Figure(figsize=size, dpi=_PIXELS_PER_INCH, layout="constrained")
        axes = figure.subplots(len(heights), 1, squeeze=False, height_ratios=list(heights))
        yield figure, list(axes[:, 0])


def as_svg(figure: Figure, title: str) -> Markup:
    """Return a figure as an SVG element for a page that defines the colours' style variables.

    Args:
        figure: of :func:`drawing`.
        title: what a screen reader is told.
    """
    text = _STYLES.sub(_themed, _svg(figure, title, transparent=True))
    size = re.compile(r' width="[^"]*" height="[^"]*"')
    text = size.sub(_described(title), text, count=1)
    return Markup(text)  # noqa: S704  # drawn here; Matplotlib escapes what it writes


def as_svg_file(figure: Figure, title: str) -> bytes:
    """Return a figure as an SVG file of its own, on light paper, in the colours as they are.

    Args:
        figure: of :func:`drawing`.
        title: what a screen reader is told.
    """
    text = _svg(figure, title, transparent=False).rstrip()
    text = _FONT.sub("font-family: sans-serif", text)
    return (text.replace("<svg", f"<svg{_described(title)}", 1) + "\n").encode("utf-8")


def _svg(figure: Figure, title: str, *, transparent: bool) -> str:
    """Return what Matplotlib draws, without what only Matplotlib needs."""
    out = io.StringIO()
    with mpl.rc_context({**_STYLE, "svg.hashsalt": title}):
        figure.savefig(out, format="svg", metadata={"Date": None}, transparent=transparent)
    text = out.getvalue()
    text = _DROPPED.sub("", text[text.index("<svg") :])
    named = set(_REFERENCES.findall(text))
    return _IDS.sub(lambda match: match[0] if match[1] in named else "", text)


def _described(title: str) -> str:
    return f' role="img" aria-label="{escape(title)}"'


def as_png(figure: Figure) -> bytes:
    """Return a figure as a PNG picture on light paper."""
    out = io.BytesIO()
    with mpl.rc_context(_STYLE):
        figure.savefig(out, format="png", dpi=_PNG_PIXELS_PER_INCH, metadata={"Software": None})
    return out.getvalue()


def _themed(style: re.Match[str]) -> str:
    """Return a style with the page's colours and font in place of the drawing's."""
    text = _FONT.sub("font-family: inherit", style[0])
    return re.sub(r"#[0-9a-f]{6}\b", lambda colour: _COLOURS.get(colour[0], colour[0]), text)


def place_key(figure: Figure, handles: Sequence[Line2D]) -> None:
    """Put a key above the axes, in as many columns as there is room for."""
    names = [str(handle.get_label()) for handle in handles]
    figure.legend(
        handles=list(handles),
        loc="outside upper left",
        ncols=len(handles) if sum(map(len, names)) <= _KEY_WORDS else 2,
        handlelength=1,
        columnspacing=1.2,
    )
