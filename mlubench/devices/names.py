"""Names and addresses of devices, and devices of one description in one line."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence

from mlubench.engines.traits import traits

_ALL_CORES = "cpu:0/1"


def grouped(devices: Sequence[str]) -> list[str]:
    """Return devices by description: ``mlu:0 to mlu:6: MLU370-S4`` and ``mlu:7: lost: ...``.

    Args:
        devices: ``name: description`` each, or a name alone.
    """
    names: dict[str, list[str]] = {}
    for device in devices:
        name, _, description = device.partition(": ")
        names.setdefault(description, []).append(name)
    return [
        ": ".join(filter(None, [", ".join(_ranges(group)), description]))
        for description, group in names.items()
    ]


def _ranges(names: Sequence[str]) -> list[str]:
    """Return names with three or more in a row as ``first to last``."""
    runs: list[list[str]] = []
    for name in names:
        if runs and name == _next(runs[-1][-1]):
            runs[-1].append(name)
        else:
            runs.append([name])
    return [part for run in runs for part in ([f"{run[0]} to {run[-1]}"] if len(run) > 2 else run)]


def _next(name: str) -> str | None:
    """Return the name with the next number; None where there is no number."""
    match = re.fullmatch(r"(.*:)([0-9]+)", name)
    return f"{match[1]}{int(match[2]) + 1}" if match else None


def addresses(names: Sequence[str]) -> list[str]:
    """Return the engine's addresses of devices: ``cpu:1`` of two becomes ``cpu:1/2``.

    The cores are divided by the highest group that was asked for: ``cpu:0`` alone has all of
    them, ``cpu:0 cpu:1`` have half each. Other names stand for themselves.
    """
    groups = [re.fullmatch(r"cpu:([0-9]+)", name) for name in names]
    count = max((int(group[1]) + 1 for group in groups if group), default=1)
    return [f"{name}/{count}" if group else name for name, group in zip(names, groups, strict=True)]


def cores_of(names: Sequence[str]) -> int:
    """Return the cores that each of the devices has at least, where they are groups of cores."""
    cores = len(os.sched_getaffinity(0))
    groups = [re.fullmatch(r"cpu:[0-9]+/([0-9]+)", address) for address in addresses(names)]
    return min((max(1, cores // int(group[1])) for group in groups if group), default=cores)


def build_addresses(engine: str, names: Sequence[str]) -> list[str]:
    """Return where a network may be compiled: all cores, or any of a run's devices.

    Args:
        engine: the engine's name.
        names: the run's devices.
    """
    return addresses(names) if traits(engine).builds_on_device else [_ALL_CORES]
