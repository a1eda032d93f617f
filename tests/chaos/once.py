"""Exactly once: whatever fails, every image is scored or told as damaged, and none is twice.

A property over shard sizes, batch sizes, device counts, damaged images and failures of workers,
which the order of threads mixes. Workers are stand-ins in this process, so that thousands of
cases are tried; that real ones die as these do is shown by :mod:`tests.chaos.kills`.
"""

from __future__ import annotations

import contextlib
import itertools
import tempfile
import threading
import time
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hypothesis
import numpy as np
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from mlubench.devices.engine_host import EngineHost
from mlubench.devices.pool import DevicePool
from mlubench.devices.shards import cut
from mlubench.errors import DeviceError, EngineError, WorkerError
from mlubench.evaluate.inference import Inferred, infer_images
from mlubench.evaluate.predictions import CORRUPT, SCORED, predictions_table
from mlubench.evaluate.shard_files import Workspace, merge_shards
from mlubench.images.datasets.labels import simple_order
from mlubench.images.decoding.blocks import BLOCK_IMAGES
from mlubench.images.decoding.cache import DecodedImages, ImageRecord
from mlubench.networks.compile import Compiled
from tests.chaos.campaign import Chance, Counts, must
from tests.chaos.kills import Undisturbed

_ENGINE = "tests.support.fault_engine"
_CLASSES = 251
_ORDER = simple_order("numbers", [str(number) for number in range(_CLASSES)])
_PRECISION = "force_float32"
#: How a worker fails when it is next asked for something; most often it does not.
HOW = ("well", "dies unasked", "dies at work", "dies when done", "says no", "writes half")
#: A campaign is so many at a time, until its time is up.
_SETTINGS = settings(
    max_examples=100,
    deadline=None,
    database=None,
    phases=[Phase.generate, Phase.shrink],
    suppress_health_check=list(HealthCheck),
)


