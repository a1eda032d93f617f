"""mlubench, killed at one of its own steps: ``python -m tests.chaos.victim eval ...``.

A step is a change of a file below the folder of artifacts: its making, renaming, removal. Python
tells of each before it is done. ``MLUBENCH_STEPS`` names a file to which every step's name is
written; ``MLUBENCH_STEP``, as ``3 os.rename runs/RUN``, the step before which the process
dies, the third of that name. With ``MLUBENCH_PLAIN`` its flow runs without Prefect, which takes
half of the time.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import sys
import threading
from collections import Counter
from pathlib import Path
from typing import Any
from unittest import mock

from mlubench.cli import main

_CHANGES = ("os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate", "shutil.rmtree")
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT


def watch(out: str, steps: str | None, last: str | None) -> None:
    """Look at each step from now on.

    Args:
        out: the folder of artifacts.
        steps: a file for their names.
        last: number and name of the one not to survive.
    """
    seen: Counter[str] = Counter()
    lock = threading.Lock()
    number, _, wanted = (last or "0 ").partition(" ")
    log = os.open(steps, os.O_WRONLY | os.O_CREAT | os.O_APPEND) if steps else None

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        name = step_name(event, arguments, out)
        if name is None:
            return
        with lock:
            seen[name] += 1
            if log is not None:
                os.write(log, f"{name}\n".encode())
            if name == wanted and seen[name] == int(number):
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)


def step_name(event: str, arguments: tuple[Any, ...], out: str) -> str | None:
    """Return what a step is called, the same in every run; None of what is no step."""
    if event == "open":
        if not (isinstance(arguments[2], int) and arguments[2] & _WRITES):
            return None
    elif event not in _CHANGES:
        return None
    path = os.fsdecode(arguments[0]) if not isinstance(arguments[0], int) else ""
    if not path.startswith(f"{out}/") or path.startswith(f"{out}/prefect"):
        return None
    name = path[len(out) + 1 :]
    name = re.sub(r"[0-9a-f]{32}", "KEY", name)
    name = re.sub(r"[0-9]{8}-[0-9]{6}-mine", "RUN", name)
    return f"{event} {re.sub('[0-9]+', 'N', name)}"


def plain_main() -> int:
    """Run mlubench, whose flow runs without Prefect."""
    import flows.evaluate
    import flows.launch
    from tests.support.plain_flow import plain_flows

    own, nothing = flows.evaluate.evaluate.fn, contextlib.nullcontext
    with (
        plain_flows(),
        mock.patch.object(flows.evaluate, "evaluate", lambda asked, **_: own(asked)),
        mock.patch.object(flows.launch, "prepare_prefect"),
        mock.patch.object(flows.launch, "prefect_told", nothing),
    ):
        return main()


if __name__ == "__main__":
    watch(
        str(Path(sys.argv[sys.argv.index("--out") + 1])),
        os.environ.get("MLUBENCH_STEPS"),
        os.environ.get("MLUBENCH_STEP"),
    )
    sys.exit(plain_main() if os.environ.get("MLUBENCH_PLAIN") else main())
