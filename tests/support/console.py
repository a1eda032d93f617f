"""What rich shows, as text."""

from __future__ import annotations

import io

from rich.console import Console, RenderableType


def text_of(shown: RenderableType, width: int = 100) -> str:
    """Return what a terminal of so many columns shows, without colours."""
    stream = io.StringIO()
    Console(file=stream, width=width, highlight=False, color_system=None).print(shown)
    return "\n".join(line.rstrip() for line in stream.getvalue().splitlines())
