"""Bad input given to a reader in a process of its own, and what must hold of every such trial."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.chaos.campaign import Counts, must

#: Nothing that is read may take more.
MOST_SECONDS, MOST_MEGABYTES = 5.0, 1000.0
_PROJECT = Path(__file__).parents[2]
_PATIENCE = 300.0


@dataclass(frozen=True)
class Reading:
    """What became of one file.

    Attributes:
        became: read, damaged, refused (with a message), or FAULT (with a traceback).
        words: what was read, the kind of damage, the message.
        seconds: of the processor.
        megabytes: the most that the process held until then.
    """

    became: str
    words: str
    seconds: float
    megabytes: float


def read_folder(reader: str, folder: Path) -> dict[str, Reading]:
    """Read all files of a folder in a process of its own; return what became of them by name."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.chaos.reading", reader, str(folder)],
        cwd=_PROJECT,
        capture_output=True,
        text=True,
        timeout=_PATIENCE,
        check=False,
    )
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    found = {line.pop("name"): Reading(**line) for line in lines}
    must(
        done.returncode == 0,
        f"the reader ended with {done.returncode} after {list(found)[-1:]} of {folder}: "
        f"{done.stderr[-2000:]}",
    )
    return found


def read_files(reader: str, folder: Path, files: Mapping[str, bytes]) -> dict[str, Reading]:
    """Write files into a folder and read them."""
    folder.mkdir(parents=True)
    for name, data in files.items():
        (folder / name).write_bytes(data)
    found = read_folder(reader, folder)
    must(found.keys() == files.keys(), f"other files than those of {folder} were read")
    return found


def bounded(name: str, reading: Reading, counts: Counts | None = None) -> None:
    """Check that a reader neither failed by a fault of its own nor took too much."""
    must(reading.became != "FAULT", f"{name}: {reading.words}")
    must(reading.seconds <= MOST_SECONDS, f"{name} took {reading.seconds:.1f} s")
    must(reading.megabytes <= MOST_MEGABYTES, f"{name} took {reading.megabytes:.0f} MB")
    if counts is not None:
        counts.reach("processor seconds for one file, at most", reading.seconds)
        counts.reach("megabytes of a reading process, at most", reading.megabytes)


def disturbed(data: bytes, lot: random.Random) -> bytes:
    """Return bytes with a few changes by lot: flips, cuts, repeats, extreme bytes."""
    changed = bytearray(data)
    for _ in range(lot.choice((1, 1, 2, 4))):
        if not changed:
            break
        at = lot.randrange(len(changed))
        how = lot.randrange(6)
        if how == 0:
            changed[at] ^= 1 << lot.randrange(8)
        elif how == 1:
            changed[at] = lot.choice((0, 1, 0x7F, 0x80, 0xFF))
        elif how == 2:
            del changed[at:]
        elif how == 3:
            del changed[at : at + lot.randrange(1, 20)]
        elif how == 4:
            changed[at:at] = changed[at : at + lot.randrange(1, 200)]
        else:
            changed[at:at] = lot.randbytes(lot.randrange(1, 9))
    return bytes(changed)
