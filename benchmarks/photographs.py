"""Photographs for a benchmark: as many as are asked for, and others to calibrate on."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import NamedTuple

#: The last photographs calibrate: they may not be scored too.
CALIBRATION = 300


class Photographs(NamedTuple):
    """Folders of links to photographs.

    Attributes:
        scored: the images, ``00000.JPEG`` and on.
        labels: their classes, in the order of 2012.
        calibration: others, which are not among them.
    """

    scored: Path
    labels: Path
    calibration: Path


def photographs(
    data: Path, folder: Path, count: int, calibration: int = CALIBRATION
) -> Photographs:
    """Lay links to photographs into a folder.

    Args:
        data: the photographs, ``images.csv`` and ``images/``.
        folder: for the links.
        count: how many are scored; the same ones again where there are fewer.
        calibration: how many calibrate.
    """
    made = Photographs(folder / "images", folder / "labels.txt", folder / "calibration")
    made.scored.mkdir()
    made.calibration.mkdir()
    with (data / "images.csv").open(newline="") as stream:
        rows = [
            (data / "images" / row["file"], row["index_2012"]) for row in csv.DictReader(stream)
        ]
    for file, _ in rows[-calibration:]:
        (made.calibration / file.name).symlink_to(file)
    scored = rows[:-calibration]
    lines = []
    for number in range(count):
        file, label = scored[number % len(scored)]
        name = f"{number:05d}.JPEG"
        (made.scored / name).symlink_to(file)
        lines.append(f"{name} {label}\n")
    made.labels.write_text("".join(lines))
    return made
