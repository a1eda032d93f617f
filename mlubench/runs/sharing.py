"""Runs, history, verdicts, nights and pinned baselines on a store that hosts share.

Each is an entry of its own under the run's id, which no other host writes: ``runs`` the run's
folder, ``history`` its rows, ``verdicts`` what a flow said of it, ``nightly`` a night's folder.
``pins`` are by what they are the baseline of; the last one who pins has it.
"""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from mlubench.errors import ConfigError, DepotError, StoreError
from mlubench.object_store.manifest import is_key
from mlubench.object_store.store import Depot
from mlubench.object_store.transfer import Progress, Source, at_once, sources_below, untold
from mlubench.runs.baselines import (
    LAST_GOOD,
    PINNED,
    PUBLISHED,
    Pin,
    PinChange,
    apply_pins,
    is_older_and_good,
    pins,
)
from mlubench.runs.folders import id_words
from mlubench.runs.history import TABLES, named_alike
from mlubench.runs.lookup import BENCHMARK, RunFacts, read_facts
from mlubench.store import content_key, locked, write_json

RUNS, HISTORY, VERDICTS, NIGHTS, PINS = "runs", "history", "verdicts", "nightly", "pins"
#: What of a run's folder says whether another can be compared with it.
_FACTS = ("run.json", "accuracy.parquet")
#: Folders that are an entry, and the file of each that has the options.
_FOLDERS = {RUNS: "run.json", NIGHTS: "summary.json"}
#: Locked by whoever brings a folder, so that two at once bring it once.
_BRINGING = ".bringing.lock"
#: Past nights that a night's page shows.
_NIGHTS = 30


def push_run(depot: Depot, out: Path, run_id: str, progress: Progress = untold) -> None:
    """Put a run's folder, its rows of the history and what was said of it on the store.

    Raises:
        DepotError: the store fails.
        StoreError: a file cannot be read.
    """
    depot.publish(RUNS, run_id, sources_below(out / "runs" / run_id), progress)
    history = out / "history"
    rows = [Source(name, history / name) for name in _rows_of(run_id) if (history / name).is_file()]
    depot.publish(HISTORY, run_id, rows)
    verdict = history / "verdicts" / f"{run_id}.json"
    if verdict.is_file():
        depot.publish(VERDICTS, run_id, [Source(verdict.name, verdict)])


def push_owed(depot: Depot, out: Path, progress: Progress = untold) -> None:
    """Put every run and night of this folder on the store that was meant for it and is not there.

    Raises:
        DepotError: the store fails.
        StoreError: a file cannot be read.
    """
    there = set(depot.names(RUNS)) & set(depot.names(HISTORY))
    for run_id in _meant_for(depot, out, RUNS, there):
        push_run(depot, out, run_id, progress)
    for night in _meant_for(depot, out, NIGHTS, set(depot.names(NIGHTS))):
        depot.publish(NIGHTS, night, sources_below(out / NIGHTS / night))


def share(depot: Depot, out: Path, what: str, run_id: str, progress: Progress = untold) -> str:
    """Put a finished run or night, and what is owed, on the store; return why that could not be.

    Args:
        depot: the store.
        out: folder of runs and caches.
        what: :data:`RUNS` or :data:`NIGHTS`.
        run_id: of the run or night; it may have been there, and have changed.
        progress: called with bytes put there and bytes in all.
    """
    try:
        if what == RUNS:
            push_run(depot, out, run_id, progress)
        push_owed(depot, out, progress)
    except (DepotError, StoreError) as error:
        return (
            f"not on {depot.address.text}: {error.what}; nothing is lost: it is in "
            f"{out / what / run_id}, and the same command puts it there when it is run again"
        )
    return ""


def _meant_for(depot: Depot, out: Path, kind: str, there: set[str]) -> list[str]:
    """Return the folders whose options name the store and that are not there."""
    found = []
    for path in sorted((out / kind).glob(f"[!.]*/{_FOLDERS[kind]}")):
        if path.parent.name not in there:
            with suppress(OSError, ValueError, AttributeError):
                options = json.loads(path.read_bytes()).get("parameters", {})
                if options.get("artifacts") == depot.address.text:
                    found.append(path.parent.name)
    return found


def pull_history(depot: Depot, out: Path, progress: Progress = untold) -> None:
    """Take the rows of all runs that this folder's history has not.

    Raises:
        DepotError: the store fails.
        StoreError: the history cannot be written.
    """
    history = out / "history"
    here = {path.stem for path in history.glob("*/*.parquet")}
    lacking = [run_id for run_id in depot.names(HISTORY) if run_id not in here]
    done = 0

    def fetch(run_id: str) -> None:
        nonlocal done
        depot.fetch(HISTORY, run_id, history, only=_rows_of(run_id))
        done += 1

    at_once(fetch, lacking, lambda: progress(done, len(lacking)))
    if not lacking:
        progress(1, 1)


