"""Predictions and shards: every image once, corrupt ones marked, nothing lost on the way."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlubench.errors import StoreError
from mlubench.evaluate.predictions import Top, predictions_table
from mlubench.evaluate.shard_files import (
    ShardFacts,
    merge_shards,
    read_shard,
    shards_table,
    write_shard,
)
from mlubench.runs.parquet import read_parquet, write_parquet
from mlubench.runs.schemas import PREDICTIONS, SHARD_RESULT, SHARDS

_STARTED = datetime(2026, 11, 3, 9, 30, 15, 250_000, UTC)


def _top(images: int, classes: int = 5, seed: int = 0) -> Top:
    generator = np.random.default_rng(seed)
    scores = np.sort(generator.random((images, classes), np.float32))[:, ::-1].copy()
    index = np.argsort(generator.random((images, 1000)), axis=1)[:, :classes]
    return index.astype(np.int16), scores


def _facts(images: int, shard: int = 0) -> ShardFacts:
    return ShardFacts(
        shard=shard,
        device="cpu:0",
        host="a host",
        attempts=2,
        failures=["cpu:1: it died"],
        started_utc=_STARTED,
        seconds=1.25,
        images=images,
    )


def _write(folder: Path, top: Top, first: int, end: int, precision: str = "p") -> Path:
    path = folder / f"{precision}-{first}-{end}.parquet"
    facts = _facts(end - first, shard=first)
    write_shard(path, precision, first, top[0][first:end], top[1][first:end], facts)
    return path


def test_rows_one_by_one(tmp_path: Path) -> None:
    import pandas as pd

    first, second = _top(4, seed=1), _top(4, seed=2)
    labels = np.array([first[0][0, 0], first[0][1, 4], 999, first[0][3, 0]])
    names, ids = ["d.jpg", "c.jpg", "b.jpg", "a.jpg"], ["n4", "n3", "n2", "n1"]
    table = predictions_table(names, ids, labels, {3}, {"q": second, "f": first})
    write_parquet(tmp_path / "x.parquet", table)
    assert read_parquet(tmp_path / "x.parquet", PREDICTIONS).equals(table)

    frame = pd.read_parquet(tmp_path / "x.parquet")
    assert frame["precision"].tolist() == ["f"] * 4 + ["q"] * 4
    assert frame["image_index"].tolist() == [0, 1, 2, 3] * 2
    assert frame["image"].tolist() == names * 2
    assert frame["class_id"].tolist() == ids * 2
    assert frame["label"].tolist() == labels.tolist() * 2
    assert frame["status"].tolist() == (["scored"] * 3 + ["corrupt"]) * 2
    for row in table.to_pylist():
        index, score = second if row["precision"] == "q" else first
        at, whole = row["image_index"], row["status"] == "scored"
        assert row["top5_index"] == (index[at].tolist() if whole else [])
        assert row["top5_score"] == (score[at].tolist() if whole else [])
        assert row["correct1"] == (whole and index[at, 0] == row["label"])
        assert row["correct5"] == (whole and row["label"] in index[at])
    assert frame["correct1"].tolist()[:4] == [True, False, False, False]
    assert frame["correct5"].tolist()[:4] == [True, True, False, False]


def test_fewer_than_five_classes() -> None:
    table = predictions_table(["a"], ["n"], np.array([1]), set(), {"p": _top(1, classes=3)})
    assert table["top5_index"].to_pylist() == [_top(1, classes=3)[0][0].tolist()]


@pytest.mark.parametrize(
    ("names", "labels", "corrupt"), [(["a"], [1, 2], set()), (["a", "b"], [1, 2], {2})]
)
def test_lengths_are_checked(names: list[str], labels: list[int], corrupt: set[int]) -> None:
    with pytest.raises(ValueError, match="images, arrays of"):
        predictions_table(names, names, np.array(labels), corrupt, {"p": _top(len(names))})


def test_label_out_of_range_is_not_wrapped() -> None:
    with pytest.raises(pa.ArrowInvalid, match="70000"):
        predictions_table(["a"], ["n"], np.array([70_000]), set(), {"p": _top(1)})


def test_shard_round_trip(tmp_path: Path) -> None:
    top = _top(7)
    facts = _facts(7)
    facts["started_utc"] = _STARTED.astimezone(timezone(timedelta(hours=8)))
    write_shard(tmp_path / "s", "qint8_mixed_float16", 70, *top, facts)
    shard = read_shard(tmp_path / "s")
    assert shard.precision == "qint8_mixed_float16"
    assert shard.facts == _facts(7)
    assert shard.facts["started_utc"].tzinfo is UTC
    assert shard.result.first_image == 70
    assert shard.result.top_index.dtype == np.int16
    assert shard.result.top_score.dtype == np.float32
    np.testing.assert_array_equal(shard.result.top_index, top[0])
    np.testing.assert_array_equal(shard.result.top_score, top[1])


def test_shard_arrays_and_facts_must_fit(tmp_path: Path) -> None:
    index, score = _top(3)
    naive = _facts(3)
    naive["started_utc"] = datetime(2026, 11, 3)
    for arguments in (
        (index, score, _facts(4)),
        (index, score[:, :4], _facts(3)),
        (index[:0], score[:0], _facts(0)),
        (index, score, naive),
    ):
        with pytest.raises(ValueError, match="image"):
            write_shard(tmp_path / "s", "p", 0, *arguments)


def test_shards_table(tmp_path: Path) -> None:
    import pandas as pd

    top = _top(10)
    spans = [("q", 0, 10), ("f", 6, 10), ("f", 0, 6)]
    table = shards_table([_write(tmp_path, top, a, b, precision) for precision, a, b in spans])
    write_parquet(tmp_path / "shards.parquet", table)
    frame = pd.read_parquet(tmp_path / "shards.parquet")
    assert read_parquet(tmp_path / "shards.parquet", SHARDS).equals(table)
    keys = ["precision", "shard", "first_image", "images"]
    assert frame[keys].to_numpy().tolist() == [["f", 0, 0, 6], ["f", 6, 6, 4], ["q", 0, 0, 10]]
    assert set(frame["started_utc"]) == {pd.Timestamp(_STARTED)}
    assert frame.iloc[0][["device", "host", "attempts", "seconds"]].tolist() == [
        "cpu:0",
        "a host",
        2,
        1.25,
    ]


@settings(max_examples=25, deadline=None)
@given(st.data(), st.integers(1, 40))
def test_any_exact_cover_merges_to_the_whole(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, images: int
) -> None:
    folder = tmp_path_factory.mktemp("cover")
    cuts = data.draw(st.sets(st.integers(1, images - 1), max_size=5)) if images > 1 else set()
    bounds = [0, *sorted(cuts), images]
    top = _top(images)
    spans = list(itertools.pairwise(bounds))
    paths = [_write(folder, top, first, end) for first, end in spans]
    merged = merge_shards(data.draw(st.permutations(paths)), images)
    np.testing.assert_array_equal(merged[0], top[0])
    np.testing.assert_array_equal(merged[1], top[1])


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 9), st.integers(1, 10)).filter(lambda span: sum(span) <= 10),
        min_size=1,
        max_size=4,
    )
)
def test_only_an_exact_cover_merges(
    tmp_path_factory: pytest.TempPathFactory, spans: list[tuple[int, int]]
) -> None:
    folder = tmp_path_factory.mktemp("spans")
    top = _top(10)
    paths = [_write(folder, top, first, first + count) for first, count in spans]
    covered = sorted(image for first, count in spans for image in range(first, first + count))
    if covered == list(range(10)):
        merge_shards(paths, 10)
    else:
        with pytest.raises(StoreError):
            merge_shards(paths, 10)


@pytest.mark.parametrize(
    ("spans", "message"),
    [
        ([(0, 4), (5, 10)], "starts at image 5 and leaves a gap"),
        ([(0, 6), (5, 10)], "starts at image 5 and repeats images"),
        ([(1, 10)], "starts at image 1 and leaves a gap"),
        ([(0, 9)], "ends before image 9"),
        ([(0, 9), (9, 11)], "ends before image 11"),
        ([], "no shard"),
    ],
)
def test_fault_of_a_cover_is_told(
    tmp_path: Path, spans: list[tuple[int, int]], message: str
) -> None:
    paths = [_write(tmp_path, _top(11), first, end) for first, end in spans]
    with pytest.raises(StoreError, match=message):
        merge_shards(paths, 10)


def test_shards_of_other_runs_do_not_merge(tmp_path: Path) -> None:
    first = _write(tmp_path, _top(10), 0, 5)
    with pytest.raises(StoreError, match="is of other"):
        merge_shards([first, _write(tmp_path, _top(10), 5, 10, "other")], 10)
    with pytest.raises(StoreError, match="3 classes per image"):
        merge_shards([first, _write(tmp_path, _top(10, classes=3), 5, 10)], 10)


@pytest.mark.parametrize(
    ("metadata", "lists", "message"),
    [
        (None, [[1], [2]], "metadata is no shard's"),
        (b"{}", [[1], [2]], "there is no shard in it"),
        (b"[", [[1], [2]], "metadata is no shard's"),
        (b"good", [[1], [2, 3]], "differ in length"),
        (b"good", [[1], [2]], "2 images where its metadata says 7"),
    ],
)
def test_no_shard(
    tmp_path: Path, metadata: bytes | None, lists: list[list[int]], message: str
) -> None:
    write_shard(tmp_path / "s", "p", 0, *_top(7), _facts(7))
    good = read_parquet(tmp_path / "s", SHARD_RESULT).schema.metadata
    table = pa.table([lists, [[float(value) for value in row] for row in lists]], SHARD_RESULT)
    if metadata is not None:
        key = b"mlubench.shard"
        table = table.replace_schema_metadata(good if metadata == b"good" else {key: metadata})
    write_parquet(tmp_path / "s", table)
    with pytest.raises(StoreError, match=message):
        read_shard(tmp_path / "s")
