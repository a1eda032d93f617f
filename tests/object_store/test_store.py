"""Stores of artifacts, on a real S3 server and on a shared folder."""

from __future__ import annotations

import errno
import hashlib
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from mlubench.errors import ConfigError, DepotError, StoreError
from mlubench.object_store.address import parse_address
from mlubench.object_store.manifest import Manifest, write_manifest
from mlubench.object_store.store import Depot
from mlubench.object_store.transfer import Source, sources_below
from mlubench.sealed import sealed_json
from tests.support.depots import Bucket

FILES = {"a.bin": b"first" * 1000, "sub/b.gz": b"no gzip at all", "empty": b""}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with an entry's files."""
    return _folder(tmp_path / "entry", FILES)


def _folder(path: Path, files: dict[str, bytes]) -> Path:
    for name, data in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(data)
    return path


def _files(path: Path) -> dict[str, bytes]:
    return {
        one.relative_to(path).as_posix(): one.read_bytes()
        for one in path.rglob("*")
        if one.is_file()
    }


@pytest.fixture(params=["s3", "file"])
def depot(request: pytest.FixtureRequest, tmp_path: Path) -> Depot:
    """A store, of each kind."""
    if request.param == "s3":
        bucket: Bucket = request.getfixturevalue("bucket")
        return bucket.open()
    (tmp_path / "shared").mkdir()
    return Depot(parse_address((tmp_path / "shared").as_uri()), print)


def test_what_one_publishes_another_fetches(depot: Depot, folder: Path, tmp_path: Path) -> None:
    depot.check()
    assert depot.names("compiled") == []
    assert not depot.fetch("compiled", "k1", tmp_path / "none")
    depot.publish("compiled", "k1", sources_below(folder))
    other = Depot(depot.address, print)
    other.check()
    assert other.names("compiled") == ["k1"]
    told: list[tuple[int, int]] = []
    assert other.fetch("compiled", "k1", tmp_path / "got", progress=lambda *n: told.append(n))
    assert _files(tmp_path / "got") == FILES
    size = sum(map(len, FILES.values()))
    assert told[-1] == (size, size)
    assert other.fetch("compiled", "k1", tmp_path / "some", only=("a.bin", "no such"))
    assert _files(tmp_path / "some") == {"a.bin": FILES["a.bin"]}


def test_large_files_and_parts_of_files(bucket: Bucket, tmp_path: Path) -> None:
    data = hashlib.shake_256(b"large").digest(20 << 20)
    _folder(tmp_path / "in", {"large": data})
    parts = [Source(f"p{n}", tmp_path / "in" / "large", n * 9_000_000, 9_000_000) for n in range(3)]
    depot = bucket.open()
    depot.publish("decoded", "k", [*parts, Source("whole", tmp_path / "in" / "large")])
    assert depot.fetch("decoded", "k", tmp_path / "out")
    got = _files(tmp_path / "out")
    assert got["whole"] == data
    assert got["p0"] + got["p1"] + got["p2"] == data


def test_the_manifest_is_written_last(bucket: Bucket, folder: Path) -> None:
    depot = bucket.open()
    order: list[str] = []
    write = depot._write

    def noted(place: str, blocks: object) -> None:
        order.append(place)
        write(place, blocks)  # type: ignore[arg-type]

    depot._write = noted  # type: ignore[method-assign]
    depot.publish("compiled", "k1", sources_below(folder))
    assert len(order) == 4
    assert order[-1] == "manifests/compiled/k1.json"


