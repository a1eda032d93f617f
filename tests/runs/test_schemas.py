"""Parquet files: the same bytes for the same content, foreign and damaged files refused."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mlubench.errors import StoreError
from mlubench.runs.parquet import read_parquet, write_parquet
from mlubench.runs.schemas import ACCURACY, PREDICTIONS, SHARDS, TOP_SCORE

_SCHEMA = pa.schema([pa.field("name", pa.string(), nullable=False), pa.field("value", pa.int64())])


def _table(rows: int = 1000) -> pa.Table:
    names = [f"image {index}" for index in range(rows)]
    return pa.table([names, list(range(rows))], schema=_SCHEMA)


def test_columns_are_the_contracts() -> None:
    assert ", ".join(PREDICTIONS.names) == (
        "image_index, image, class_id, precision, label, top5_index, top5_score, "
        "correct1, correct5, status"
    )
    assert ", ".join(SHARDS.names) == (
        "precision, shard, first_image, images, device, host, attempts, started_utc, seconds, "
        "failures"
    )
    assert ", ".join(ACCURACY.names) == (
        "model, dataset, engine, engine_version, precision, executed_precision, batch_size, "
        "dynamic_shape, images, top1, top1_low, top1_high, top5, top5_low, top5_high, agreement, "
        "lost, won, drop, drop_low, drop_high, mcnemar_p, verdict"
    )


@pytest.mark.parametrize("schema", [PREDICTIONS, SHARDS, ACCURACY])
def test_empty_round_trip(tmp_path: Path, schema: pa.Schema) -> None:
    path = tmp_path / "empty.parquet"
    write_parquet(path, schema.empty_table())
    assert read_parquet(path, schema).schema.equals(schema)


def _written(table: pa.Table, path: Path) -> bytes:
    write_parquet(path, table)
    return path.read_bytes()


def test_notes_of_pandas_and_slices_do_not_show(tmp_path: Path) -> None:
    whole = _table()
    from_pandas = pa.Table.from_pandas(whole.to_pandas(), schema=_SCHEMA)
    assert b"pandas" in from_pandas.schema.metadata
    padded = pa.concat_tables([_table(3), whole, _table(3)]).combine_chunks()
    expected = _written(whole, tmp_path / "whole")
    assert _written(from_pandas, tmp_path / "pandas") == expected
    assert _written(padded.slice(3, whole.num_rows), tmp_path / "slice") == expected


def test_chunks_do_not_show(tmp_path: Path) -> None:
    # Long enough for chunks to shift the borders of pages and groups of rows, were they not joined.
    rows = 70_000
    scores = np.random.default_rng(0).random((rows, 5), np.float32)
    whole = pa.table({"scores": pa.FixedSizeListArray.from_arrays(scores.ravel(), 5)})
    whole = whole.cast(pa.schema([pa.field("scores", TOP_SCORE)]))
    chunked = pa.concat_tables([whole.slice(first, 100) for first in range(0, rows, 100)])
    assert _written(chunked, tmp_path / "chunked") == _written(whole, tmp_path / "whole")


def test_order_of_metadata_does_not_show(tmp_path: Path) -> None:
    contents = set()
    for metadata in ({"a": "1", "b": "2"}, {"b": "2", "a": "1"}):
        write_parquet(tmp_path / "x", _table(2).replace_schema_metadata(metadata))
        contents.add((tmp_path / "x").read_bytes())
    assert len(contents) == 1
    assert read_parquet(tmp_path / "x", _SCHEMA).schema.metadata == {b"a": b"1", b"b": b"2"}


_SCRIPT = """
import sys, pathlib, numpy as np
from mlubench.evaluate.predictions import predictions_table
from mlubench.runs.parquet import write_parquet
index = np.random.default_rng(1).integers(0, 10, (300, 5)).astype(np.int16)
top = (index, np.linspace(1, 0, 1500, dtype=np.float32).reshape(300, 5))
names = [str(i) for i in range(300)]
corrupt = {int(text) for text in sys.argv[2].split(",")}
table = predictions_table(names, names, index[:, 1], corrupt, {"a": top, "b": top})
write_parquet(pathlib.Path(sys.argv[1]), table)
"""


def test_two_processes_write_the_same_bytes(tmp_path: Path) -> None:
    for number, corrupt in enumerate(["3,250,17", "17,3,250"]):
        path = tmp_path / str(number)
        subprocess.run([sys.executable, "-c", _SCRIPT, path, corrupt], check=True, timeout=60)
    assert (tmp_path / "0").read_bytes() == (tmp_path / "1").read_bytes()


def test_pandas_reads_it(tmp_path: Path) -> None:
    import pandas as pd

    write_parquet(tmp_path / "x.parquet", _table())
    assert pd.read_parquet(tmp_path / "x.parquet")["value"].sum() == 499_500


def test_folder_names_add_no_columns(tmp_path: Path) -> None:
    path = tmp_path / "precision=force_float32" / "x.parquet"
    write_parquet(path, _table())
    assert read_parquet(path, _SCHEMA).column_names == ["name", "value"]


def test_null_in_a_required_column_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(pa.ArrowInvalid, match="nulls"):
        write_parquet(tmp_path / "x", pa.table([[None], [1]], schema=_SCHEMA))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("foreign", "message"),
    [
        (pa.table({"name": ["a"]}), "column 'name' is string\n"),
        (pa.table([["a"]], schema=pa.schema([_SCHEMA.field(0)])), "column 'value' is absent"),
        (_table(1).append_column("more", [[1]]), "column 'more' is int64"),
        (_table(1).select(["value", "name"]), "in the order value, name"),
    ],
)
def test_foreign_columns_are_named(tmp_path: Path, foreign: pa.Table, message: str) -> None:
    path = tmp_path / "foreign.parquet"
    pq.write_table(foreign, path)
    with pytest.raises(StoreError) as caught:
        read_parquet(path, _SCHEMA)
    assert message in str(caught.value)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"PAR1 is not all PAR1", b"name,value\n1,2\n"])
def test_no_parquet_at_all(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x").write_bytes(content)
    with pytest.raises(StoreError, match="cannot be read as Parquet"):
        read_parquet(tmp_path / "x", _SCHEMA)


def test_absent_file(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="cannot be read") as caught:
        read_parquet(tmp_path / "absent.parquet", _SCHEMA)
    assert caught.value.where == str(tmp_path / "absent.parquet")


def test_changed_byte_is_found(tmp_path: Path) -> None:
    path = tmp_path / "x"
    write_parquet(path, _table())
    data = bytearray(path.read_bytes())
    data[len(data) // 3] ^= 1
    path.write_bytes(data)
    with pytest.raises(StoreError, match="cannot be read as Parquet"):
        read_parquet(path, _SCHEMA)
