"""The console that verbs print to."""

from __future__ import annotations

from rich.console import Console

_WIDTH = 100


def console(*, stderr: bool = False) -> Console:
    """Return a console that is 100 columns wide where it is no terminal."""
    screen = Console(stderr=stderr, highlight=False)
    if not screen.is_terminal:
        screen.width = _WIDTH  # of a file or a pipe; rich would take 80
    return screen
