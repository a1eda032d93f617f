"""Images that are used while others are still decoded: never before they are, never others."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest

from mlubench.errors import DatasetError, MlubenchError, StoreError
from mlubench.images.datasets.dataset import Dataset
from mlubench.images.datasets.source import FolderSource
from mlubench.images.decoding.blocks import BLOCK_IMAGES
from mlubench.images.decoding.cache import DecodedImages
from mlubench.images.decoding.decoder import Decoding, decode_dataset
from mlubench.images.decoding.preprocess import Preprocess
from tests.images.pictures import jpeg, picture, write_folder

SPEC = Preprocess("short", 24, 20)
IMAGES = 3 * BLOCK_IMAGES + 8
#: Seconds after which a test that waits has failed.
PATIENCE = 60


@dataclass(frozen=True)
class GatedSource(FolderSource):
    """A folder of which an image is read only once it may be."""

    gates: dict[str, threading.Event] = field(default_factory=dict)

    def read(self, name: str) -> bytes:
        gate = self.gates.get(name)
        if gate is not None and not gate.wait(PATIENCE):
            raise DatasetError("nobody opened the gate", where=name)
        return super().read(name)


def _name(number: int) -> str:
    return f"{number:04d}.JPEG"


def _ignore(done: int, total: int) -> None:
    pass


@pytest.fixture(scope="module")
def pets(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """200 images, of which 70 is cut."""
    files = {_name(i): jpeg(picture(30 + i % 7, 40, seed=i)) for i in range(IMAGES)}
    files[_name(70)] = files[_name(70)][:300]
    return write_folder(tmp_path_factory.mktemp("pets"), files)


def _gated(pets: Dataset, *numbers: int) -> tuple[Dataset, list[threading.Event]]:
    gates = {_name(number): threading.Event() for number in numbers}
    return replace(pets, source=GatedSource(pets.root, gates)), list(gates.values())


@contextmanager
def _running(dataset: Dataset, root: Path) -> Iterator[tuple[Decoding, Future[DecodedImages]]]:
    """Give a decoding that goes on in a thread."""
    with ThreadPoolExecutor(1) as pool, Decoding(dataset, SPEC, root) as decoding:
        yield decoding, pool.submit(decoding.run, workers=2, progress=_ignore)


def test_images_are_there_before_the_last_is_decoded(pets: Dataset, tmp_path: Path) -> None:
    whole = decode_dataset(pets, SPEC, tmp_path / "whole", workers=2, progress=_ignore)
    gated, (gate,) = _gated(pets, 2 * BLOCK_IMAGES)
    with _running(gated, tmp_path / "cache") as (decoding, running):
        decoding.wait(2 * BLOCK_IMAGES)
        decoding.verify(0, 2 * BLOCK_IMAGES)
        assert not decoding.complete
        seen = np.memmap(decoding.path, np.uint8, mode="r", shape=decoding.shape)
        stop = 2 * BLOCK_IMAGES
        np.testing.assert_array_equal(seen[:stop], whole.pixels()[:stop])
        gate.set()
        decoded = running.result(PATIENCE)
        assert decoding.complete
        decoding.wait(IMAGES)
        decoding.verify(BLOCK_IMAGES, IMAGES - BLOCK_IMAGES)
    assert decoding.seconds > 0
    assert decoded.path.read_bytes() == whole.path.read_bytes()
    assert (decoded.records, decoded.content_digest) == (whole.records, whole.content_digest)


def test_nobody_gets_images_behind_one_that_is_not_decoded(pets: Dataset, tmp_path: Path) -> None:
    gated, (first, last) = _gated(pets, 0, IMAGES - 1)
    with ThreadPoolExecutor(1) as pool, _running(gated, tmp_path) as (decoding, running):
        waiting = pool.submit(decoding.wait, 2 * BLOCK_IMAGES)
        # The second block is decoded by the other thread, and then the third.
        marker = decoding.path.parent / "blocks" / "00002.json"
        while not marker.exists():
            assert not waiting.done()
            assert not running.done()
        assert not waiting.done()
        first.set()
        waiting.result(PATIENCE)
        assert not running.done()
        last.set()
        running.result(PATIENCE)


def test_what_is_in_the_cache_is_there_at_once(pets: Dataset, tmp_path: Path) -> None:
    decode_dataset(pets, SPEC, tmp_path, workers=2, progress=_ignore)
    decoding = Decoding(pets, SPEC, tmp_path)
    decoding.run(workers=2, progress=_ignore)
    assert decoding.complete
    decoding.wait(IMAGES)
    decoding.verify(0, IMAGES)


@pytest.mark.parametrize("when", ["while others are decoded", "in the cache"])
def test_changed_pixels_are_found(pets: Dataset, tmp_path: Path, when: str) -> None:
    gated, (gate,) = _gated(pets, IMAGES - 1)
    with _running(gated, tmp_path) as (decoding, running):
        if when == "in the cache":
            gate.set()
            running.result(PATIENCE)
        decoding.wait(2 * BLOCK_IMAGES)
        with decoding.path.open("r+b") as stream:
            stream.seek(BLOCK_IMAGES * 1200 + 7)
            byte = stream.read(1)[0]
            stream.seek(-1, 1)
            stream.write(bytes([byte ^ 1]))
        decoding.verify(0, BLOCK_IMAGES)
        gate.set()
        with pytest.raises(StoreError, match="images 64 to 127"):
            decoding.verify(BLOCK_IMAGES - 1, 2)
    # That block alone is decoded anew.
    again = decode_dataset(pets, SPEC, tmp_path, workers=2, progress=_ignore)
    whole = decode_dataset(pets, SPEC, tmp_path / "whole", workers=2, progress=_ignore)
    assert again.path.read_bytes() == whole.path.read_bytes()


def test_who_waits_is_told_of_a_failure(pets: Dataset, tmp_path: Path) -> None:
    gated, (gate,) = _gated(pets, 2 * BLOCK_IMAGES + 1)
    (tmp_path / "copy").mkdir()
    copy = write_folder(tmp_path / "copy", {_name(i): pets.read(i) for i in range(IMAGES)})
    gated = replace(gated, source=GatedSource(copy.root, gated.source.gates))  # type: ignore[attr-defined]
    with ThreadPoolExecutor(1) as pool, _running(gated, tmp_path / "cache") as (decoding, running):
        waiting = pool.submit(decoding.wait, IMAGES)
        decoding.wait(2 * BLOCK_IMAGES)
        (copy.root / _name(2 * BLOCK_IMAGES + 1)).unlink()
        gate.set()
        for one in (waiting, running):
            with pytest.raises(DatasetError, match="cannot be read") as caught:
                one.result(PATIENCE)
            assert caught.value.where.endswith(_name(2 * BLOCK_IMAGES + 1))
        with pytest.raises(DatasetError):
            decoding.wait(IMAGES)
        decoding.wait(BLOCK_IMAGES)  # what is decoded is decoded


def test_the_end_of_its_context_ends_it(pets: Dataset, tmp_path: Path) -> None:
    gated, (gate,) = _gated(pets, BLOCK_IMAGES)
    with ThreadPoolExecutor(1) as pool:
        with Decoding(gated, SPEC, tmp_path) as decoding:
            running = pool.submit(decoding.run, workers=1, progress=_ignore)
            decoding.wait(BLOCK_IMAGES)
        gate.set()
        with pytest.raises(MlubenchError, match="ended before its end"):
            running.result(PATIENCE)
    # The block that was being decoded is kept, the next was not begun.
    assert len(list((decoding.path.parent / "blocks").iterdir())) == 2
    assert not (decoding.path.parent / "manifest.json").exists()
    with pytest.raises(MlubenchError, match="ended before its end"):
        decoding.wait(IMAGES)


_HOLDER = """
import sys
from pathlib import Path
from mlubench.store import locked
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_another_process_that_decodes_is_waited_for_and_the_wait_can_be_ended(
    pets: Dataset, tmp_path: Path
) -> None:
    decoding = Decoding(pets, SPEC, tmp_path)
    lock = decoding.path.parent.with_name(f"{decoding.path.parent.name}.lock")
    holder = subprocess.Popen(
        [sys.executable, "-c", _HOLDER, str(lock)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == b"held\n"
    with ThreadPoolExecutor(2) as pool:
        with decoding:
            ended = pool.submit(decoding.run, workers=1, progress=_ignore)
        with pytest.raises(MlubenchError, match="ended before its end"):
            ended.result(PATIENCE)
        waits = pool.submit(decode_dataset, pets, SPEC, tmp_path, workers=1, progress=_ignore)
        assert not waits.done()
        holder.communicate()
        assert waits.result(PATIENCE).corrupt == (70,)
