"""Parquet shards: what they are unpacked to, how often, and what is refused."""

from __future__ import annotations

import os
import tarfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mlubench.errors import DatasetError, StoreError
from mlubench.images.datasets.labels import imagenet_order
from mlubench.images.datasets.parquet import shards_of_one_split, unpack_shards
from tests.images import packing

FILES = {f"ILSVRC2012_val_{number:08d}.JPEG": os.urandom(number * 50) for number in range(40)}
CLASSES = {name: imagenet_order("2012").class_ids[number * 25] for number, name in enumerate(FILES)}


def _shards(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.parquet"))


def test_images_are_laid_down_by_class(tmp_path: Path) -> None:
    shards = _shards(packing.parquet(tmp_path / "p", FILES, CLASSES, shards=3))
    with tarfile.open(unpack_shards(shards, tmp_path / "data")) as archive:
        found = {member.name: archive.extractfile(member).read() for member in archive}  # type: ignore[union-attr]
    assert found == {f"{CLASSES[name]}/{name}": data for name, data in FILES.items()}


def test_shards_are_unpacked_once_until_one_changes(tmp_path: Path) -> None:
    shards = _shards(packing.parquet(tmp_path / "p", FILES, CLASSES))
    archive = unpack_shards(shards, tmp_path / "data")
    written = archive.stat().st_mtime_ns
    assert unpack_shards(shards, tmp_path / "data") == archive
    assert archive.stat().st_mtime_ns == written
    os.utime(shards[0], ns=(0, 1))
    assert unpack_shards(shards, tmp_path / "data") != archive


def test_a_killed_unpacking_leaves_nothing_behind(tmp_path: Path) -> None:
    shards = _shards(packing.parquet(tmp_path / "p", FILES, CLASSES))
    archive = unpack_shards(shards, tmp_path / "data")
    whole = archive.read_bytes()
    entry = archive.parent
    leftover = entry.with_name(f".tmp-1-{entry.name}")
    entry.rename(leftover)
    assert unpack_shards(shards, tmp_path / "data").read_bytes() == whole
    assert not leftover.exists()


def test_a_cut_archive_is_written_anew(tmp_path: Path) -> None:
    shards = _shards(packing.parquet(tmp_path / "p", FILES, CLASSES))
    archive = unpack_shards(shards, tmp_path / "data")
    whole = archive.read_bytes()
    archive.write_bytes(whole[:-512])
    assert unpack_shards(shards, tmp_path / "data").read_bytes() == whole


def test_of_several_splits_validation_is_taken(tmp_path: Path) -> None:
    names = ["train-00000-of-00002.parquet", "test-00000-of-00001-0f3c.parquet"]
    wanted = ["validation-00001-of-00002-aa.parquet", "validation-00000-of-00002-bb.parquet"]
    paths = [tmp_path / name for name in names + wanted]
    assert [path.name for path in shards_of_one_split(paths)] == sorted(wanted)
    with pytest.raises(DatasetError, match="several splits: test, train"):
        shards_of_one_split(paths[:2])
    plain = [tmp_path / "0001.parquet", tmp_path / "0000.parquet"]
    assert shards_of_one_split(plain) == tuple(sorted(plain))


@pytest.mark.parametrize(
    ("path", "label", "words"),
    [
        ("a.JPEG", -1, "label of a.JPEG is -1"),
        ("a.JPEG", 1000, "label of a.JPEG is 1000"),
        ("a.JPEG", None, "label of a.JPEG is None"),
        (None, 0, "path of the image is None"),
        ("", 0, "path of the image is ''"),
        ("..", 0, "path of the image is '..'"),
        ("x/.a.JPEG", 0, "path of the image is"),
        ("a_n01443537.JPEG", 0, "label 0 is n01440764"),
        ("n01443537_7.JPEG", 0, "label 0 is n01440764"),
    ],
)
def test_a_wrong_row_is_named(
    tmp_path: Path, path: str | None, label: int | None, words: str
) -> None:
    rows = [{"bytes": b"x", "path": "good.JPEG"}, {"bytes": b"x", "path": path}]
    pq.write_table(packing.table(rows, [0, label]), tmp_path / "s.parquet")
    with pytest.raises(DatasetError, match=words) as caught:
        unpack_shards([tmp_path / "s.parquet"], tmp_path / "data")
    assert caught.value.where == "s.parquet, row 1"
    assert [path.suffix for path in (tmp_path / "data" / "parquet").iterdir()] == [".lock"]


def test_an_image_that_is_there_twice_is_named(tmp_path: Path) -> None:
    row = [{"bytes": b"x", "path": "a.JPEG"}]
    for shard in "pq":
        pq.write_table(packing.table(row, [0]), tmp_path / f"{shard}.parquet")
    with pytest.raises(DatasetError, match=r"a\.JPEG: p\.parquet, row 0 and q\.parquet, row 0"):
        unpack_shards(_shards(tmp_path), tmp_path / "data")


def test_an_image_without_bytes_is_empty(tmp_path: Path) -> None:
    rows = [{"bytes": None, "path": "a.JPEG"}]
    pq.write_table(packing.table(rows, [0]), tmp_path / "s.parquet")
    with tarfile.open(unpack_shards([tmp_path / "s.parquet"], tmp_path / "data")) as archive:
        assert [(member.name, member.size) for member in archive] == [("n01440764/a.JPEG", 0)]


@pytest.mark.parametrize(
    "columns",
    [
        {"image": [b"x"], "label": [0]},
        {"image": [{"bytes": b"x"}], "label": [0]},
        {"image": [{"bytes": b"x", "path": "a.JPEG"}], "label": ["0"]},
        {"image": [{"bytes": "x", "path": "a.JPEG"}], "label": [0]},
        {"picture": [b"x"]},
    ],
)
def test_other_columns_are_told(tmp_path: Path, columns: dict[str, list[object]]) -> None:
    pq.write_table(pa.table(columns), tmp_path / "s.parquet")
    with pytest.raises(DatasetError, match="has other columns") as caught:
        unpack_shards([tmp_path / "s.parquet"], tmp_path / "data")
    assert "bytes: binary" in caught.value.expected


def test_other_types_of_the_same_meaning_will_do(tmp_path: Path) -> None:
    image = pa.struct([("path", pa.large_string()), ("bytes", pa.large_binary())])
    rows = pa.array([{"bytes": b"xyz", "path": "a.JPEG"}], image)
    other = pa.table({"label": pa.array([1], pa.int32()), "image": rows, "more": [5]})
    pq.write_table(other, tmp_path / "s.parquet")
    with tarfile.open(unpack_shards([tmp_path / "s.parquet"], tmp_path / "data")) as archive:
        assert [(member.name, member.size) for member in archive] == [("n01443537/a.JPEG", 3)]


def test_damaged_shards_are_told(tmp_path: Path) -> None:
    (shard,) = _shards(packing.parquet(tmp_path / "p", FILES, CLASSES, shards=1))
    whole = shard.read_bytes()
    for damaged in (b"", b"PAR1", whole[: len(whole) // 2], whole[:-9], b"x" + whole[1:-1] + b"x"):
        shard.write_bytes(damaged)
        with pytest.raises(DatasetError, match="shard cannot be read"):
            unpack_shards([shard], tmp_path / "data")
    shard.unlink()
    with pytest.raises(DatasetError, match="No such file"):
        unpack_shards([shard], tmp_path / "data")


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    shards = _shards(packing.parquet(tmp_path / "p", FILES, CLASSES))
    (tmp_path / "data").write_text("in the way")
    with pytest.raises(StoreError):
        unpack_shards(shards, tmp_path / "data")


def test_a_name_that_is_not_text_is_told(tmp_path: Path) -> None:
    raw = pa.array([b"\xff.JPEG"], pa.binary()).view(pa.string())
    image = pa.StructArray.from_arrays([pa.array([b"x"]), raw], ["bytes", "path"])
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"image": image, "label": pa.array([0])}), path)
    with pytest.raises(DatasetError, match="no text in UTF-8"):
        unpack_shards([path], tmp_path / "data")


def test_a_column_that_is_there_twice_is_told(tmp_path: Path) -> None:
    image = pa.array([{"bytes": b"x", "path": "a.JPEG"}])
    label = pa.array([0])
    path = tmp_path / "a.parquet"
    pq.write_table(pa.Table.from_arrays([image, label, label], ["image", "label", "label"]), path)
    with pytest.raises(DatasetError, match="has other columns"):
        unpack_shards([path], tmp_path / "data")
