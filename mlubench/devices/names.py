"""Devices of one description told together."""

from __future__ import annotations

import re
from collections.abc import Sequence


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