def _rows_of(run_id: str) -> list[str]:
    """Return the files that an entry of the history may have: none of another run's."""
    return [f"{table}/{run_id}.parquet" for table in TABLES]


def pull_nights(depot: Depot, out: Path, suite: str) -> None:
    """Take the last nights of a suite.

    Raises:
        DepotError: the store fails.
        StoreError: they cannot be written.
    """
    like = f"00000000-000000-{id_words(suite)}"
    alike = [name for name in depot.names(NIGHTS) if named_alike(name, like)]
    for name in alike[-_NIGHTS:]:
        _bring(depot, out, NIGHTS, name)


def pull_pins(depot: Depot, out: Path) -> None:
    """Make the pinned baselines those of the store; what is pinned here alone stays.

    Raises:
        DepotError: the store fails.
        StoreError: the baselines cannot be read or written.
    """
    with TemporaryDirectory() as folder:
        files = [
            Path(folder) / f"{key}.json"
            for key in depot.names(PINS)
            if depot.fetch(PINS, key, Path(folder))
        ]
        apply_pins([PinChange.read(file) for file in files], out)


def push_pin(depot: Depot, out: Path, pin: Pin, *, pinned: bool) -> None:
    """Tell the store of a baseline that was pinned here, with its run, or unpinned.

    Raises:
        DepotError: the store fails.
        StoreError: a file cannot be read.
    """
    if pinned:
        push_run(depot, out, pin.run_id)
    key = content_key({"key": list(pin.key)})
    with TemporaryDirectory() as folder:
        file = Path(folder) / f"{key}.json"
        change = PinChange(key=pin.key, pin=pin if pinned else None)
        write_json(file, change.model_dump(mode="json"))
        depot.publish(PINS, key, [Source(file.name, file)])


def bring_run(depot: Depot, out: Path, run_id: str, progress: Progress = untold) -> Path:
    """Return a run's folder below OUT/runs, taken from the store where it is not there.

    Raises:
        ConfigError: the store has no such run, or it is damaged there.
        DepotError: the store fails.
        StoreError: the folder cannot be written.
    """
    if not _bring(depot, out, RUNS, run_id, progress):
        newest = ", ".join(depot.names(RUNS)[-3:])
        raise ConfigError(
            "is no run, or a damaged one",
            where=depot.address.below(f"runs/{run_id}"),
            expected="a run of the store" + (f", such as {newest}" if newest else ""),
            fix="name one of them",
        )
    return out / RUNS / run_id


def bring_baseline(depot: Depot, out: Path, run: Path, which: str) -> None:
    """Take the run that another is to be judged by, where the store has it and this host has not.

    Args:
        depot: the store.
        out: folder of runs and caches.
        run: the folder of the run to judge.
        which: as :func:`mlubench.runs.baselines.find_baseline` takes it.

    Raises:
        ConfigError: a run is named that is nowhere.
        DepotError: the store fails.
        StoreError: a file is damaged, or cannot be written.
    """
    if which == PUBLISHED:
        return
    if which == LAST_GOOD:
        _bring_last_good(depot, out, read_facts(run))
    elif which == PINNED:
        key = read_facts(run).key
        for one in pins(out):
            if one.key == key:
                bring_run(depot, out, one.run_id)
    elif not (Path(which) / "run.json").is_file():
        bring_run(depot, out, which)


def _bring_last_good(depot: Depot, out: Path, facts: RunFacts) -> None:
    """Take the newest good run that is like another, unless this host has it."""
    alike = [name for name in depot.names(RUNS) if named_alike(name, facts.run_id)]
    for name in reversed(alike):
        other = name != facts.run_id
        if other and _is_good(depot, out, name, facts) and _bring(depot, out, RUNS, name):
            return


def _is_good(depot: Depot, out: Path, name: str, facts: RunFacts) -> bool:
    verdicts = out / "history" / "verdicts"
    if not (verdicts / f"{name}.json").is_file():
        depot.fetch(VERDICTS, name, verdicts, only=(f"{name}.json",))
    with TemporaryDirectory() as folder:
        place = out / RUNS / name
        if not (place / "run.json").is_file():
            place = Path(folder) / name
            if not depot.fetch(RUNS, name, place, only=_FACTS):
                return False
        other = read_facts(place)
    # How fast another kind of device was says nothing.
    comparable = facts.kind != BENCHMARK or other.devices == facts.devices
    return comparable and is_older_and_good(other, facts, out)


def _bring(depot: Depot, out: Path, kind: str, name: str, progress: Progress = untold) -> bool:
    """Take a whole folder unless it is here; return whether it now is."""
    place = out / kind / name
    if _is_whole(place, kind):
        return True
    if not is_key(name):  # the folders above it are not this program's to make
        return False
    with locked(out / kind / _BRINGING):
        return _is_whole(place, kind) or depot.fetch_folder(
            kind, name, place, lambda folder: _is_whole(folder, kind), progress
        )


def _is_whole(place: Path, kind: str) -> bool:
    return (place / _FOLDERS[kind]).is_file()
