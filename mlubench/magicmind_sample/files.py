"""The text files that the MagicMind samples write for one network and precision.

The formats are those of the samples' ``infer_cpp`` and of their ``compute_top1_and_top5.py``,
which calls an image right where two whole lines are equal as strings. So labels and answers are
printed alike, every line ends with a newline, and images are counted from 0 without gaps.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from mlubench.errors import DatasetError
from mlubench.metrics.accuracy import correct_at_k
from mlubench.store import atomic_folder

#: A file's text in UTF-8, a piece after another.
Text = Iterable[bytes | memoryview]

#: Lines per image in eval_result_5.txt, by which the samples' script finds an image's lines.
_LINES_PER_IMAGE = 5
#: Images whose text is in memory at a time.
_IMAGES = 1 << 16


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
    accuracies = (float(correct_at_k(labels, top_index, k).mean()) for k in (1, 5))
    files = {
        **answer_texts(images, top_index, class_names),
        "eval_labels.txt": label_text(labels),
        "eval_result.txt": [accuracy_text(*accuracies)],
    }
    with atomic_folder(folder) as temporary:
        for name, text in files.items():
            write_text(temporary / name, text)


def answer_texts(
    images: Sequence[str], top_index: NDArray[np.integer], class_names: Sequence[str]
) -> dict[str, Text]:
    """Return the text of the three files of answers; see :func:`write_seed_files`."""
    missing = _LINES_PER_IMAGE - top_index.shape[1]
    five = np.pad(top_index, ((0, 0), (0, max(missing, 0))), mode="edge")[:, :_LINES_PER_IMAGE]
    return {
        "infer_result.txt": _named(images, top_index, class_names),
        "eval_result_1.txt": _numbered(top_index[:, :1]),
        "eval_result_5.txt": _numbered(five),
    }


def label_text(labels: NDArray[np.integer]) -> Text:
    """Return the text of ``eval_labels.txt``."""
    return _numbered(labels[:, np.newaxis])


def accuracy_text(top1: float, top5: float) -> bytes:
    """Return the text of ``eval_result.txt``."""
    return f"top1:  {top1:f}\ntop5:  {top5:f}\n".encode()


def write_text(path: Path, text: Text) -> None:
    """Write a file of text."""
    with path.open("wb") as stream:
        stream.writelines(text)


def _named(
    images: Sequence[str], top_index: NDArray[np.integer], class_names: Sequence[str]
) -> Iterator[memoryview]:
    names = pa.array(class_names, pa.string())
    for part in _parts(len(top_index)):
        pieces = ["top5 result in ", _stems(images[part]), ":\n"]
        for rank, column in enumerate(top_index[part].T):
            pieces += [f"{rank} [", names.take(pa.array(column)), "]\n"]
        yield _joined(pieces)


def _numbered(values: NDArray[np.integer]) -> Iterator[memoryview]:
    for part in _parts(len(values)):
        number = pa.array(np.arange(part.start, part.stop)).cast(pa.string())
        pieces: list[Any] = []
        for column in values[part].T:
            pieces += ["[", number, "]: ", pa.array(column).cast(pa.string()), "\n"]
        yield _joined(pieces)


def _parts(images: int) -> list[slice]:
    edges = [*range(0, images, _IMAGES), images]
    return [slice(first, stop) for first, stop in pairwise(edges)]


def _stems(images: Sequence[str]) -> pa.Array:
    """Return the last parts of paths without their extensions, as pathlib has them."""
    names = pc.replace_substring_regex(pa.array(images, pa.string()), "(?s)^.*/", "")
    return pc.replace_substring_regex(names, r"(?s)^(.+)\.[^.]+$", r"\1")


def _joined(pieces: Sequence[Any]) -> memoryview:
    """Return the text of all images: strings, and arrays with a string for each image.

    Arrow joins them image by image and has the results end to end in one buffer, which is the
    text; Python would take twenty times as long.
    """
    joined = pc.binary_join_element_wise(*pieces, "")
    _, offsets, data = joined.buffers()
    end = np.frombuffer(offsets, np.int32)[len(joined)]
    return memoryview(data)[:end]
