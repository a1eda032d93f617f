"""Decoded images that hosts share: decoded once, the same pixels everywhere, never others'."""

from __future__ import annotations

import functools
import os
from pathlib import Path

import numpy as np
import pytest

from mlubench.images.datasets.dataset import Dataset
from mlubench.images.decoding import decoder as decoding_module
from mlubench.images.decoding import shared
from mlubench.images.decoding.blocks import BLOCK_IMAGES
from mlubench.images.decoding.cache import DecodedImages
from mlubench.images.decoding.decoder import Decoding, decode_dataset
from mlubench.images.decoding.preprocess import Preprocess
from tests.images.pictures import jpeg, picture, write_folder
from tests.support.depots import Bucket

SPEC = Preprocess("short", 24, 20)
#: Smaller pieces than usual, for fewer images.
PIECE_BLOCKS = 2
PIECE = PIECE_BLOCKS * BLOCK_IMAGES
#: Three pieces, the last of eight images; one image of the second piece is damaged.
IMAGES = 2 * PIECE + 8
DAMAGED = PIECE + 3


def _name(number: int) -> str:
    return f"{number:04d}.JPEG"


@functools.cache
def _files() -> dict[str, bytes]:
    files = {_name(n): jpeg(picture(30 + n % 7, 40, seed=n % 50)) for n in range(IMAGES)}
    files[_name(DAMAGED)] = files[_name(DAMAGED)][:300]
    return files


@pytest.fixture(autouse=True)
def _small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared, "PIECE_BLOCKS", PIECE_BLOCKS)