def test_half_an_entry_is_none_and_is_written_over(
    bucket: Bucket, folder: Path, tmp_path: Path
) -> None:
    depot = bucket.open()
    depot.publish("compiled", "k1", sources_below(folder))
    bucket.change("k1.json", None)
    bucket.change("/a.bin", b"half")
    assert depot.names("compiled") == []
    assert not depot.fetch("compiled", "k1", tmp_path / "none")
    assert not list(tmp_path.glob("none/*"))
    depot.publish_if_absent("compiled", "k1", sources_below(folder))
    assert depot.fetch("compiled", "k1", tmp_path / "got")
    assert _files(tmp_path / "got") == FILES
    assert bucket.remarks == []


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        ("flip", "the bytes of compiled/k1/{}/a.bin have changed"),
        ("missing", "compiled/k1/{}/a.bin is missing"),
        ("short", "the bytes of compiled/k1/{}/a.bin have changed"),
        ("long", "the bytes of compiled/k1/{}/a.bin have changed"),
    ],
)
def test_damage_is_noticed_told_and_mended(
    bucket: Bucket, folder: Path, tmp_path: Path, fault: str, told: str
) -> None:
    bucket.open().publish("compiled", "k1", sources_below(folder))
    data = FILES["a.bin"]
    if fault == "flip":
        bucket.flip("/a.bin")
    else:
        changed = {"missing": None, "short": data[:-1], "long": data + b"x"}[fault]
        bucket.change("/a.bin", changed)
    depot = bucket.open()
    assert not depot.fetch("compiled", "k1", tmp_path / "got")
    assert not (tmp_path / "got" / "a.bin").exists()
    digest = hashlib.sha256(data).hexdigest()[:16]
    line = f"{bucket.address}: compiled k1: {told.format(digest)}; it is not used"
    assert bucket.remarks == [line]
    # It is made anew and takes the place of what is damaged.
    depot.publish_if_absent("compiled", "k1", sources_below(folder))
    assert bucket.open().fetch("compiled", "k1", tmp_path / "mended")
    assert _files(tmp_path / "mended") == FILES


@pytest.mark.parametrize("damage", ["flip", "another entry's", "layout of the future"])
def test_a_manifest_that_is_none(bucket: Bucket, folder: Path, tmp_path: Path, damage: str) -> None:
    depot = bucket.open()
    depot.publish("compiled", "k1", sources_below(folder))
    if damage == "flip":
        bucket.flip("k1.json")
    elif damage == "another entry's":
        bucket.change("k1.json", write_manifest(Manifest("compiled", "k2", {})))
    else:
        bucket.change("k1.json", b'{"layout": 2}')
    assert not depot.fetch("compiled", "k1", tmp_path / "got")
    assert "compiled k1: its manifest is damaged" in bucket.remarks[0]
    depot.publish_if_absent("compiled", "k1", sources_below(folder))
    assert depot.fetch("compiled", "k1", tmp_path / "got")


def test_a_manifest_that_is_replaced_while_it_is_read(tmp_path: Path, folder: Path) -> None:
    (tmp_path / "shared").mkdir()
    told: list[str] = []
    depot = Depot(parse_address((tmp_path / "shared").as_uri()), told.append)
    depot.publish("compiled", "k1", sources_below(folder))
    read, sizes = depot._read, [50, None]
    depot._read = lambda place: (read(place) or b"")[: sizes.pop(0)]  # type: ignore[method-assign]
    assert depot.fetch("compiled", "k1", tmp_path / "got")
    assert told == []


@pytest.mark.parametrize("same", [True, False])
def test_two_publishers_at_once(bucket: Bucket, tmp_path: Path, same: bool) -> None:
    contents = [{"a": b"1" * 100_000, "b": b"2"}, {"a": b"3" * 100_000, "b": b"4", "c": b"5"}]
    folders = [_folder(tmp_path / str(n), contents[0 if same else n]) for n in range(2)]
    together = threading.Barrier(2)

    def publish(folder: Path) -> None:
        depot = bucket.open()
        together.wait()
        for _ in range(3):
            depot.publish("compiled", "k1", sources_below(folder))

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(publish, folders))
    assert bucket.open().fetch("compiled", "k1", tmp_path / "got")
    assert _files(tmp_path / "got") in contents
    assert bucket.remarks == []


def test_an_entry_is_replaced_whole_and_only_what_changed_is_sent(
    bucket: Bucket, folder: Path, tmp_path: Path
) -> None:
    depot = bucket.open()
    depot.publish("runs", "r", sources_below(folder))
    before = bucket.objects()
    (folder / "a.bin").write_bytes(b"second")
    told: list[tuple[int, int]] = []
    depot.publish("runs", "r", sources_below(folder), lambda *n: told.append(n))
    assert told[-1] == (6, 6)
    assert depot.fetch("runs", "r", tmp_path / "got")
    assert _files(tmp_path / "got") == {**FILES, "a.bin": b"second"}
    after = bucket.objects()
    changed = {name for name in before if after[name] != before[name]}
    assert changed == {"manifests/runs/r.json"}
    # One that has it already does not write over it with its own.
    (folder / "a.bin").write_bytes(b"third")
    depot.publish_if_absent("runs", "r", sources_below(folder))
    assert bucket.objects() == after


