"""Evaluations again and again in one process: ``python -m tests.chaos.soak`` (make soak).

As a nightly makes them, one flow after the other; for half an hour, or SOAK_MINUTES. What the
process and Prefect's server hold is looked at after each: memory, file descriptors, threads,
processes. All must be flat from the second quarter of the time to the last.
"""

from __future__ import annotations

import contextlib
import gc
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path

from rich.console import Console

#: How much the median of the last quarter may exceed that of the second: allocators keep pages.
_MEMORY_GROWTH = 0.03
_PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True)
class Held:
    """What is held after an evaluation.

    Attributes:
        megabytes: resident, of the flow's process.
        server_megabytes: resident, of its children, of which Prefect's server is the only one.
        files: open file descriptors.
        threads: of the flow's process.
        children: processes that it began and that are there.
    """

    megabytes: float
    server_megabytes: float
    files: int
    threads: int
    children: int


def main() -> int:
    """Evaluate until the time is up; 0 where all was flat, 1 where not."""
    minutes = float(os.environ.get("SOAK_MINUTES") or 30)
    folder = Path(tempfile.mkdtemp(prefix="mlubench-soak-"))
    try:
        # Bars of progress are nobody's to read here.
        with (folder / "said.log").open("w") as log, contextlib.redirect_stderr(log):
            held = soak(folder, 60 * minutes)
    finally:
        shutil.rmtree(folder)
    for line in summary(held):
        _say(line)
    grown = growth(held)
    for one in grown:
        _say(f"NOT FLAT  {one}")
    return 1 if grown else 0


def soak(folder: Path, seconds: float) -> list[Held]:
    """Evaluate the sample until the time is up, four times at least; return what was held."""
    from flows.launch import prepare_prefect

    os.environ.update(
        {
            "DO_NOT_TRACK": "1",
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            "PREFECT_SERVER_API_PORT": "9",  # no server that runs beside is to be used
        }
    )
    prepare_prefect(folder)
    from flows.ending import outcome_of
    from flows.evaluate import evaluate
    from mlubench.evaluate.options import check_parameters

    parameters = check_parameters(
        out=folder, precision=("force_float32", "qint8_mixed_float16"), calibration_num=40
    )
    held: list[Held] = []
    end = time.monotonic() + seconds
    while len(held) < 4 or time.monotonic() < end:
        outcome = outcome_of(evaluate(parameters, return_state=True))
        if isinstance(outcome, BaseException):
            raise outcome
        shutil.rmtree(outcome.folder)  # it is the process that is looked at, not the disk
        held.append(look())
        if len(held) % 10 == 0:
            _say(f"{len(held)} evaluations: {held[-1]}")
    return held


def look() -> Held:
    """Return what this process holds now."""
    gc.collect()
    children = _children(os.getpid())
    return Held(
        megabytes=_megabytes(os.getpid()),
        server_megabytes=sum(map(_megabytes, children)),
        files=len(list(Path("/proc/self/fd").iterdir())),
        threads=len(list(Path("/proc/self/task").iterdir())),
        children=len(children),
    )


def growth(held: Sequence[Held]) -> list[str]:
    """Return what grew from the second quarter to the last, in words."""
    quarter = len(held) // 4
    before, after = held[quarter : 2 * quarter], held[-quarter:]
    grown = []
    for place, one in enumerate(fields(Held)):
        first, last = (
            statistics.median(astuple(each)[place] for each in part) for part in (before, after)
        )
        allowed = _MEMORY_GROWTH * first if "megabytes" in one.name else 0
        if last - first > allowed:
            grown.append(f"{one.name}: {first:.1f}, then {last:.1f}")
    return grown


def summary(held: Sequence[Held]) -> list[str]:
    """Return how many evaluations there were, and the least and the most of what was held."""
    lines = [f"{len(held)} evaluations"]
    for place, one in enumerate(fields(Held)):
        figures = [astuple(each)[place] for each in held[len(held) // 4 :]]
        lines.append(f"  {one.name}: {min(figures):.1f} to {max(figures):.1f}")
    return lines


def _megabytes(process: int) -> float:
    try:
        return int(Path(f"/proc/{process}/statm").read_text().split()[1]) * _PAGE / 1e6
    except OSError:
        return 0.0


def _children(process: int) -> list[int]:
    tasks = Path(f"/proc/{process}/task").glob("*/children")
    return [int(child) for task in tasks for child in task.read_text().split()]


def _say(text: str) -> None:
    Console(highlight=False).print(text, markup=False, soft_wrap=True)


if __name__ == "__main__":
    sys.exit(main())
