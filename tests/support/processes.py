"""What becomes of processes and files that others make."""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Callable
from pathlib import Path

#: The environment variable that marks processes and all that they begin.
MARK = "MLUBENCH_TEST_MARK"
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


def new_mark() -> str:
    """Return a mark for the environment of a process, which its children inherit."""
    return uuid.uuid4().hex


def marked(mark: str) -> dict[int, str]:
    """Return the command lines of the processes that bear a mark in MARK, by their ids."""
    wanted = f"{MARK}={mark}".encode()
    found = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal() and int(folder.name) != os.getpid():
            try:
                if wanted in (folder / "environ").read_bytes().split(b"\0"):
                    command = (folder / "cmdline").read_bytes().replace(b"\0", b" ")
                    found[int(folder.name)] = command.decode()
            except OSError:
                continue  # ended meanwhile, or somebody else's
    return found
