"""Top-1 and top-5 from the seed's text files, as compute_top1_and_top5.py finds them.

That script compares whole lines as strings and looks at neither lengths nor numbers, so files
that do not belong together give a figure too. Here they are an error.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mlubench.errors import DatasetError, in_words
from mlubench.metrics.accuracy import correct_at_k

_LINE = re.compile(r"\[(\d+)\]: (\d+)")
_FIVE = 5


def samples_accuracy(labels: Path, best: Path, five: Path) -> tuple[float, float]:
    """Return top-1 and top-5 as fractions.

    Args:
        labels: ``eval_labels.txt``, a line ``[i]: label`` for each image from 0 on.
        best: ``eval_result_1.txt``, likewise the best class.
        five: ``eval_result_5.txt``, five such lines for each image, best first.

    Raises:
        DatasetError: a file cannot be read, a line has another form or number, or the files
            speak of different images; names file and line.
    """
    truth = _read(labels, 1)
    answers = _read(best, 1, len(truth), labels)
    five_answers = _read(five, _FIVE, len(truth), labels)
    differing = np.flatnonzero(answers[:, 0] != five_answers[:, 0])
    if len(differing):
        image = int(differing[0])
        raise DatasetError(
            f"the best class of image {image} is {five_answers[image, 0]}",
            where=f"{five}, line {_FIVE * image + 1}",
            expected=f"{answers[image, 0]}, as {best}, line {image + 1}, has it",
            fix="name two files of the same run",
        )
    top1, top5 = (
        float(correct_at_k(truth[:, 0], top, k).mean())
        for top, k in ((answers, 1), (five_answers, 5))
    )
    return top1, top5


def _read(
    path: Path, per_image: int, images: int | None = None, of: Path | None = None
) -> NDArray[np.int64]:
    """Return the values of a file: [images, lines per image]."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(
            f"cannot be read: {in_words(error)}",
            where=str(path),
            fix="see mlubench accuracy --help",
        ) from error
    values = [_value(path, number, line, per_image) for number, line in enumerate(lines)]
    if not values or len(values) % per_image:
        raise DatasetError(
            f"ends after {len(values)} lines",
            where=f"{path}, line {len(values) + 1}",
            expected=f"{per_image} for each image",
        )
    if images is not None and len(values) != images * per_image:
        raise DatasetError(
            f"speaks of {len(values) // per_image} images",
            where=f"{path}, line {min(len(values), images * per_image) + 1}",
            expected=f"{images}, as {of}",
            fix="name files of the same run",
        )
    return np.array(values, np.int64).reshape(-1, per_image)


def _value(path: Path, number: int, line: str, per_image: int) -> int:
    found = _LINE.fullmatch(line)
    expected = f"[{number // per_image}]: and a class"
    if found is None:
        raise DatasetError(f"{line[:60]!r}", where=f"{path}, line {number + 1}", expected=expected)
    if int(found[1]) != number // per_image:
        raise DatasetError(
            f"is of image {found[1]}", where=f"{path}, line {number + 1}", expected=expected
        )
    return int(found[2])
