"""Killed at named points: before any of the steps in which an evaluation changes its files.

The steps of an undisturbed run are noted, and each trial is killed before one of them; each sort
of step, such as the renaming of a run's folder, has its turn.
"""

from __future__ import annotations

import hashlib
import shutil
from collections import Counter

from tests.chaos.campaign import Chance, Counts, must
from tests.chaos.evaluating import VICTIM, Place
from tests.chaos.kills import Undisturbed, check_after, warm

#: Steps below these folders are done by what is killed in trials that begin with nothing.
_COLD = ("models/", "data/", "cache/")


def campaign(chance: Chance, whole: Undisturbed) -> Counts:
    """Kill before steps of every sort, until the time is up."""
    counts = Counts()
    chosen = drawn(chance, whole)
    counts.reach("sorts of steps that there are", len(chosen))
    chance.trials(
        counts, len(chosen), lambda place: kill_before(chosen[place], chance, whole, counts)
    )
    return counts


def drawn(chance: Chance, whole: Undisturbed) -> list[str]:
    """Return a step of each sort, in an order drawn by lot: its number, a space, its name."""
    lot = chance.lot("points")
    steps = [
        f"{lot.randint(1, times)} {name}" for name, times in sorted(Counter(whole.steps).items())
    ]
    lot.shuffle(steps)
    return steps


def whole_name(step: str) -> str:
    """Return a step's name as a folder may have it."""
    return hashlib.sha256(step.encode()).hexdigest()[:12]


def kill_before(step: str, chance: Chance, whole: Undisturbed, counts: Counts) -> None:
    """Kill an evaluation before a step, and check the one after it."""
    folder = chance.folder / f"before-{whole_name(step)}"
    dying = {**whole.server, "MLUBENCH_STEP": step}
    place = Place(folder, whole.place.options, VICTIM, dying)
    if not step.split(" ")[2].startswith(_COLD):
        warm(whole.place, place)
    run = place.start()
    status = run.wait()
    place.more = whole.server
    if status == 0:
        counts.count("over before the step")  # threads took it in another order
    else:
        must(status == -9, f"before {step}: exit status {status}, {run.said()[-3000:]}")
        counts.count("kills")
        check_after(run, whole, f"flow killed before {step}", counts, died=True)
    shutil.rmtree(folder)
