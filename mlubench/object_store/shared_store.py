"""A store of content-keyed files whose entries other hosts share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from mlubench.object_store.store import Depot
from mlubench.object_store.transfer import sources_below
from mlubench.store import Store, entry_damage


class SharedStore(Store):
    """As :class:`~mlubench.store.Store`; what it lacks it takes from a depot, and gives it there.

    A depot that fails meanwhile ends no run: what it cannot give is built here, and what it lacks
    is published by the next run that uses it.

    Args:
        root: the folder of the store.
        depot: what other hosts share.
    """

    def __init__(self, root: Path, depot: Depot) -> None:
        super().__init__(root)
        self._depot = depot

    def get(
        self,
        kind: str,
        parts: Mapping[str, Any],
        build: Callable[[Path], None],
        thorough: bool = True,
    ) -> Path:
        """Return the entry's folder, taken from the depot or built; see :meth:`Store.get`."""
        entry = super().get(kind, parts, build, thorough)
        self._depot.attempt(
            lambda: self._depot.publish_if_absent(kind, entry.name, sources_below(entry)), None
        )
        return entry

    def _make(self, entry: Path, parts: Mapping[str, Any], build: Callable[[Path], None]) -> None:
        if not self._depot.attempt(lambda: self._taken(entry, parts), otherwise=False):
            super()._make(entry, parts, build)

    def _taken(self, entry: Path, parts: Mapping[str, Any]) -> bool:
        """Take an entry from the depot; return whether it has it, sound and of this content."""
        return self._depot.fetch_folder(
            entry.parent.name,
            entry.name,
            entry,
            # The depot has compared every byte.
            lambda folder: entry_damage(folder, parts, thorough=False) is None,
        )
