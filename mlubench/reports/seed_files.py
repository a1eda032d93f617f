"""The text files that the MagicMind samples write for one network and precision.

The formats are those of the samples' ``infer_cpp`` and of their ``compute_top1_and_top5.py``,
which calls an image right where two whole lines are equal as strings. So labels and answers are
printed alike, every line ends with a newline, and images are counted from 0 without gaps.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlubench.errors import DatasetError
from mlubench.metrics.accuracy import correct_at_k
from mlubench.store import atomic_folder

#: Lines per image in eval_result_5.txt, by which the samples' script finds an image's lines.
_LINES_PER_IMAGE = 5
#: Rows that are Python's own numbers at a time; those of a million images would be too many.
_ROWS = 1 << 16


def seed_folder_name(model: str, precision: str, dynamic: bool, batch: int) -> str:
    """Return the folder's name; it holds the batch size only where that is compiled in."""
    name = f"{model}_{precision}_{'true' if dynamic else 'false'}"
    return name if dynamic else f"{name}_{batch}"


def write_seed_files(
    folder: Path,
    images: Sequence[str],
    labels: NDArray[np.integer],
    top_index: NDArray[np.integer],
    class_names: Sequence[str],
) -> None:
    """Write the five files, in place of whatever the folder held.

    - ``infer_result.txt``: per image ``top5 result in NAME:`` (no folder, no extension), then
      ``k [CLASS NAME]`` for k = 0 to 4;
    - ``eval_labels.txt``: ``[i]: LABEL``;
    - ``eval_result_1.txt``: ``[i]: INDEX`` of the best class;
    - ``eval_result_5.txt``: five such lines per image, best first. A network of fewer classes
      repeats its last one, which changes no hit and keeps five lines;
    - ``eval_result.txt``: ``top1:  0.775000`` and ``top5:  0.952000``.

    Args:
        folder: where they go; made if absent.
        images: N names of scored images, corrupt ones left out.
        labels: [N], the true classes in the network's own order.
        top_index: [N, C], the best classes in that order, best first.
        class_names: the name of each class, in that order.

    Raises:
        DatasetError: there is no image.
        StoreError: the folder cannot be written.
        ValueError: the lengths differ.
    """
    if not len(images) == len(labels) == len(top_index):
        raise ValueError(f"{len(images)} images, {len(labels)} labels, {len(top_index)} answers")
    if not images:
        raise DatasetError("no image was scored", where=str(folder), expected="one or more images")
    files = {
        **answer_lines(images, top_index, class_names),
        "eval_labels.txt": label_lines(labels),
        "eval_result.txt": accuracy_lines(
            *(float(correct_at_k(labels, top_index, k).mean()) for k in (1, 5))
        ),
    }
    with atomic_folder(folder) as temporary:
        for name, lines in files.items():
            write_lines(temporary / name, lines)


def answer_lines(
    images: Sequence[str], top_index: NDArray[np.integer], class_names: Sequence[str]
) -> dict[str, Iterable[str]]:
    """Return the text of the three files of answers, an image's lines at a time.

    See :func:`write_seed_files`.
    """
    missing = _LINES_PER_IMAGE - top_index.shape[1]
    five = np.pad(top_index, ((0, 0), (0, max(missing, 0))), mode="edge")[:, :_LINES_PER_IMAGE]
    return {
        "infer_result.txt": _named(images, top_index, class_names),
        "eval_result_1.txt": _numbered(top_index[:, :1]),
        "eval_result_5.txt": _numbered(five),
    }


def label_lines(labels: NDArray[np.integer]) -> Iterable[str]:
    """Return the lines of ``eval_labels.txt``."""
    return _numbered(labels[:, np.newaxis])


def accuracy_lines(top1: float, top5: float) -> Iterable[str]:
    """Return the lines of ``eval_result.txt``."""
    return f"top1:  {top1:f}", f"top5:  {top5:f}"


def write_lines(path: Path, lines: Iterable[str]) -> None:
    """Write lines, or several joined by newlines, as the samples do: UTF-8, a newline behind."""
    with path.open("w", encoding="utf-8", newline="\n") as stream:
        stream.writelines(f"{line}\n" for line in lines)


def _named(
    images: Sequence[str], top_index: NDArray[np.integer], class_names: Sequence[str]
) -> Iterator[str]:
    ranked = [[f"{rank} [{name}]" for name in class_names] for rank in range(top_index.shape[1])]
    for image, best in zip(images, _rows(top_index), strict=True):
        lines = [ranks[index] for ranks, index in zip(ranked, best, strict=True)]
        yield "\n".join([f"top5 result in {_stem(image)}:", *lines])


def _numbered(values: NDArray[np.integer]) -> Iterator[str]:
    for i, row in enumerate(_rows(values)):
        yield "\n".join([f"[{i}]: {value}" for value in row])


def _rows(values: NDArray[np.integer]) -> Iterator[list[Any]]:
    for first in range(0, len(values), _ROWS):
        yield from values[first : first + _ROWS].tolist()


def _stem(image: str) -> str:
    """Return a path's last part without its extension; pathlib takes ten times as long."""
    name = image.rpartition("/")[2]
    dot = name.rfind(".")
    return name[:dot] if 0 < dot < len(name) - 1 else name
