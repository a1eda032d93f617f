"""The decoded cache: right pixels, and none lost or done twice whatever happens."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from mlubench.errors import DatasetError, StoreError
from mlubench.images.datasets.dataset import Dataset, ImageRef, read_image_folder
from mlubench.images.decoding import cache
from mlubench.images.decoding.blocks import BLOCK_IMAGES
from mlubench.images.decoding.cache import (
    DecodedImages,
    ImageRecord,
    Records,
    check_disjoint,
    verify_block,
)
from mlubench.images.decoding.decoder import decode_dataset
from mlubench.images.decoding.preprocess import Preprocess
from tests.images.pictures import ORDER, CountingSource, MemorySource, jpeg, picture, write_folder

SPEC = Preprocess("short", 24, 20)
IMAGES = 3 * BLOCK_IMAGES + 8
BLOCKS = 4

#: argv: folder, cache, after how many images to kill itself (-1: never). Prints the images read.
PROGRAM = """
import os, signal, sys
from dataclasses import replace
from pathlib import Path
from mlubench.images.decoding.decoder import decode_dataset
from mlubench.images.datasets.dataset import read_image_folder
from mlubench.images.decoding.preprocess import Preprocess
from tests.images.pictures import ORDER, CountingSource

root, folder, limit = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])

class MortalSource(CountingSource):
    def read(self, name):
        if len(self.reads) == limit:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().read(name)

