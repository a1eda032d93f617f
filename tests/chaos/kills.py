"""Killed anywhere: an evaluation, its workers, its server, or all of them, at random moments.

A run that is complete is made first, undisturbed; when its stages begin is noted. Each trial draws
a stage, a moment in it, and what is killed then. After it a second run must complete, with
the same outputs to the byte but for times, without doing again what was finished, and without
leaving a file or a process.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random

from tests.chaos.campaign import Chance, Counts, must
from tests.chaos.evaluating import (
    VICTIM,
    Evaluating,
    Place,
    check_page,
    differences,
    names,
    newest_run,
    outputs,
    sample_options,
    slow_server,
)

_LOOK_SECONDS = 0.005
_TARGETS = ("flow", "worker", "server", "all")
#: With these the evaluation itself dies.
_MORTAL = ("flow", "all")
#: How many runs in a row are killed, at most.
_AGAIN = 4
#: How each stage shows in the folder of artifacts. What precedes infer is there in warm trials.
_COLD = ("start", "fetch", "import", "decode", "build", "calibrate")
_WARM = ("infer", "merge", "report", "publish")


def _seen(out: Path, pattern: str, count: int = 1) -> bool:
    try:
        return len(list(out.glob(pattern))) >= count
    except OSError:
        return False  # a folder went while it was looked into


#: Whether a stage has begun.
_SIGNS: Mapping[str, Callable[[Path], bool]] = {
    "start": lambda out: True,
    "fetch": lambda out: _seen(out, "models/*/.*.lock"),
    "import": lambda out: _seen(out, "cache/onnx/*.lock"),
    "decode": lambda out: _seen(out, "cache/decoded/*.lock"),
    "build": lambda out: _seen(out, "cache/compiled/*.lock"),
    "calibrate": lambda out: _seen(out, "cache/compiled/*.lock", 2),
    "infer": lambda out: _seen(out, "unfinished/*/*/*"),
    "merge": lambda out: _seen(out, "unfinished/*/*/[0-9]*.parquet", 60),
    "report": lambda out: _seen(out, "runs/.tmp-*"),
    "publish": lambda out: _seen(out, "history/accuracy/*.parquet"),
}


@dataclass(frozen=True)
class Undisturbed:
    """A run that nothing was done to.

    Attributes:
        place: where it lies.
        outputs: what it left, but for times.
        names: of the files that it left.
        seconds: of each stage.
        steps: the names of its steps, as :mod:`tests.chaos.victim` notes them.
        server: variables of the environment with which it used a server of Prefect's that runs.
            Trials that use it too are spared the start of one of their own.
    """

    place: Place
    outputs: Mapping[str, str]
    names: frozenset[str]
    seconds: Mapping[str, float]
    steps: Sequence[str]
    server: Mapping[str, str]


@contextmanager
def undisturbed(
    folder: Path, prefect: str, second: str = "qint8_mixed_float16"
) -> Iterator[Undisturbed]:
    """Make a run that nothing is done to; what it used is there while the block lasts.

    Args:
        folder: for all of it.
        prefect: address of a server of Prefect's; "" where the flows run without Prefect, which
            only :data:`VICTIM` does.
        second: see :func:`sample_options`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with slow_server() as files:
        server = {"PREFECT_API_URL": prefect} if prefect else {"MLUBENCH_PLAIN": "1"}
        log = folder / "steps.log"
        place = Place(
            folder / "whole",
            sample_options(folder, files, second),
            VICTIM,
            {**server, "MLUBENCH_STEPS": str(log)},
        )
        seconds = _watched(place)
        check_page(newest_run(place.out), place.scratch)
        steps = log.read_text().splitlines()
        left = frozenset(names(place.out))
        yield Undisturbed(place, outputs(place.out), left, seconds, steps, server)


def _watched(place: Place) -> dict[str, float]:
    """Run an evaluation; return the seconds of its stages."""
    run, begun = place.start(), {}
    while run.process.poll() is None:
        for stage, sign in _SIGNS.items():
            if stage not in begun and sign(place.out):
                begun[stage] = time.monotonic()
        time.sleep(_LOOK_SECONDS)
    run.finished()
    ends = [*list(begun.values())[1:], time.monotonic()]
    seconds = {stage: end - begin for (stage, begin), end in zip(begun.items(), ends, strict=True)}
    # In no order: images are decoded while the network is compiled.
    must(seconds.keys() == _SIGNS.keys(), f"stages seen: {list(seconds)}")
    return seconds


def campaign(chance: Chance, whole: Undisturbed) -> Counts:
    """Kill until the time is up."""
    counts = Counts()
    chance.trials(counts, 10_000, lambda number: _trial(chance, counts, whole, number))
    return counts


