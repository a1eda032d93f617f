"""Listing, verifying and pruning what is kept for later runs."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from mlubench.cli import main
from mlubench.cli.cache import parse_size, size_text
from mlubench.errors import ConfigError
from mlubench.images.datasets.dataset import read_image_folder
from mlubench.images.datasets.digits import DIGIT_NAMES, write_digits
from mlubench.images.datasets.labels import simple_order
from mlubench.images.datasets.parquet import unpack_shards
from mlubench.images.decoding.decoder import decode_dataset
from mlubench.images.decoding.preprocess import Preprocess
from mlubench.runs.cache import list_entries, prune_entries, verify_entries
from mlubench.runs.folders import Run
from mlubench.store import MANIFEST, locked
from tests.images import packing

DAY = 86400


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("digits")


@pytest.fixture
def run(tmp_path: Path, digits: Path) -> Run:
    """Three entries: 1000 bytes used 30 days ago, 100 used 2 days ago, decoded images now."""
    run = Run(tmp_path)
    for key, size, days in (("old", 1000, 30), ("new", 100, 2)):
        entry = run.store.get(
            "compiled", {"key": key}, lambda folder, size=size: _fill(folder, size)
        )
        past = time.time() - days * DAY
        os.utime(entry / MANIFEST, (past, past))
    paths = write_digits(digits)
    order = simple_order("digits", DIGIT_NAMES)
    images = read_image_folder(paths.val, paths.val_labels, order, name="digits").first(100)
    spec = Preprocess("none", 64, 8)
    decode_dataset(images, spec, run.decoded, workers=1, progress=lambda done, total: None)
    return run


def _fill(folder: Path, size: int) -> None:
    (folder / "model").write_bytes(bytes(size))


def test_the_least_recently_used_comes_first(run: Run) -> None:
    entries = list_entries(run)
    assert [entry.kind for entry in entries] == ["compiled", "compiled", "decoded"]
    assert entries[0].bytes > 1000 > entries[1].bytes > 100
    assert entries[2].bytes > 100 * 8 * 8 * 3


def test_use_makes_an_entry_new(run: Run) -> None:
    run.store.get("compiled", {"key": "old"}, lambda folder: pytest.fail("it is there"))
    assert list_entries(run)[0].bytes < 1000


def test_what_is_sound_stays(run: Run) -> None:
    assert [fault for _, fault in verify_entries(run)] == [None] * 3
    assert len(list_entries(run)) == 3


@pytest.mark.parametrize("place", [0, 2])
def test_a_flipped_bit_is_found(run: Run, place: int) -> None:
    entry = list_entries(run)[place]
    file = max(entry.folder.rglob("*"), key=lambda path: path.stat().st_size)
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    faults = [fault for _, fault in verify_entries(run)]
    assert [fault is not None for fault in faults] == [index == place for index in range(3)]
    assert len(list_entries(run)) == 2


def test_pruning_by_age(run: Run) -> None:
    (removed,) = prune_entries(run, older_than=7, max_bytes=None)
    assert removed.bytes > 1000
    assert len(list_entries(run)) == 2


def test_pruning_by_size_starts_with_the_least_recently_used(run: Run) -> None:
    decoded = list_entries(run)[2].bytes
    removed = prune_entries(run, older_than=None, max_bytes=decoded + 500)
    assert [entry.bytes > 1000 for entry in removed] == [True]
    assert prune_entries(run, older_than=None, max_bytes=10**9) == []
    assert len(prune_entries(run, older_than=None, max_bytes=0)) == 2
    assert list_entries(run) == []


def test_nothing_is_taken_from_under_a_run(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    with locked(run.cache_lock, shared=True), locked(run.cache_lock, shared=True):
        with pytest.raises(ConfigError, match="a run is using the cache"):
            prune_entries(run, older_than=0, max_bytes=None)
        out = str(run.cache.parent)
        assert main(["cache", "prune", "--older_than", "0", "--out", out]) == 2
    assert "a run is using the cache" in capsys.readouterr().err
    assert len(list_entries(run)) == 3


def test_the_verb(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    out = str(run.cache.parent)
    assert main(["cache", "list", "--out", out]) == 0
    assert "3 entries" in capsys.readouterr().out
    assert main(["cache", "verify", "--out", out]) == 0
    assert capsys.readouterr().out.count("sound") == 3
    assert main(["cache", "prune", "--out", out]) == 2
    assert "--older_than" in capsys.readouterr().err
    assert main(["cache", "prune", "--max_size", "1K", "--older_than", "7", "--out", out]) == 0
    assert "entries removed" in capsys.readouterr().out


def test_images_of_parquet_shards_are_kept_and_pruned_with_the_rest(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = {f"{number}.JPEG": bytes(100) for number in range(4)}
    packing.parquet(tmp_path / "p", files, dict.fromkeys(files, "n01440764"))
    shards = sorted((tmp_path / "p").iterdir())
    archive = unpack_shards(shards, run.data)
    *_, entry = list_entries(run)
    assert (entry.kind, entry.folder) == ("parquet", archive.parent)
    assert entry.bytes > archive.stat().st_size
    out = str(run.cache.parent)
    assert main(["cache", "list", "--out", out]) == 0
    said = capsys.readouterr().out
    assert "4 entries" in said
    assert "parquet " in said
    # Use makes it new.
    past = time.time() - 90 * DAY
    os.utime(archive.parent / MANIFEST, (past, past))
    assert list_entries(run)[0].kind == "parquet"
    unpack_shards(shards, run.data)
    assert list_entries(run)[-1].kind == "parquet"
    data = bytearray(archive.read_bytes())
    data[700] ^= 1
    archive.write_bytes(data)
    assert main(["cache", "verify", "--out", out]) == 2
    assert "parquet" in capsys.readouterr().out
    assert not archive.exists()
    unpack_shards(shards, run.data)
    removed = prune_entries(run, older_than=None, max_bytes=0)
    assert [one.kind for one in removed].count("parquet") == 1
    assert not archive.exists()


@pytest.mark.parametrize("words", [[], ["--out", "x"], ["--max_size", "1K"], ["lst"]])
def test_without_a_verb_the_verbs_are_shown(
    capsys: pytest.CaptureFixture[str], words: list[str]
) -> None:
    assert main(["cache", *words]) == (2 if words else 0)
    said = capsys.readouterr()
    assert "Usage: mlubench cache" in said.out
    for verb in ("list", "verify", "prune"):
        assert verb in said.out
    if words:
        assert f"mlubench cache: '{words[0]}' does not say what is to be done" in said.err


@pytest.mark.parametrize("age", ["nan", "-1", "inf"])
def test_what_is_no_age_is_told(run: Run, capsys: pytest.CaptureFixture[str], age: str) -> None:
    arguments = ["cache", "prune", "--older_than", age, "--out", str(run.cache.parent)]
    assert main(arguments) == 2
    assert "is no age" in capsys.readouterr().err
    assert len(list_entries(run)) == 3


@pytest.mark.parametrize(
    ("text", "size"), [("0", 0), ("10", 10), ("2k", 2048), ("1.5G", 3 << 29), ("20GiB", 20 << 30)]
)
def test_sizes_are_read(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "G", "-1", "many", "inf", "nan", "1P"])
def test_what_is_no_size_is_told(text: str) -> None:
    with pytest.raises(ConfigError, match="is no size"):
        parse_size(text)


def test_sizes_are_written() -> None:
    assert [size_text(size) for size in (0, 1023, 1536, 5 << 30)] == [
        "0 B",
        "1023 B",
        "1.5 KiB",
        "5.0 GiB",
    ]
