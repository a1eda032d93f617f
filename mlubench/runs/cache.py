"""What is kept for later runs: listing, verifying, pruning.

That is what lies below ``OUT/cache``, and the images of Parquet shards in ``OUT/data/parquet``.

An entry is a folder ``<kind>/<key>`` with a ``manifest.json``, whose time of change is the time
of the entry's last use. While a run uses the cache it holds a shared lock on it; what removes
entries needs the lock alone, so nothing is taken from under a run.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from mlubench.errors import ConfigError
from mlubench.images.datasets import parquet
from mlubench.images.decoding.blocks import BlockFiles
from mlubench.runs.folders import Run
from mlubench.sealed import open_sealed
from mlubench.store import MANIFEST, entry_damage, locked_if_free

_DECODED = "decoded"


@dataclass(frozen=True)
class Entry:
    """One entry of the cache.

    Attributes:
        folder: where it lies.
        kind: ``onnx``, ``compiled``, ``answers``, ``decoded`` or ``parquet`` (images of Parquet
            shards).
        key: its content key.
        bytes: the sum of its files' sizes.
        files: how many files it has.
        used: when a run last used it; for an unfinished one, when it was last written.
    """

    folder: Path
    kind: str
    key: str
    bytes: int
    files: int
    used: datetime


def list_entries(run: Run) -> list[Entry]:
    """Return all entries, the least recently used first."""
    folders = [*run.cache.glob("*/*/"), *run.data.glob(f"{parquet.KIND}/*/")]
    return sorted(
        (_entry(folder) for folder in folders), key=lambda entry: (entry.used, entry.folder)
    )


def verify_entries(run: Run) -> list[tuple[Entry, str | None]]:
    """Read every entry back to the byte and remove the damaged; return each with its fault.

    Raises:
        ConfigError: a run uses the cache.
    """
    with _alone(run):
        checked = [(entry, _fault(entry)) for entry in list_entries(run)]
        for entry, fault in checked:
            if fault is not None:
                _remove(entry)
    return checked


def prune_entries(run: Run, older_than: float | None, max_bytes: int | None) -> list[Entry]:
    """Remove entries and return them.

    Args:
        run: whose cache.
        older_than: days; what was not used for longer goes. None lets all stay.
        max_bytes: what may stay in all; the least recently used go first. None lets all stay.

    Raises:
        ConfigError: a run uses the cache.
    """
    with _alone(run):
        removed = _superfluous(list_entries(run), older_than, max_bytes, datetime.now(UTC))
        for entry in removed:
            _remove(entry)
    return removed


def _superfluous(
    entries: Sequence[Entry], older_than: float | None, max_bytes: int | None, now: datetime
) -> list[Entry]:
    """Return the entries that go; they come with the least recently used first."""
    total = sum(entry.bytes for entry in entries)
    gone = []
    for entry in entries:
        old = older_than is not None and now - entry.used > timedelta(days=older_than)
        if old or (max_bytes is not None and total > max_bytes):
            gone.append(entry)
            total -= entry.bytes
    return gone


def _entry(folder: Path) -> Entry:
    files = [file for file in folder.rglob("*") if file.is_file()]
    manifest = folder / MANIFEST
    used = (manifest if manifest.exists() else folder).stat().st_mtime
    return Entry(
        folder=folder,
        kind=folder.parent.name,
        key=folder.name,
        bytes=sum(file.stat().st_size for file in files),
        files=len(files),
        used=datetime.fromtimestamp(used, UTC),
    )


def _fault(entry: Entry) -> str | None:
    return _decoded_fault(entry) if entry.kind == _DECODED else entry_damage(entry.folder)


def _decoded_fault(entry: Entry) -> str | None:
    """Check the pixels of a decoded cache, block by block."""
    try:
        manifest = open_sealed((entry.folder / MANIFEST).read_bytes())
        files = BlockFiles(entry.folder, tuple(manifest["shape"]))
        digests = list(manifest["crc32"])
    except FileNotFoundError:
        return None  # unfinished: the next run goes on with it
    except (OSError, ValueError, KeyError, TypeError) as error:
        return f"its manifest cannot be read: {error}"
    if not files.is_allocated():
        return "images.u8 is missing or has another size"
    for block in range(files.count):
        if files.crc32(block) != digests[block]:
            return f"the pixels of block {block} have changed"
    return None


def _remove(entry: Entry) -> None:
    shutil.rmtree(entry.folder, ignore_errors=True)


@contextmanager
def _alone(run: Run) -> Iterator[None]:
    with locked_if_free(run.cache_lock) as free:
        if not free:
            raise ConfigError(
                "a run is using the cache",
                where=str(run.cache),
                fix="wait until it has finished",
            )
        yield
