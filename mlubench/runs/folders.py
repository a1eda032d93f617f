"""The folders below --out, the ids of runs, and how long the stages of a run took."""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from mlubench.store import Store, locked, sweep

if TYPE_CHECKING:
    from mlubench.object_store.store import Depot

_NUMBERS = 10**8
#: What runs write below ``--out``, beside Prefect's own folder.
_WRITTEN = ("cache", "data", "models", "unfinished", "runs", "history", "nightly")


class Run:
    """The folders below ``--out``, and the clock of a run.

    Args:
        out: the folder.
        depot: what other hosts share, if they do.

    Attributes:
        out: likewise.
        depot: likewise.
        begun: when.
        seconds: by stage, as run.json has them.
        cache: what is kept for later runs: ``store`` and ``decoded``.
        cache_lock: held, shared, by every run that uses the cache.
        store: imported and compiled networks.
        decoded: decoded images.
        data: images that are written when first used.
        models: the files of networks, fetched when first used.
        unfinished: finished shards of runs that are not.
        runs: the folders of finished runs.
    """

    def __init__(self, out: Path, depot: Depot | None = None) -> None:
        self.out = out
        self.depot = depot
        self.begun = datetime.now(UTC)
        self.seconds: dict[str, float] = {}
        self.cache = out / "cache"
        self.cache_lock = self.cache / ".in-use"
        self.store = _store(self.cache, depot)
        self.decoded = self.cache / "decoded"
        self.data = out / "data"
        self.models = models_folder(out)
        self.unfinished = out / "unfinished"
        self.runs = out / "runs"
        self._written = [out / name for name in _WRITTEN]

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """Hold the cache against what removes entries of it.

        What killed runs left half-written is removed before, for it takes room, and after, for
        they may have been killed meanwhile.

        Raises:
            StoreError: the cache cannot be written.
        """
        with locked(self.cache_lock, shared=True):
            self._sweep()
            yield
            self._sweep()

    def _sweep(self) -> None:
        for folder in self._written:
            sweep(folder)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Measure what happens inside; a stage entered twice adds up."""
        start = time.monotonic()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.monotonic() - start


def models_folder(out: Path) -> Path:
    """Return the folder of the networks' files that are fetched, one folder for each."""
    return out / "models"


def _store(root: Path, depot: Depot | None) -> Store:
    if depot is None:
        return Store(root)
    from mlubench.object_store.shared_store import SharedStore

    return SharedStore(root, depot)


def id_words(what: str) -> str:
    """Return the words of a run id that say what it was."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", what)


class RunName(NamedTuple):
    """What a run is called, and the time that this is made of."""

    run_id: str
    written: datetime


def name_run(runs: Path, what: str, *, simulated: bool, shared: bool) -> RunName:
    """Return the name of a run that is written now.

    Runs so have the order in which they were published, whichever began first: what a page tells
    of the runs before its own stays true.

    Args:
        runs: folder of all runs; hold its lock until the folder is there.
        what: the network, and what was done.
        simulated: whether an engine's stand-in ran it; the id says so.
        shared: whether other hosts share the runs.
    """
    written = datetime.now(UTC)
    return RunName(free_run_id(runs, written, what, simulated=simulated, shared=shared), written)


def free_run_id(
    runs: Path, when: datetime, what: str, *, simulated: bool = False, shared: bool = False
) -> str:
    """Return a run id that no folder bears yet: a time, what it was, no pretence.

    Args:
        runs: folder of all runs; hold its lock until the folder is there.
        when: the time.
        what: the network or suite, and what was done.
        simulated: whether an engine's stand-in ran it.
        shared: whether other hosts share the runs; a number, which is as good as never drawn
            twice, then keeps apart what began in the same second.
    """
    words = id_words(what) + ("-simulated" if simulated else "")
    drawn = f"-{secrets.randbelow(_NUMBERS):08d}" if shared else ""
    name = f"{when:%Y%m%d-%H%M%S}-{words}{drawn}"
    taken = {path.name for path in runs.glob(f"{name}*")}
    number, free = 1, name
    while free in taken:
        number += 1
        free = f"{name}-{number}"
    return free
