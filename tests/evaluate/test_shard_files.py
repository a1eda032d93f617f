"""Where finished shards wait: kept of killed runs, gone once their inputs are done."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlubench.errors import StoreError
from mlubench.evaluate.shard_files import unfinished_shards
from mlubench.images.decoding.cache import DecodedImages
from mlubench.networks.compile import Compiled


def _images(key: str = "images") -> DecodedImages:
    return DecodedImages(Path("/cache") / key / "images.u8", (1, 1, 1, 3), (), "", ())


COMPILED = [Compiled("force_float32", Path("/cache/compiled/key"), "key")]


def test_a_killed_runs_shards_are_found_and_those_of_others_are_not(tmp_path: Path) -> None:
    with unfinished_shards(tmp_path, _images(), COMPILED) as kept:
        shard = kept.shards("force_float32") / "00000000-00000001.parquet"
        shard.write_bytes(b"")
    with unfinished_shards(tmp_path, _images("others"), COMPILED) as others:
        assert others.folder != kept.folder
    with unfinished_shards(tmp_path, _images(), COMPILED) as again:
        assert again.folder == kept.folder
        assert shard.exists()
        again.clear()
    assert not again.folder.exists()


def test_two_at_once_have_one_each(tmp_path: Path) -> None:
    with unfinished_shards(tmp_path, _images(), COMPILED) as first:
        first.shards("force_float32")
        with unfinished_shards(tmp_path, _images(), COMPILED) as second:
            second.shards("force_float32")
            assert first.folder != second.folder
            second.clear()
            assert first.folder.exists()  # its run goes on


def test_what_two_killed_runs_left_goes_with_the_run_that_completes(tmp_path: Path) -> None:
    with (
        unfinished_shards(tmp_path, _images(), COMPILED) as first,
        unfinished_shards(tmp_path, _images(), COMPILED) as second,
    ):
        folders = [one.shards("force_float32") for one in (first, second)]
    assert all(folder.exists() for folder in folders)
    with unfinished_shards(tmp_path, _images(), COMPILED) as kept:
        kept.clear()
    assert not any(folder.exists() for folder in folders)


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    with unfinished_shards(tmp_path, _images(), COMPILED) as kept:
        kept.folder.write_bytes(b"")
        with pytest.raises(StoreError, match=r"File exists|Not a directory") as caught:
            kept.shards("force_float32")
    assert str(kept.folder) in caught.value.where
