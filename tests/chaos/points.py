"""Killed at named points: before any of the steps in which an evaluation changes its files.

The steps of an undisturbed run are noted, and each trial is killed before one of them; each sort
of step, such as the renaming of a run's folder, has its turn.
"""

from __future__ import annotations

import hashlib
import shutil
import sys
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from tests.chaos.campaign import Chance, Counts, must
from tests.chaos.evaluating import Place, prefect_server, sample_options, slow_server
from tests.chaos.kills import Undisturbed, check_after, undisturbed, warm

PROGRAM = (sys.executable, "-m", "tests.chaos.victim")
#: Steps below these folders are done by what is killed in trials that begin with nothing.
_COLD = ("models/", "data/", "cache/")


def campaign(chance: Chance) -> Counts:
    """Kill before steps of every sort, until the time is up."""
    counts = Counts()
    # A server that runs beside saves each trial the time to start one.
    with slow_server() as server, prefect_server(chance.folder / "server") as prefect:
        options = sample_options(chance.folder, server)
        log = chance.folder / "steps.log"
        always = {"PREFECT_API_URL": prefect}
        noting = {**always, "MLUBENCH_STEPS": str(log)}
        whole = undisturbed(Place(chance.folder / "whole", options, PROGRAM, noting))
        chosen = drawn(chance, log)
        chance.say(f"{len(chosen)} sorts of steps")
        counts.reach("sorts of steps that there are", len(chosen))
        chance.trials(
            counts,
            len(chosen),
            lambda place: kill_before(chosen[place], chance, whole, always, counts),
        )
    return counts


def drawn(chance: Chance, log: Path) -> list[str]:
    """Return a step of each sort, in an order drawn by lot: its number, a space, its name."""
    lot = chance.lot("points")
    steps = [
        f"{lot.randint(1, times)} {name}"
        for name, times in sorted(Counter(log.read_text().splitlines()).items())
    ]
    lot.shuffle(steps)
    return steps


def whole_name(step: str) -> str:
    """Return a step's name as a folder may have it."""
    return hashlib.sha256(step.encode()).hexdigest()[:12]


def kill_before(
    step: str, chance: Chance, whole: Undisturbed, always: Mapping[str, str], counts: Counts
) -> None:
    """Kill an evaluation before a step, and check the one after it."""
    folder = chance.folder / f"before-{whole_name(step)}"
    place = Place(folder, whole.place.options, PROGRAM, {**always, "MLUBENCH_STEP": step})
    if not step.split(" ")[2].startswith(_COLD):
        warm(whole.place, place)
    run = place.start()
    status = run.wait()
    place.more = always
    if status == 0:
        counts.count("over before the step")  # threads took it in another order
    else:
        must(status == -9, f"before {step}: exit status {status}, {run.said()[-3000:]}")
        counts.count("kills")
        check_after(run, whole, f"flow killed before {step}", counts, died=True)
    shutil.rmtree(folder)
