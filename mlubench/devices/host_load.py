"""The host: its processor, its clock, its load, and the share that other processes had."""

from __future__ import annotations

import os
import platform
import re
import time
from dataclasses import dataclass
from pathlib import Path

#: Above this share of the cores, others disturbed a measurement: a few percent are any system's.
DISTURBED = 0.05


@dataclass(frozen=True)
class Moment:
    """The host at a moment.

    Attributes:
        at: seconds of ``time.monotonic()``.
        busy_seconds: processor time of all cores since the start of the host; what a hypervisor
            kept counts as busy.
        load: of the last minute.
        clock_mhz: mean of the cores; None where the kernel does not tell.
    """

    at: float
    busy_seconds: float
    load: float
    clock_mhz: float | None


@dataclass(frozen=True)
class Machine:
    """The host over a time.

    Attributes:
        seconds: how long it was looked at.
        cores: how many there are.
        others: share of the cores' time that other processes had, and a hypervisor.
        cpu_seconds: processor time of what was measured.
        load: of the last minute, at the end.
        clock_mhz: mean of the cores at the end; None where the kernel does not tell.
    """

    seconds: float
    cores: int
    others: float
    cpu_seconds: float
    load: float
    clock_mhz: float | None

    @property
    def disturbed(self) -> bool:
        """Whether others had so much of the host that the figures may be theirs."""
        return self.others > DISTURBED


def now(proc: Path = Path("/proc")) -> Moment:
    """Return the host at this moment, as far as its kernel tells.

    Args:
        proc: the kernel's folder of facts, see proc(5).
    """
    stat = proc_text(proc / "stat")
    tick = os.sysconf("SC_CLK_TCK")
    clocks = re.findall(r"^cpu MHz\s*: *([0-9.]+)", proc_text(proc / "cpuinfo"), re.MULTILINE)
    load = proc_text(proc / "loadavg").split()
    return Moment(
        at=time.monotonic(),
        busy_seconds=sum(busy for busy, _ in core_times(stat).values()) / tick,
        load=float(load[0]) if load else 0.0,
        clock_mhz=sum(map(float, clocks)) / len(clocks) if clocks else None,
    )


def between(before: Moment, after: Moment, own_cpu_seconds: float, cores: int) -> Machine:
    """Return the host between two moments.

    Args:
        before: the first.
        after: the second.
        own_cpu_seconds: processor time of what was measured; the rest was others'.
        cores: of the host.
    """
    seconds = max(after.at - before.at, 1e-9)
    busy = after.busy_seconds - before.busy_seconds
    return Machine(
        seconds=seconds,
        cores=cores,
        others=max(0.0, busy - own_cpu_seconds) / (seconds * cores),
        cpu_seconds=own_cpu_seconds,
        load=after.load,
        clock_mhz=after.clock_mhz,
    )


def cpu_model(proc: Path = Path("/proc")) -> str:
    """Return what the host's processor calls itself, or its architecture where it says nothing.

    Args:
        proc: the kernel's folder of facts.
    """
    model = re.search(r"^model name\s*: *(.+)$", proc_text(proc / "cpuinfo"), re.MULTILINE)
    return model[1].strip() if model else platform.machine()


def core_times(stat: str) -> dict[int, tuple[int, int]]:
    """Return for each core how long it was busy and how long it was there, in ticks.

    Args:
        stat: ``/proc/stat``; proc(5) has the columns: user, nice, system, idle, iowait, irq,
            softirq, steal; guests' times are in user and nice already.
    """
    times = {}
    for core, columns in re.findall(r"^cpu([0-9]+)((?: +[0-9]+){5,})", stat, re.MULTILINE):
        ticks = [int(column) for column in columns.split()[:8]]
        times[int(core)] = (sum(ticks) - ticks[3] - ticks[4], sum(ticks))
    return times


def proc_text(path: Path) -> str:
    """Return a file of the kernel's facts; empty where it cannot be read."""
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:  # a container may hide it
        return ""
