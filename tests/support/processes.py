"""What becomes of processes and files that others make."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

_TRIES = 3000
_PAUSE = 0.01


def alive(process: int) -> bool:
    """Whether a process runs; one that waits to be reaped does not."""
    try:
        state = Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except OSError:
        return False
    return state != "Z"


def becomes(condition: Callable[[], bool]) -> bool:
    """Whether a condition comes true, within half a minute."""
    for _ in range(_TRIES):
        if condition():
            return True
        time.sleep(_PAUSE)
    return False