@dataclass(frozen=True)
class Case:
    """A dataset, and two runs over it; the second one is undisturbed.

    Attributes:
        images: how many there are.
        corrupt: those that are damaged.
        batch: images of a batch.
        shards: of each run, how many are asked for.
        devices: of each run, how many there are.
        how: how the workers of the first run fail, request by request.
    """

    images: int
    corrupt: frozenset[int]
    batch: int
    shards: tuple[int | None, int | None]
    devices: tuple[int, int]
    how: tuple[str, ...]


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Draw a case."""
    images = draw(st.integers(1, 3 * BLOCK_IMAGES))
    count = st.none() | st.integers(1, 40)
    return Case(
        images=images,
        corrupt=draw(st.frozensets(st.integers(0, images - 1), max_size=5)),
        batch=draw(st.integers(1, 40)),
        shards=(draw(count), draw(count)),
        devices=(draw(st.integers(1, 5)), draw(st.integers(1, 5))),
        how=tuple(draw(st.lists(st.sampled_from((*HOW, *["well"] * 5)), max_size=60))),
    )


def check(case: Case, folder: Path) -> str:
    """Run a case and check that every image is there exactly once; tell how it went."""
    images = _decoded(case, folder)
    kept = Workspace(folder / "unfinished")
    first: Inferred | None = None
    with contextlib.suppress(DeviceError):
        first = _infer(case, 0, images, kept, list(case.how))
    done = {file: file.stat().st_ino for file in kept.folder.rglob("[0-9]*.parquet")}
    if first is not None:
        _check_all(case, images, first)
        return "completed in spite of all"
    second = _infer(case, 1, images, kept, [])
    _check_all(case, images, second)
    again = [file for file in second.shards if done.get(file) not in (None, file.stat().st_ino)]
    must(not again, f"finished shards were made again: {again}")
    return "given up, completed by the next run"


def _infer(
    case: Case, run: int, images: DecodedImages, kept: Workspace, how: list[str]
) -> Inferred:
    names = [f"card:{number}" for number in range(case.devices[run])]
    compiled = Compiled(_PRECISION, images.path.parent, "key")
    shards = cut(case.images, case.batch, case.shards[run], len(names))
    with DevicePool(_Host(_ENGINE, how=_Script(how)), names) as devices:
        return infer_images(
            devices, compiled, images, shards, _ORDER, kept, lambda done, total: None
        )


def _check_all(case: Case, images: DecodedImages, inferred: Inferred) -> None:
    expected = np.arange(case.images) % _CLASSES
    table = predictions_table(
        [record.name for record in images.records],
        [str(label) for label in expected],
        expected,
        set(case.corrupt),
        {_PRECISION: merge_shards(inferred.shards, case.images)},
    ).to_pylist()
    must([row["image_index"] for row in table] == list(range(case.images)), "not every image once")
    for row in table:
        corrupt = row["image_index"] in case.corrupt
        must(row["status"] == (CORRUPT if corrupt else SCORED), f"{row} is of the wrong status")
        must(corrupt or row["top5_index"][0] == row["label"], f"{row} has another's answer")


def _decoded(case: Case, folder: Path) -> DecodedImages:
    pixels = np.zeros((case.images, 1, 1, 3), np.uint8)
    pixels[:, 0, 0, 0] = np.arange(case.images) % _CLASSES
    path = folder / "images.u8"
    pixels.tofile(path)
    blocks = range(0, case.images, BLOCK_IMAGES)
    return DecodedImages(
        path=path,
        shape=(case.images, 1, 1, 3),
        records=tuple(
            ImageRecord(f"{i:04d}.JPEG", "", CORRUPT if i in case.corrupt else SCORED, "", "")
            for i in range(case.images)
        ),
        content_digest="",
        block_crc32=tuple(zlib.crc32(pixels[at : at + BLOCK_IMAGES].tobytes()) for at in blocks),
    )


class _Script:
    """What happens next, whichever thread asks."""

    def __init__(self, how: list[str]) -> None:
        self._how = how
        self._lock = threading.Lock()

    def next(self) -> str:
        with self._lock:
            return self._how.pop(0) if self._how else "well"


@dataclass(frozen=True)
class _Host(EngineHost):
    how: _Script = _Script([])  # noqa: RUF009  # one that does nothing

    def start(self, address: str = "") -> Any:
        return _StandIn(address, self.how)


class _StandIn:
    """A worker in this process: the class is the first byte of an image."""

    process_id = 0

    def __init__(self, device: str, how: _Script) -> None:
        self.device, self._how = device, how
        self.description, self.engine = "a stand-in", {"version": "0"}
        self._requests: list[Mapping[str, Any]] = []
        self._dead = False

    def call(self, request: Mapping[str, Any], *, silence: float) -> dict[str, Any]:
        self._alive()
        return {"executed_precision": "float32", "classes": _CLASSES}

    def send(self, request: Mapping[str, Any]) -> None:
        self._alive()
        self._requests.append(request)

    def receive(self, verb: str, *, silence: float, progress: Any) -> dict[str, Any]:
        self._alive()
        request, how = self._requests.pop(0), self._how.next()
        if how == "dies unasked":
            self._dead = True
        if how in ("dies at work", "says no"):
            self._dead = how == "dies at work"
            raise (WorkerError if self._dead else EngineError)(how, where=self.device)
        self._write(request, half=how == "writes half")
        if how == "dies when done":
            self._dead = True
            raise WorkerError(how, where=self.device)
        return {"started": time.time(), "seconds": 0.0}

    def _write(self, request: Mapping[str, Any], *, half: bool) -> None:
        pixels = np.fromfile(request["pixels"], np.uint8).reshape(request["shape"])
        first, count = request["first"], request["images"]
        best = pixels[first : first + count, 0, 0, 0].astype(np.int32)
        index = (best[:, np.newaxis] + np.arange(5, dtype=np.int32)) % _CLASSES
        scores = np.tile(np.linspace(1, 0.5, 5, dtype=np.float32), (count, 1))
        out = Path(request["out"])
        with out.open("wb") as stream:
            np.savez(stream, top_index=index, top_score=scores)
        if half:
            out.write_bytes(out.read_bytes()[: out.stat().st_size // 2])

    def _alive(self) -> None:
        if self._dead:
            raise WorkerError("has ended", where=self.device)

    def close(self) -> None:
        """End; there is nothing to do."""

    kill = close


def scratch() -> tempfile.TemporaryDirectory[str]:
    """Give a folder in memory, where there is one: a disk would be waited for at every file."""
    memory = Path("/dev/shm")
    return tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None)


def campaign(chance: Chance, _: Undisturbed) -> Counts:
    """Try cases until the time is up."""
    counts = Counts()

    def holds(case: Case) -> None:
        with scratch() as folder:
            counts.count(check(case, Path(folder)))

    with counts.trial("exactly once"):
        for part in itertools.count():
            if chance.over:
                break
            hypothesis.seed(f"{chance.seed} {part}")(_SETTINGS(given(cases())(holds)))()
    return counts
