"""``mlubench cache``: what is kept for later runs, whether it is sound, and what may go."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter
from rich.console import Console
from rich.table import Table

from mlubench.errors import ConfigError, StoreError
from mlubench.runs.cache import list_entries, prune_entries, verify_entries
from mlubench.runs.folders import Run

app = App(
    name="cache",
    help="List, verify and prune what is kept for later runs.",
    usage="Usage: mlubench cache COMMAND",
)

_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
Out = Annotated[Path, Parameter(help="folder of runs and caches")]


@app.default
def no_verb(
    *words: Annotated[str, Parameter(show=False, allow_leading_hyphen=True)],
) -> None:
    """List, verify and prune what is kept for later runs."""
    app.help_print()
    if words:
        raise ConfigError(
            f"{words[0]!r} does not say what is to be done",
            where="mlubench cache",
            expected="list, verify or prune, and its options after it",
            fix="see the help above",
        )


@app.command(name="list")
def list_cache(*, out: Out = Path("artifacts")) -> int:
    """List the entries, the least recently used first."""
    entries = list_entries(Run(out))
    table = Table("kind", "key", "last used", "size", "files", box=None, pad_edge=False)
    for entry in entries:
        used = entry.used.strftime("%Y-%m-%d %H:%M")
        table.add_row(entry.kind, entry.key, used, size_text(entry.bytes), str(entry.files))
    _console().print(table)
    total = sum(entry.bytes for entry in entries)
    _console().print(f"{len(entries)} entries, {size_text(total)}", highlight=False)
    return 0


@app.command(name="verify")
def verify_cache(*, out: Out = Path("artifacts")) -> int:
    """Read every entry back to the byte; remove those that are damaged.

    A damaged entry is made anew by the next run that needs it.
    """
    checked = verify_entries(Run(out))
    for entry, fault in checked:
        said = "sound" if fault is None else f"damaged, removed: {fault}"
        _console().print(f"{entry.kind} {entry.key}: {said}", highlight=False, soft_wrap=True)
    if damaged := sum(fault is not None for _, fault in checked):
        raise StoreError(
            f"{damaged} of {len(checked)} entries were damaged and are removed",
            where=str(out / "cache"),
            fix="the next run makes them anew; have the disk checked",
        )
    return 0


@app.command(name="prune")
def prune_cache(
    *,
    older_than: Annotated[float | None, Parameter(help="days since the last use")] = None,
    max_size: Annotated[str | None, Parameter(help="what may stay, such as 20G")] = None,
    out: Out = Path("artifacts"),
) -> int:
    """Remove entries that were not used for long, then the least recently used over a size.

    While a run uses the cache nothing is removed.
    """
    if older_than is None and max_size is None:
        raise ConfigError(
            "nothing says what may go",
            where="mlubench cache prune",
            expected="--older_than DAYS, --max_size SIZE or both",
        )
    if older_than is not None and not 0 <= older_than < math.inf:
        raise ConfigError(
            f"{older_than} is no age", where="--older_than", expected="0 days or more"
        )
    limit = None if max_size is None else parse_size(max_size)
    removed = prune_entries(Run(out), older_than, limit)
    freed = sum(entry.bytes for entry in removed)
    _console().print(f"{len(removed)} entries removed, {size_text(freed)} freed", highlight=False)
    return 0


def size_text(size: int) -> str:
    """Return a number of bytes for people: ``1.5 MiB``."""
    value, unit = float(size), "B"
    for larger in ("KiB", "MiB", "GiB", "TiB"):
        if value < 1024:
            break
        value, unit = value / 1024, larger
    return f"{size} B" if unit == "B" else f"{value:.1f} {unit}"


def parse_size(text: str) -> int:
    """Return the bytes of ``500M``, ``20G``, ``1.5T``, with or without ``B`` or ``iB``.

    Raises:
        ConfigError: it is no size.
    """
    number = text.strip().upper().removesuffix("B").removesuffix("I")
    unit = number[-1:] if number[-1:] in ("K", "M", "G", "T") else ""
    try:
        size = float(number.removesuffix(unit)) * _UNITS[unit]
    except ValueError:
        size = -1.0
    if not 0 <= size < float("inf"):
        raise ConfigError(f"{text!r} is no size", where="--max_size", expected="20G, 500M and such")
    return int(size)


def _console() -> Console:
    return Console()
