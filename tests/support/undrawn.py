"""Pages without their pictures, which take seconds to draw, for tests of a page's words."""

from __future__ import annotations

from typing import Any

import pytest

_SVG = '<svg xmlns="http://www.w3.org/2000/svg" width="1pt" height="1pt"></svg>'
_PNG = b"\x89PNG"


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make every picture an empty one; it has its title all the same."""
    from matplotlib.figure import Figure

    def save(_: Figure, out: Any, *, format: str, **__: Any) -> None:  # noqa: A002
        out.write(_SVG if format == "svg" else _PNG)

    monkeypatch.setattr(Figure, "savefig", save)