dataset = read_image_folder(root / "images", root / "labels.txt", ORDER, name="pets")
dataset = replace(dataset, source=MortalSource(root / "images"))
decode_dataset(
    dataset, Preprocess("short", 24, 20), folder, workers=1, progress=lambda done, total: None
)
print(len(dataset.source.reads))
"""


def _ignore(done: int, total: int) -> None:
    pass


def _name(number: int) -> str:
    return f"{number:04d}.JPEG"


@pytest.fixture(scope="module")
def pets(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """200 images, of which 5 is empty and 70 is cut."""
    files = {_name(i): jpeg(picture(30 + i % 7, 40, seed=i)) for i in range(IMAGES)}
    files[_name(5)] = b""
    files[_name(70)] = files[_name(70)][:300]
    return write_folder(tmp_path_factory.mktemp("pets"), files)


def _counted(dataset: Dataset) -> tuple[Dataset, list[str]]:
    source = CountingSource(dataset.root)
    return replace(dataset, source=source), source.reads


def _decode(
    dataset: Dataset, root: Path, progress: Callable[[int, int], None] = _ignore
) -> DecodedImages:
    return decode_dataset(dataset, SPEC, root, workers=2, progress=progress)


def _program(dataset: Dataset, folder: Path, limit: int = -1) -> subprocess.Popen[str]:
    here = Path(__file__).resolve().parents[3]
    arguments = [str(dataset.root.parent), str(folder), str(limit)]
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *arguments], cwd=here, stdout=subprocess.PIPE, text=True
    )


def _files(root: Path) -> dict[str, bytes]:
    return {str(p.relative_to(root)): p.read_bytes() for p in root.rglob("*") if p.is_file()}


def test_pixels_and_records(pets: Dataset, tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    decoded = _decode(pets, tmp_path, lambda done, total: seen.append((done, total)))
    assert decoded.shape == (IMAGES, 20, 20, 3)
    assert decoded.corrupt == (5, 70)
    assert decoded.path.stat().st_size == IMAGES * 20 * 20 * 3
    pixels = decoded.pixels()
    assert not pixels.flags.writeable
    for index in (0, 63, 64, IMAGES - 1):
        image = cv2.imread(str(pets.root / _name(index)), cv2.IMREAD_COLOR)
        assert image is not None
        resized = cv2.resize(image, (round(40 * 24 / image.shape[0]), 24))
        left = (resized.shape[1] - 20) // 2
        np.testing.assert_array_equal(pixels[index], resized[2:22, left : left + 20])
    assert not pixels[[5, 70]].any()
    assert [decoded.records[index].kind for index in (4, 5, 70)] == ["", "empty", "truncated"]
    assert {record.status for record in decoded.records} == {"scored", "corrupt"}
    assert [record.name for record in decoded.records] == [_name(i) for i in range(IMAGES)]
    assert seen[0] == (0, IMAGES)
    assert seen[-1] == (IMAGES, IMAGES)
    assert seen == sorted(seen)


def test_second_call_reads_no_image(pets: Dataset, tmp_path: Path) -> None:
    first = _decode(pets, tmp_path)
    for marker in first.path.parent.glob("blocks/*"):
        marker.unlink()
    again, reads = _counted(pets)
    assert _decode(again, tmp_path) == first
    assert reads == []


def test_order_of_the_list_does_not_matter(pets: Dataset, tmp_path: Path) -> None:
    lines = (pets.root.parent / "labels.txt").read_text().splitlines()
    (tmp_path / "reversed.txt").write_text("\n".join(reversed(lines)))
    other = read_image_folder(pets.root, tmp_path / "reversed.txt", ORDER, name="other")
    first = _decode(pets, tmp_path / "cache")
    assert _decode(other, tmp_path / "cache") == first


def test_missing_file_is_another_dataset(pets: Dataset, tmp_path: Path) -> None:
    copy = write_folder(tmp_path, {_name(i): pets.read(i) for i in range(3)})
    whole = _decode(copy, tmp_path / "cache")
    (copy.root / _name(1)).unlink()
    less = read_image_folder(copy.root, tmp_path / "labels.txt", ORDER, name="pets")
    assert less.missing == (_name(1),)
    decoded = _decode(less, tmp_path / "cache")
    assert decoded.shape[0] == 2
    assert decoded.content_digest != whole.content_digest
    np.testing.assert_array_equal(decoded.pixels(), whole.pixels()[[0, 2]])


def test_content_digest_is_the_contents(pets: Dataset, tmp_path: Path) -> None:
    """Neither the folder nor the preprocessing is in it; a relabelled image is."""
    copy = write_folder(tmp_path, {_name(i): pets.read(i) for i in range(3)})
    first = _decode(copy, tmp_path / "a").content_digest
    cut = _decode(pets.first(3), tmp_path / "a").content_digest
    spec = Preprocess("exact", 24, 20)
    other = decode_dataset(copy, spec, tmp_path / "a", workers=1, progress=_ignore)
    assert first == cut == other.content_digest
    relabelled = replace(copy, images=(*copy.images[:2], ImageRef(_name(2), "cat")))
    assert _decode(relabelled, tmp_path / "a").content_digest != first


@pytest.mark.parametrize("finished", [0, 1, 3])
def test_killed_build_goes_on(pets: Dataset, tmp_path: Path, finished: int) -> None:
    _decode(pets, tmp_path / "whole")
    killed = _program(pets, tmp_path / "killed", limit=finished * BLOCK_IMAGES + 5)
    killed.communicate(timeout=60)
    assert killed.returncode == -signal.SIGKILL
    (folder,) = (path for path in (tmp_path / "killed").iterdir() if path.is_dir())
    assert not (folder / "manifest.json").exists()
    assert len(list((folder / "blocks").iterdir())) == finished
    (folder / "blocks" / ".tmp-123-00003.json").write_text("{")

    again, reads = _counted(pets)
    _decode(again, tmp_path / "killed")
    assert sorted(reads) == [_name(i) for i in range(finished * BLOCK_IMAGES, IMAGES)]
    assert _files(tmp_path / "killed") == _files(tmp_path / "whole")


def test_two_processes_build_once(pets: Dataset, tmp_path: Path) -> None:
    both = [_program(pets, tmp_path / "both") for _ in range(2)]
    outputs = [process.communicate(timeout=60)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert sorted(int(output) for output in outputs) == [0, IMAGES]
    _decode(pets, tmp_path / "alone")
    assert _files(tmp_path / "both") == _files(tmp_path / "alone")


def test_changed_pixels_are_found_and_mended(pets: Dataset, tmp_path: Path) -> None:
    decoded = _decode(pets, tmp_path)
    before = decoded.path.read_bytes()
    with decoded.path.open("r+b") as stream:
        stream.seek(BLOCK_IMAGES * 1200 + 7)
        stream.write(bytes([before[BLOCK_IMAGES * 1200 + 7] ^ 1]))
    for block in (0, 2, 3):
        verify_block(decoded, block)
    with pytest.raises(StoreError, match="images 64 to 127"):
        verify_block(decoded, 1)
    again, reads = _counted(pets)
    assert _decode(again, tmp_path) == decoded
    assert sorted(reads) == [_name(i) for i in range(64, 128)]
    assert decoded.path.read_bytes() == before
    verify_block(decoded, 1)


@pytest.mark.parametrize("damage", ["cut", "gone", "manifest", "swapped digest"])
def test_damaged_cache_is_not_opened(pets: Dataset, tmp_path: Path, damage: str) -> None:
    decoded = _decode(pets, tmp_path)
    before = _files(tmp_path)
    manifest = decoded.path.parent / "manifest.json"
    if damage == "cut":
        os.truncate(decoded.path, 1000)
    elif damage == "gone":
        decoded.path.unlink()
    elif damage == "manifest":
        manifest.write_bytes(manifest.read_bytes()[:-9])
    else:
        digest = decoded.records[0].sha256.encode()
        manifest.write_bytes(manifest.read_bytes().replace(digest, digest[::-1]))
    assert _decode(pets, tmp_path) == decoded
    assert _files(tmp_path) == before


def test_kill_after_reallocation_leaves_nothing_that_looks_whole(
    pets: Dataset, tmp_path: Path
) -> None:
    decoded = _decode(pets, tmp_path)
    os.truncate(decoded.path, 1000)

    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        _decode(pets, tmp_path, stop)
    assert not (decoded.path.parent / "manifest.json").exists()
    assert _decode(pets, tmp_path) == decoded


def test_damaged_marker_is_an_unfinished_block(pets: Dataset, tmp_path: Path) -> None:
    decoded = _decode(pets, tmp_path)
    (decoded.path.parent / "manifest.json").unlink()
    (decoded.path.parent / "blocks" / "00003.json").write_text('{"crc32": 1, "images": []}')
    again, reads = _counted(pets)
    assert _decode(again, tmp_path) == decoded
    assert len(reads) == IMAGES - 3 * BLOCK_IMAGES


def test_full_disk_is_told_at_once(
    pets: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(handle: int, offset: int, size: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    counted, reads = _counted(pets)
    with monkeypatch.context() as patch:
        patch.setattr(os, "posix_fallocate", full)
        with pytest.raises(StoreError, match="No space left") as caught:
            _decode(counted, tmp_path)
    assert caught.value.where.endswith("images.u8")
    assert reads == []
    assert _decode(pets, tmp_path).corrupt == (5, 70)


def test_user_errors_end_the_build(pets: Dataset, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="no image"):
        _decode(replace(pets, images=()), tmp_path)
    with pytest.raises(DatasetError, match="at least 90 x 90") as caught:
        decode_dataset(pets, Preprocess("none", 0, 90), tmp_path, workers=2, progress=_ignore)
    assert caught.value.where.endswith(".JPEG")


def test_key_knows_the_code(pets: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = _decode(pets.first(2), tmp_path)
    monkeypatch.setattr(cache, "_CODE_VERSION", 999)
    assert _decode(pets.first(2), tmp_path).path != first.path


def _memory(name: str, files: dict[str, bytes]) -> Dataset:
    images = tuple(ImageRef(each, "cat") for each in sorted(files))
    return Dataset(name, Path(name), images, MemorySource(files))


def test_other_sources_decode_as_well(tmp_path: Path) -> None:
    decoded = _decode(_memory("m", {"a": jpeg(picture()), "b": b"<html>"}), tmp_path)
    assert decoded.corrupt == (1,)


def test_image_in_both_is_named() -> None:
    scored = _memory("val", {"a": b"aaa", "b": b"bbb", "c": b"cccc", "void": b""})
    check_disjoint(_memory("cal", {"a": b"AAA", "d": b"dddd", "void": b""}), scored)
    with pytest.raises(DatasetError, match="x is also scored, as b"):
        check_disjoint(_memory("cal", {"w": b"www", "x": b"bbb"}), scored)


def test_only_equal_sizes_are_read(pets: Dataset, tmp_path: Path) -> None:
    counted, reads = _counted(pets)
    unlike = {f"{size}": b"x" * size for size in (1, 2, 3)}
    check_disjoint(_memory("cal", unlike), counted)
    assert reads == []
    size = len(pets.read(0))
    equal = [_name(i) for i in range(IMAGES) if len(pets.read(i)) == size]
    check_disjoint(_memory("cal", {"x": b"x" * size}), counted)
    assert reads == equal


def test_records_are_made_when_they_are_asked_for() -> None:
    images = [ImageRef(name, "cat") for name in "abcde"]
    digests = [letter * 64 for letter in "01010"]
    records = Records(images, "".join(digests), {3: ("truncated", "cut"), 1: ("empty", "")})
    assert len(records) == 5
    assert records[0] == ImageRecord("a", "0" * 64, "scored", "", "")
    assert records[-2] == ImageRecord("d", "1" * 64, "corrupt", "truncated", "cut")
    assert [one.name for one in records[1:3]] == ["b", "c"]
    assert [one.sha256 for one in records] == digests
    assert records.corrupt == (1, 3)
    assert records == Records(images, "".join(digests), {1: ("empty", ""), 3: ("truncated", "cut")})
    assert records != Records(images, "".join(digests), {})
    with pytest.raises(IndexError):
        records[5]
    with pytest.raises(ValueError, match="5 images"):
        Records(images, "0" * 64, {})


def test_copies_are_whole_images_of_the_same_bytes() -> None:
    """As a Counter of the whole images' digests counts them."""
    random = np.random.default_rng(0)
    digests = [f"{number:064x}" for number in random.integers(0, 50, 200)]
    images = [ImageRef(f"{number}", "cat") for number in range(200)]
    damage = dict.fromkeys(range(0, 200, 7), ("truncated", ""))
    whole = Counter(digest for place, digest in enumerate(digests) if place not in damage)
    assert Records(images, "".join(digests), damage).copies() == sum(whole.values()) - len(whole)
