"""Progress of a step, in the terminal and in Prefect's UI."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import cast
from uuid import UUID

from prefect.artifacts import create_progress_artifact, update_progress_artifact
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

#: Each update of the UI is a request to the server, so there are few of them.
_UI_SECONDS = 2.0


def remark(text: str) -> None:
    """Tell of what is odd, on the terminal."""
    Console(stderr=True).print(text, markup=False, soft_wrap=True)


@contextmanager
def step_progress(title: str, key: str) -> Iterator[Callable[[int, int], None]]:
    """Give a function (done, total) that shows how far a step is.

    Args:
        title: what is being done, in a few words.
        key: the artifact's key in Prefect's UI: lower-case letters, digits and dashes.
    """
    # Called from a task without an event loop, the function returns the id itself.
    artifact = cast(UUID, create_progress_artifact(progress=0.0, key=key, description=title))
    with _TERMINAL.bars() as bars:
        shown = _Shown(bars, title, artifact)
        yield shown.update
        shown.finish()


@contextmanager
def runs_progress(suite: str, key: str, total: int) -> Iterator[Callable[[str], None]]:
    """Give a function that says which run begins, on the terminal and in Prefect's UI.

    Args:
        suite: what they are of.
        key: the suite's name as Prefect takes it: lower-case letters, digits and dashes.
        total: how many runs there are.
    """
    artifact = cast(
        UUID,
        create_progress_artifact(
            progress=0.0, key=f"{key}-progress", description=f"runs of {suite}"
        ),
    )
    begun = 0

    def begin(name: str) -> None:
        nonlocal begun
        update_progress_artifact(artifact_id=artifact, progress=100.0 * begun / total)
        begun += 1
        Console(stderr=True).print(f"{begun}/{total} {name}", markup=False, style="bold")

    yield begin
    update_progress_artifact(artifact_id=artifact, progress=100.0)


class _Terminal:
    """The one terminal: steps that go on at once have their bars in one display."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._users = 0
        self._bars: Progress | None = None

    @contextmanager
    def bars(self) -> Iterator[Progress]:
        """Give the display, which ends with the last step that has a bar in it."""
        with self._lock:
            bars = self._bars or _display()
            self._bars = bars
            self._users += 1
        try:
            yield bars
        finally:
            with self._lock:
                self._users -= 1
                if not self._users:
                    self._bars = None
                    bars.stop()


def _display() -> Progress:
    bars = Progress(
        TextColumn("{task.description:<36}"),
        BarColumn(bar_width=28),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=Console(stderr=True),
    )
    bars.start()
    return bars


_TERMINAL = _Terminal()


class _Shown:
    def __init__(self, bars: Progress, title: str, artifact: UUID) -> None:
        self._bars = bars
        self._bar = bars.add_task(title, total=None)
        self._artifact = artifact
        self._told = time.monotonic()

    def update(self, done: int, total: int) -> None:
        self._bars.update(self._bar, completed=done, total=total)
        if time.monotonic() - self._told >= _UI_SECONDS:
            self._tell(100.0 * done / max(1, total))

    def finish(self) -> None:
        self._tell(100.0)

    def _tell(self, percent: float) -> None:
        self._told = time.monotonic()
        update_progress_artifact(artifact_id=self._artifact, progress=percent)
