"""The part of a file that has been fetched, kept so that a cut transfer goes on where it was."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

from mlubench.errors import StoreError
from mlubench.store import name_finished, write_json


class PartialFile:
    """The unfinished file beside the target, and what it is a part of.

    Args:
        target: the file, once it is finished.
        place: where it comes from. Only a digest of it is kept: a URL may hold a password.
    """

    def __init__(self, target: Path, place: str) -> None:
        self.path = target.with_name(f".part-{target.name}")
        self._target = target
        self._facts = target.with_name(f".part-{target.name}.json")
        self._place = hashlib.sha256(place.encode("utf-8", "surrogatepass")).hexdigest()

    def size(self) -> int:
        """Return how many bytes of this place's file are there."""
        return self.path.stat().st_size if self.path.exists() and self._known() else 0

    def validator(self) -> str:
        """Return the ETag or date of the version that the bytes are of; empty where none."""
        return str((self._known() or {}).get("validator", ""))

    def begin(self, validator: str) -> None:
        """Start anew, with a version of that validator."""
        self.forget()
        write_json(self._facts, {"place": self._place, "validator": validator})

    def forget(self) -> None:
        """Remove what is there."""
        with disk_errors(self.path, "removed"):
            for file in (self.path, self._facts):
                if file.exists():  # nothing is to be removed from a disk that is read-only
                    file.unlink(missing_ok=True)

    def finish(self) -> None:
        """Give the file its own name; it has been found right."""
        name_finished(self.path, self._target)
        self.forget()

    def _known(self) -> dict[str, str] | None:
        """Return what was noted of the part, if it is of this place."""
        with contextlib.suppress(OSError, ValueError):
            facts = json.loads(self._facts.read_bytes())
            if isinstance(facts, dict) and facts.get("place") == self._place:
                return facts
        return None


@contextlib.contextmanager
def disk_errors(path: Path, verb: str) -> Iterator[None]:
    """Turn a fault of this machine's disk into a StoreError."""
    try:
        yield
    except OSError as error:
        raise StoreError(
            f"cannot be {verb}: {error.strerror or error}",
            where=str(path),
            fix="see whether the disk is full, and whether this user may write there",
        ) from error
