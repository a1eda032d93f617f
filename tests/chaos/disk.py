"""Disks that are full, read-only, forbidden, limited; paths that are too long or run into a file.

Each must end an evaluation with a message that names the path and with status 2 or 4, damage
nothing, and leave a run that completes once the fault is mended.
"""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.chaos.campaign import Chance, Counts, must
from tests.chaos.evaluating import Place, differences, names, outputs
from tests.chaos.kills import Undisturbed, warm

#: Room on the disk, as shares of what an evaluation leaves.
_SHARES = (0.02, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
#: Limits on the size of a file, in bytes: of prototxt, caffemodel, pixels, model, results.
_LIMITS = (20_000, 100_000, 1_000_000, 2_000_000, 5_000_000)
#: Where a file lies in the place of a folder.
_FOLDERS = (
    *("", "cache", "cache/onnx", "cache/compiled", "cache/decoded", "data", "models"),
    *("models/mine", "unfinished", "runs", "history", "history/accuracy", "prefect"),
)
_NOBODY = 65534
_MEGABYTE = 1 << 20

Trial = Callable[[Chance, Counts, Undisturbed], None]


def campaign(chance: Chance, whole: Undisturbed) -> Counts:
    """Make every trial that fits into the time, in an order drawn by lot."""
    counts = Counts()
    trials = {
        **{f"{share:.0%} of the room": _full(share) for share in _SHARES},
        **{f"files of {limit} bytes": _limited(limit) for limit in _LIMITS},
        **{f"a file as {name or 'out'}": file_at(name) for name in _FOLDERS},
        **{f"read-only, {state}": _read_only(state) for state in ("empty", "warm")},
        **{f"forbidden, {state}": _forbidden(state) for state in ("empty", "warm")},
        **{f"a path of {length}": too_long(length) for length in (300, 5000)},
    }
    order = sorted(trials)
    chance.lot("disk").shuffle(order)

    def one(place: int) -> None:
        with counts.trial(order[place]):
            trials[order[place]](chance, counts, whole)

    chance.trials(counts, len(order), one)
    return counts


def check_told(place: Place, counts: Counts, named: Path, kind: str) -> None:
    """Run an evaluation that cannot succeed and check how it says so.

    Args:
        place: where.
        counts: where it is noted.
        named: what the message must name, or something below it.
        kind: the fault.
    """
    run = place.start()
    status, said = run.wait(), run.said()
    run.gone()
    must(status in (2, 4), f"exit status {status}; it said:\n{said[-3000:]}")
    must("Traceback" not in said and "fault of mlubench" not in said, f"it said:\n{said[-3000:]}")
    errors = said[said.rfind("error: ") :] if "error: " in said else ""
    must(str(named) in errors, f"{named} is not named:\n{said[-3000:]}")
    counts.count(kind)


def check_mended(place: Place, whole: Undisturbed, counts: Counts) -> None:
    """Run an evaluation after the fault is mended and check that all is there."""
    place.start().finished()
    different = differences(outputs(place.out), whole.outputs)
    must(not different, f"other outputs after it was mended: {different}")
    left = names(place.out) ^ whole.names
    must(not left, f"files too many or too few after it was mended: {sorted(left)}")
    counts.count("complete once it was mended")


def _full(share: float) -> Trial:
    def trial(chance: Chance, counts: Counts, whole: Undisturbed) -> None:
        room = sum(
            max(file.lstat().st_blocks * 512, 4096)
            for file in whole.place.out.rglob("*")
            if "prefect" not in file.parts
        )
        folder = chance.folder / f"full-{share}"
        # Prefect's database is sometimes on the full disk too, sometimes elsewhere.
        own = chance.lot("home", share).random() < 0.5
        place = Place(folder, whole.place.options, more={} if own else whole.server)
        with mounted(place.out, f"size={max(int(room * share), _MEGABYTE // 4)}") as remount:
            if remount is None:
                counts.count("SKIPPED, no right to mount: full disks")
                return
            check_told(place, counts, place.out, "full disks")
            remount("size=1g")
            check_mended(place, whole, counts)
        shutil.rmtree(folder)

    return trial


def _read_only(state: str) -> Trial:
    def trial(chance: Chance, counts: Counts, whole: Undisturbed) -> None:
        place = Place(chance.folder / f"read-only-{state}", whole.place.options)
        with mounted(place.out, "size=1g") as remount:
            if remount is None:
                counts.count("SKIPPED, no right to mount: read-only disks")
                return
            if state == "warm":
                warm(whole.place, place)
            remount("ro")
            check_told(place, counts, place.out, "read-only disks")
            remount("rw")
            check_mended(place, whole, counts)
        shutil.rmtree(place.folder)

    return trial


def _forbidden(state: str) -> Trial:
    def trial(chance: Chance, counts: Counts, whole: Undisturbed) -> None:
        if os.geteuid() != 0:
            counts.count("SKIPPED, not root: folders of others")
            return
        place = Place(chance.folder / f"forbidden-{state}", whole.place.options)
        place.out.mkdir()
        if state == "warm":
            warm(whole.place, place)
        chance.folder.chmod(0o755)
        place.scratch.chmod(0o777)
        place.process = {"user": _NOBODY, "group": _NOBODY, "extra_groups": []}
        place.more = {"HOME": str(place.scratch)}
        check_told(place, counts, place.out, "folders of others")
        place.process, place.more = {}, {}
        shutil.rmtree(place.scratch)
        place.scratch.mkdir()
        check_mended(place, whole, counts)
        shutil.rmtree(place.folder)

    return trial


def _limited(limit: int) -> Trial:
    def trial(chance: Chance, counts: Counts, whole: Undisturbed) -> None:
        place = Place(chance.folder / f"limited-{limit}", whole.place.options)
        place.process = {
            "preexec_fn": lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        }
        # Prefect's database would be the first to meet the limit.
        place.more = whole.server
        check_told(place, counts, place.out, "limits on the size of a file")
        place.process = {}
        check_mended(place, whole, counts)
        shutil.rmtree(place.folder)

    return trial


def file_at(name: str) -> Trial:
    """Return a trial with a file in the place of a folder of the artifacts, or of all of them."""

    def trial(chance: Chance, counts: Counts, whole: Undisturbed) -> None:
        server = {} if name == "prefect" else whole.server
        folder = chance.folder / f"file-{name.replace('/', '-')}"
        place = Place(folder, whole.place.options, more=server)
        if name and not name.startswith(("models", "data", "cache/")):
            warm(whole.place, place)
        file = place.out / name
        if file.is_dir():
            shutil.rmtree(file)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("mine\n")
        check_told(place, counts, file, "files in a folder's place")
        must(file.read_text() == "mine\n", f"{file} is not what it was")
        file.unlink()
        check_mended(place, whole, counts)
        shutil.rmtree(place.folder)

    return trial


def too_long(length: int) -> Trial:
    """Return a trial of an --out of so many characters; a part of a path may have 255."""

    def trial(chance: Chance, counts: Counts, whole: Undisturbed) -> None:
        part = "a" * (length if length < 1000 else 200)
        folder = chance.folder.joinpath(*[part] * (length // len(part)))
        place = Place(chance.folder / f"long-{length}", whole.place.options)
        place.elsewhere = folder
        check_told(place, counts, folder, "paths that are too long")
        shutil.rmtree(place.folder)

    return trial


@contextmanager
def mounted(folder: Path, options: str) -> Iterator[Callable[[str], None] | None]:
    """Mount a disk of memory; give what mounts it in another way, None where nobody may."""
    folder.mkdir(parents=True, exist_ok=True)

    def mount(*words: str) -> bool:
        command = ["mount", *words, str(folder)]
        return subprocess.run(command, capture_output=True, check=False).returncode == 0

    if not mount("-t", "tmpfs", "-o", options, "tmpfs"):
        yield None
        return
    try:
        yield lambda more: must(mount("-o", f"remount,{more}"), f"cannot remount {more}")
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)
