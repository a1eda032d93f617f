"""Two at once: two evaluations of one folder of artifacts, begun within some seconds.

Both must be right, what can be shared must be made once, and whoever reads meanwhile must find
every file whole.
"""

from __future__ import annotations

import json
import os
import shutil
import threading
import time
from pathlib import Path

from mlubench.errors import StoreError
from mlubench.runs.history import ACCURACY_HISTORY
from mlubench.runs.parquet import read_parquet
from mlubench.runs.record import RunRecord
from mlubench.runs.schemas import ACCURACY, PREDICTIONS, SHARDS
from tests.chaos.campaign import Chance, Counts, must
from tests.chaos.evaluating import (
    VICTIM,
    Place,
    check_page,
    differences,
    names,
    outputs,
)
from tests.chaos.kills import Undisturbed

#: The second one begins at most so much later, in seconds: anywhere in a run's length.
_LATER = 15.0
_SCHEMAS = {
    "predictions.parquet": PREDICTIONS,
    "accuracy.parquet": ACCURACY,
    "shards.parquet": SHARDS,
}
#: What is made once however many want it, as its step is called.
_ONCE = (
    "os.rename models/mine/.part-mine.caffemodel",
    "os.rename data/.tmp-N-digits",
    "os.rename cache/onnx/.tmp-N-KEY",
)


def campaign(chance: Chance, whole: Undisturbed) -> Counts:
    """Begin two at a time until the time is up, once at least."""
    counts = Counts()
    number = 0
    while number == 0 or not chance.over:
        with counts.trial(f"trial {number}"):
            later = chance.lot("twice", number).choice((0.0, 0.5, _LATER))
            both(chance.folder / f"trial-{number}", whole, later, counts)
        number += 1
    return counts


def both(folder: Path, whole: Undisturbed, later: float, counts: Counts) -> None:
    """Begin two evaluations, the second one later, and check what they leave."""
    logs = [folder / f"steps-{number}.log" for number in range(2)]
    # One folder of artifacts; two places, for each notes its steps in a file of its own.
    places = [
        Place(folder, whole.place.options, VICTIM, {"MLUBENCH_STEPS": str(log)}) for log in logs
    ]
    places[1].started = 1
    with _reader(places[0].out, counts):
        first = places[0].start()
        time.sleep(later)
        second = places[1].start()
        first.finished()
        second.finished()
    counts.count("pairs of evaluations")
    steps = [step for log in logs for step in log.read_text().splitlines()]
    for step in _ONCE:
        must(steps.count(step) == 1, f"{steps.count(step)} times: {step}")
    precisions = steps.count("os.rename cache/compiled/.tmp-N-KEY")
    must(precisions == 2, f"networks were compiled {precisions} times for 2 precisions")
    blocks = [step for step in steps if step.startswith("os.rename cache/decoded/KEY/blocks/")]
    made = len(list(places[0].out.glob("cache/decoded/*/blocks/*.json")))
    must(len(blocks) == made, f"{made} blocks were decoded {len(blocks)} times")
    _check_runs(places[0], whole)
    shutil.rmtree(folder)


def _check_runs(place: Place, whole: Undisturbed) -> None:
    runs = sorted(place.out.glob("runs/*/run.json"))
    must(len(runs) == 2, f"{len(runs)} runs of two")
    for run in runs:  # the newest one is compared
        run.touch()
        time.sleep(0.01)
        different = differences(outputs(place.out), whole.outputs)
        must(not different, f"other outputs of {run.parent.name}: {different}")
        check_page(run.parent, place.scratch)
    # Two workspaces leave two locks.
    left = {name.replace("KEY.1", "KEY.0") for name in names(place.out)} ^ whole.names
    must(not left, f"files too many or too few: {sorted(left)}")


class _reader:  # noqa: N801  # used as a function
    """Read whatever is there, again and again, for as long as the block lasts."""

    def __init__(self, out: Path, counts: Counts) -> None:
        self._out, self._counts = out, counts
        self._over = threading.Event()
        self._faults: list[str] = []
        self._rounds = 0
        self._thread = threading.Thread(target=self._read)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._over.set()
        self._thread.join()
        if kind is None:
            must(not self._faults, f"a reader saw: {self._faults[:3]}")
            must(self._rounds > 1, "nothing was read meanwhile")

    def _read(self) -> None:
        while not self._over.wait(0.01):
            self._rounds += 1
            for folder, folders, files in os.walk(self._out):
                folders[:] = [name for name in folders if not name.startswith(".")]
                for name in files:
                    self._read_one(Path(folder) / name)

    def _read_one(self, file: Path) -> None:
        try:
            if file.name in _SCHEMAS:
                read_parquet(file, _SCHEMAS[file.name])
            elif file.parent.name == "accuracy" and file.suffix == ".parquet":
                read_parquet(file, ACCURACY_HISTORY)
            elif file.name == "run.json":
                RunRecord.read(file)
            elif file.name == "manifest.json":
                json.loads(file.read_bytes())
            else:
                return
        except (StoreError, ValueError, OSError) as error:
            if file.exists():
                self._faults.append(f"{file}: {error}")
        self._counts.count("reads meanwhile")
