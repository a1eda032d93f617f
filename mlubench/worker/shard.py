"""One shard: images from the decoded cache through a session into a result file."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any, Callable, Dict, List, Mapping

import numpy as np

from mlubench.engines.interface import Session
from mlubench.errors import EngineError, StoreError
from mlubench.store import atomic_path
from mlubench.worker.top import TOP, top_classes


def run_shard(
    session: Session, request: Mapping[str, Any], progress: Callable[[int], None]
) -> Dict[str, Any]:
    """Infer a shard and write its result.

    Args:
        session: the loaded network.
        request: ``pixels`` (file of the decoded cache), ``shape`` (its [N, H, W, 3]), ``first``
            and ``images`` (the shard), ``out`` (the result: NumPy's npz with ``top_index`` int32
            and ``top_score`` float32, both [images, 5 or fewer]).
        progress: called with the number of finished images.

    Returns:
        ``started``, in seconds since the epoch, and ``seconds``, how long it took.

    Raises:
        StoreError: the decoded cache is not as described.
        EngineError: inference failed, or gave a score that is not a number.
    """
    started, clock = time.time(), time.monotonic()
    images = _pixels(Path(request["pixels"]), tuple(request["shape"]))
    first, count = int(request["first"]), int(request["images"])
    results = _Results(count, session.classes, progress)
    session.run(images[first : first + count], results.take)
    results.check(first)
    _write(Path(request["out"]), results)
    return {"started": started, "seconds": round(time.monotonic() - clock, 6)}


class _Results:
    """Collects the batches of a shard as they finish, in whatever order and on any thread."""

    def __init__(self, images: int, classes: int, progress: Callable[[int], None]) -> None:
        keep = min(TOP, classes)
        self.top_index = np.zeros((images, keep), np.int32)
        self.top_score = np.zeros((images, keep), np.float32)
        self._finished = np.zeros(images, bool)
        self._unsound: List[int] = []  # list.append needs no lock
        self._progress = progress
        self._lock = threading.Lock()

    def take(self, first: int, scores: np.ndarray) -> None:
        """Keep the best classes of a batch whose first image is ``first`` of the shard."""
        unsound = np.flatnonzero(~np.isfinite(scores).all(axis=1))
        if len(unsound):
            self._unsound.append(first + int(unsound[0]))
            return
        index, score = top_classes(scores)
        places = slice(first, first + len(scores))
        with self._lock:
            self.top_index[places], self.top_score[places] = index, score
            self._finished[places] = True
            self._progress(int(self._finished.sum()))

    def check(self, first: int) -> None:
        """Raise where an image has no result or its scores are no numbers."""
        if self._unsound:
            raise EngineError(
                "the network gave scores that are not finite numbers",
                where=f"image {first + min(self._unsound)}",
                fix="compare with force_float32; if that is sound, the precision overflows",
            )
        if not self._finished.all():
            lacking = first + int(np.flatnonzero(~self._finished)[0])
            raise EngineError("the engine gave no result", where=f"image {lacking}")


def _pixels(path: Path, shape: Any) -> np.ndarray:
    """Map the decoded cache; copy-on-write, since engines refuse a read-only buffer."""
    try:
        size = path.stat().st_size
        if size != int(np.prod(shape)):
            raise StoreError(
                f"the decoded images have {size} bytes",
                where=str(path),
                expected=f"{int(np.prod(shape))} for {list(shape)}",
                fix="delete its folder; it is made anew",
            )
        return np.memmap(str(path), np.uint8, mode="c", shape=shape)
    except OSError as error:
        raise StoreError(f"cannot be read: {error}", where=str(path)) from error


def _write(path: Path, results: _Results) -> None:
    with atomic_path(path, lasting=False) as temporary, temporary.open("wb") as stream:
        np.savez(stream, top_index=results.top_index, top_score=results.top_score)