def test_a_listing_of_more_than_a_page(bucket: Bucket) -> None:
    manifest = write_manifest(Manifest("history", "x", {}))
    client = bucket.server.client()
    names = [f"r-{number:05d}" for number in range(1010)]

    def put(name: str) -> None:
        place = f"team/mlubench/manifests/history/{name}.json"
        client.put_object(Bucket=bucket.name, Key=place, Body=manifest)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(put, names))
    client.put_object(Bucket=bucket.name, Key="team/mlubench/history/r-1/0/rows.parquet", Body=b"")
    client.put_object(Bucket=bucket.name, Key="team/mlubench/manifests/runs/q.json", Body=b"")
    assert bucket.open().names("history") == names


def test_a_store_laid_out_otherwise_is_refused(bucket: Bucket) -> None:
    bucket.open().check()
    bucket.change("mlubench.json", sealed_json({"layout": 2}))
    with pytest.raises(ConfigError, match="laid out as number 2"):
        bucket.open().check()
    bucket.change("mlubench.json", b"{half")
    bucket.open().check()
    bucket.open().check()


def test_a_file_that_cannot_be_written_here(bucket: Bucket, folder: Path, tmp_path: Path) -> None:
    bucket.open().publish("compiled", "k1", sources_below(folder))
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StoreError, match=str(tmp_path / "file")):
        bucket.open().fetch("compiled", "k1", tmp_path / "file")


def test_a_store_that_fails_is_left_alone(bucket: Bucket) -> None:
    depot = bucket.open(f"s3://{bucket.name}/p?endpoint_override=127.0.0.1:9&scheme=http")
    tries: list[int] = []

    def names() -> list[str]:
        tries.append(1)
        return depot.names("runs")

    assert depot.attempt(names, ["otherwise"]) == ["otherwise"]
    assert depot.attempt(names, []) == []
    assert len(tries) == 1
    assert isinstance(depot.failed, DepotError)
    assert depot.failed.exit_status == 4
    (remark,) = bucket.remarks
    assert remark.endswith("no server answers; the run goes on without it")


def test_on_a_shared_folder_files_appear_whole(tmp_path: Path, folder: Path) -> None:
    (tmp_path / "shared").mkdir()
    depot = Depot(parse_address((tmp_path / "shared").as_uri()), print)
    gone = [*sources_below(folder), Source("gone", folder / "gone")]
    seen: list[set[str]] = []

    def blocks() -> Iterator[bytes]:
        yield b"half"
        seen.append({path.suffix for path in (tmp_path / "shared").rglob("*") if path.is_file()})
        yield b"whole"

    depot._write("k/x.bin", blocks())
    assert seen == [{".part"}]
    assert (tmp_path / "shared" / "k" / "x.bin").read_bytes() == b"halfwhole"
    with pytest.raises(StoreError):
        depot.publish("k", "k1", gone)
    assert depot.names("k") == []


def test_what_a_shared_folder_refuses_leaves_nothing_half_written(tmp_path: Path) -> None:
    (tmp_path / "shared").mkdir()
    depot = Depot(parse_address((tmp_path / "shared").as_uri()), print)

    def blocks() -> Iterator[bytes]:
        yield b"half"
        raise OSError(errno.ENOSPC, "full")

    with pytest.raises(OSError, match="full"):
        depot._write("k/x.bin", blocks())
    assert not list((tmp_path / "shared" / "k").iterdir())


def test_an_endless_manifest_is_a_damaged_one(tmp_path: Path) -> None:
    place = tmp_path / "shared" / "manifests" / "compiled"
    place.mkdir(parents=True)
    (place / "k1.json").symlink_to("/dev/zero")
    told: list[str] = []
    depot = Depot(parse_address((tmp_path / "shared").as_uri()), told.append)
    assert depot.manifest("compiled", "k1") is None
    assert "its manifest is damaged" in told[0]