@pytest.fixture
def decoded_here(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The blocks that are decoded rather than pulled."""
    blocks: list[int] = []
    decode_block = decoding_module._decode_block

    def noted(dataset: Dataset, spec: Preprocess, files: object, block: int) -> object:
        blocks.append(block)
        return decode_block(dataset, spec, files, block)  # type: ignore[arg-type]

    monkeypatch.setattr(decoding_module, "_decode_block", noted)
    return blocks


def _host(root: Path, files: dict[str, bytes] | None = None) -> Dataset:
    """Return a host's own copy of the images, made at its own time."""
    dataset = write_folder(root, files or _files())
    for number, path in enumerate(sorted((root / "images").iterdir())):
        os.utime(path, (number, sum(root.name.encode())))
    return dataset


def _decode(dataset: Dataset, root: Path, bucket: Bucket | None) -> DecodedImages:
    depot = bucket.open() if bucket else None
    with Decoding(dataset, SPEC, root, depot) as images:
        return images.run(workers=2, progress=lambda done, total: None)


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> DecodedImages:
    """The images as a host decodes them that shares nothing."""
    root = tmp_path_factory.mktemp("alone")
    return _decode(_host(root / "data"), root / "cache", None)


def _same(one: DecodedImages, other: DecodedImages) -> bool:
    return (
        np.array_equal(one.pixels(), other.pixels())
        and one.records == other.records
        and one.content_digest == other.content_digest
        and one.block_crc32 == other.block_crc32
    )


def test_a_second_host_decodes_nothing(
    bucket: Bucket, tmp_path: Path, alone: DecodedImages, decoded_here: list[int]
) -> None:
    first = _decode(_host(tmp_path / "a"), tmp_path / "a" / "cache", bucket)
    assert len(decoded_here) == 2 * PIECE_BLOCKS + 1
    decoded_here.clear()
    second = _decode(_host(tmp_path / "b"), tmp_path / "b" / "cache", bucket)
    assert decoded_here == []
    assert first.path.parent.name != second.path.parent.name
    assert _same(first, alone)
    assert _same(second, alone)
    second.verify(0, IMAGES)
    assert second.corrupt == (DAMAGED,)
    assert bucket.remarks == []


@pytest.mark.parametrize("fault", ["flip", "missing"])
def test_damage_costs_a_piece_and_is_mended(
    bucket: Bucket, tmp_path: Path, alone: DecodedImages, decoded_here: list[int], fault: str
) -> None:
    _decode(_host(tmp_path / "a"), tmp_path / "a" / "cache", bucket)
    decoded_here.clear()
    if fault == "flip":
        bucket.flip("00001.u8")
    else:
        bucket.change("00001.u8", None)
    second = _decode(_host(tmp_path / "b"), tmp_path / "b" / "cache", bucket)
    assert sorted(decoded_here) == list(range(PIECE_BLOCKS, 2 * PIECE_BLOCKS))
    assert _same(second, alone)
    assert len(bucket.remarks) == 1
    decoded_here.clear()
    third = _decode(_host(tmp_path / "c"), tmp_path / "c" / "cache", bucket)
    assert decoded_here == []
    assert _same(third, alone)


@pytest.mark.parametrize("ending", ["manifest.json", "00002.u8"])
def test_half_an_entry_is_none(
    bucket: Bucket, tmp_path: Path, alone: DecodedImages, decoded_here: list[int], ending: str
) -> None:
    """As a host leaves it that is killed while it pushes."""
    _decode(_host(tmp_path / "a"), tmp_path / "a" / "cache", bucket)
    (key,) = bucket.entries("decoded")
    bucket.change(f"{key}.json", None)
    bucket.change(ending, b"half")
    decoded_here.clear()
    second = _decode(_host(tmp_path / "b"), tmp_path / "b" / "cache", bucket)
    assert len(decoded_here) == 2 * PIECE_BLOCKS + 1
    assert _same(second, alone)
    decoded_here.clear()
    _decode(_host(tmp_path / "c"), tmp_path / "c" / "cache", bucket)
    assert decoded_here == []


def test_other_images_of_the_same_names_and_sizes_are_decoded(
    bucket: Bucket, tmp_path: Path, alone: DecodedImages, decoded_here: list[int]
) -> None:
    _decode(_host(tmp_path / "a"), tmp_path / "a" / "cache", bucket)
    decoded_here.clear()
    data = _files()[_name(5)]
    other = {**_files(), _name(5): data[:-40] + bytes([data[-40] ^ 1]) + data[-39:]}
    second = _decode(_host(tmp_path / "b", other), tmp_path / "b" / "cache", bucket)
    assert sorted(decoded_here) == list(range(PIECE_BLOCKS))
    mine = _decode(_host(tmp_path / "c", other), tmp_path / "c" / "cache", None)
    assert _same(second, mine)
    assert second.content_digest != alone.content_digest
    (remark,) = bucket.remarks
    assert "1 of 3 pieces are of other images than this host's" in remark


def test_what_was_decoded_before_a_kill_stays(
    bucket: Bucket, tmp_path: Path, alone: DecodedImages, decoded_here: list[int]
) -> None:
    _decode(_host(tmp_path / "a"), tmp_path / "a" / "cache", bucket)
    data = _host(tmp_path / "b")
    before = _decode(data, tmp_path / "b" / "cache", None)
    folder = before.path.parent
    (folder / "manifest.json").unlink()
    for block in range(1, 2 * PIECE_BLOCKS + 1):
        (folder / "blocks" / f"{block:05d}.json").unlink()
    decoded_here.clear()
    second = _decode(data, tmp_path / "b" / "cache", bucket)
    assert sorted(decoded_here) == list(range(1, PIECE_BLOCKS))
    assert _same(second, alone)


def test_images_decoded_before_there_was_a_depot_are_given(
    bucket: Bucket, tmp_path: Path, decoded_here: list[int]
) -> None:
    data = _host(tmp_path / "a")
    decode_dataset(data, SPEC, tmp_path / "cache", workers=2, progress=lambda done, total: None)
    _decode(data, tmp_path / "cache", bucket)
    decoded_here.clear()
    _decode(_host(tmp_path / "b"), tmp_path / "b" / "cache", bucket)
    assert decoded_here == []


def test_a_depot_that_fails_costs_a_remark(
    bucket: Bucket, tmp_path: Path, alone: DecodedImages
) -> None:
    dead = f"s3://{bucket.name}/p?endpoint_override=127.0.0.1:9&scheme=http"
    with Decoding(_host(tmp_path / "a"), SPEC, tmp_path / "cache", bucket.open(dead)) as images:
        decoded = images.run(workers=2, progress=lambda done, total: None)
    assert _same(decoded, alone)
    assert len(bucket.remarks) == 1


def test_pulled_images_are_used_before_the_last_is_there(
    bucket: Bucket, tmp_path: Path, alone: DecodedImages, monkeypatch: pytest.MonkeyPatch
) -> None:
    import threading
    from concurrent.futures import ThreadPoolExecutor

    from mlubench.object_store.store import Depot

    _decode(_host(tmp_path / "a"), tmp_path / "a" / "cache", bucket)
    gate = threading.Event()
    fetch_file = Depot.fetch_file

    def gated(self: Depot, manifest: object, name: str, stream: object) -> bool:
        assert name != "pixels/00002.u8" or gate.wait(60)
        return fetch_file(self, manifest, name, stream)  # type: ignore[arg-type]

    monkeypatch.setattr(Depot, "fetch_file", gated)
    data, root = _host(tmp_path / "b"), tmp_path / "b" / "cache"
    with ThreadPoolExecutor(1) as pool, Decoding(data, SPEC, root, bucket.open()) as images:
        running = pool.submit(images.run, workers=2, progress=lambda done, total: None)
        images.wait(2 * PIECE)
        images.verify(0, 2 * PIECE)
        assert not images.complete
        gate.set()
        assert _same(running.result(), alone)