def _trial(chance: Chance, counts: Counts, whole: Undisturbed, number: int) -> None:
    lot = chance.lot("kills", number)
    stage, target = lot.choice((*_COLD, *_WARM)), lot.choice(_TARGETS)
    place = Place(chance.folder / f"trial-{number}", whole.place.options)
    if stage in _WARM:
        warm(whole.place, place)
    kill(place, whole, stage, target, lot, counts)
    shutil.rmtree(place.folder)


def warm(whole: Place, place: Place) -> None:
    """Give a place what an undisturbed run left for later ones."""
    for folder in ("cache", "data", "models"):
        shutil.copytree(whole.out / folder, place.out / folder)


def kill(
    place: Place,
    whole: Undisturbed,
    stage: str,
    target: str,
    lot: Random,
    counts: Counts,
    *,
    again: bool = True,
) -> None:
    """Kill at a random moment of a stage, and check all that must hold after it.

    Args:
        place: where.
        whole: what must be there at last.
        stage: in which stage.
        target: what is killed.
        lot: draws the moment.
        counts: where it is noted.
        again: whether runs that follow may be killed, too.
    """
    about = f"{target} killed in {stage}"
    run = place.start()
    if not _moment(run, stage, lot.uniform(0, whole.seconds[stage])):
        counts.count("over before the moment")
        run.finished()
        return
    _strike(run, target, lot)
    counts.count("kills")
    counts.count(f"in {stage}")
    counts.count(f"of {target}")
    died = target in _MORTAL
    last = _killed_again(run, whole, lot, counts) if died and again else run
    if last is not None:
        check_after(last, whole, about, counts, died=died)


def _killed_again(
    run: Evaluating, whole: Undisturbed, lot: Random, counts: Counts
) -> Evaluating | None:
    """Kill the runs after a killed one too, a few times; return the last, None if one completed."""
    for _ in range(lot.randrange(_AGAIN)):
        run.wait()
        counts.reach("longest life of an orphan, s", run.gone())
        run = run.place.start()
        time.sleep(lot.uniform(0, sum(whole.seconds.values())))
        if run.process.poll() is not None:
            run.finished()
            _check_whole(run.place, whole, "killed before")
            counts.count("completed before they were killed again")
            return None
        target = lot.choice(_MORTAL)
        _strike(run, target, lot)
        counts.count("kills")
        counts.count("of a run after a killed one")
        counts.count(f"of {target}")
    return run


def _moment(run: Evaluating, stage: str, later: float) -> bool:
    """Wait for a moment; whether the run was still there."""
    while not _SIGNS[stage](run.place.out):
        if run.process.poll() is not None:
            return False
        time.sleep(_LOOK_SECONDS)
    time.sleep(later)
    return run.process.poll() is None


def _strike(run: Evaluating, target: str, lot: Random) -> None:
    if target == "all":
        run.kill(run.processes())
        run.kill(run.processes())  # what was begun meanwhile
        return
    victims = run.processes(target)
    while not victims and run.process.poll() is None:
        time.sleep(_LOOK_SECONDS)
        victims = run.processes(target)
    if victims:
        run.kill([lot.choice(victims)])


def check_after(
    run: Evaluating, whole: Undisturbed, about: str, counts: Counts, *, died: bool
) -> None:
    """Check a run of which something was killed, and the one after it.

    Args:
        run: the run.
        whole: what it must leave.
        about: what was killed.
        counts: where it is noted.
        died: whether the run itself was killed.
    """
    place = run.place
    status = run.wait()
    counts.reach("longest life of an orphan, s", run.gone())
    if not died:
        said = run.said()
        must(status in (0, 4) and "Traceback" not in said, f"{about}: {status}, {said[-3000:]}")
        must("fault of mlubench" not in said, f"{about}: {said[-3000:]}")
        counts.count("went on by themselves" if status == 0 else "ended with a clear error")
    kept, entries = place.shards(), place.entries()
    complete = len(list(place.out.glob("runs/*/run.json")))
    if status == 0:
        _check_whole(place, whole, about)
        return
    second = place.start()
    second.finished()
    _check_whole(place, whole, about)
    must(
        {folder: place.entries().get(folder) for folder in entries} == entries,
        f"{about}: a finished entry of the cache was made again",
    )
    if not complete:
        from mlubench.runs.parquet import read_parquet
        from mlubench.runs.schemas import SHARDS

        shards = read_parquet(newest_run(place.out) / "shards.parquet", SHARDS)
        before = sum(one < second.began for one in shards["started_utc"].to_pylist())
        must(before == len(kept), f"{about}: {before} shards were used of {len(kept)} finished")
        counts.count("finished shards used again", before)


def _check_whole(place: Place, whole: Undisturbed, about: str) -> None:
    different = differences(outputs(place.out), whole.outputs)
    must(not different, f"{about}: other outputs: {different}")
    left = names(place.out) ^ whole.names
    must(not left, f"{about}: files too many or too few: {sorted(left)}")
    check_page(newest_run(place.out), place.scratch)
    rest = sorted(path.name for path in place.scratch.iterdir())
    must(not rest, f"{about}: left in TMPDIR: {rest}")
