"""The Parquet files of a run folder: their schemas, and the one way to write and read them."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from mlubench.errors import StoreError, in_words
from mlubench.store import atomic_path

_ROW_GROUP = 1 << 15
#: The key of a file's own digest in its metadata, and how it begins in the file: the key, then, as
#: Thrift's compact protocol has it, a second string of 64 bytes. A flipped bit spares a part.
_SEAL_NAME, _SEAL_REST = b"mlubench-seal", b".sha256\x18@"
_SEAL = _SEAL_NAME + _SEAL_REST
_SEAL_KEY = _SEAL[:-2].decode("ascii")
_UNSEALED = b"0" * 64


def _required(name: str, kind: pa.DataType) -> pa.Field:
    return pa.field(name, kind, nullable=False)


def _list_of(kind: pa.DataType) -> pa.DataType:
    # "element" is the name that Parquet gives it, so a type read back equals the one written.
    return pa.list_(_required("element", kind))


TOP_INDEX = _list_of(pa.int16())
TOP_SCORE = _list_of(pa.float32())

#: predictions.parquet, sorted by precision, image_index.
PREDICTIONS = pa.schema(
    [
        _required("image_index", pa.int32()),
        _required("image", pa.string()),
        _required("class_id", pa.string()),
        _required("precision", pa.string()),
        _required("label", pa.int16()),
        _required("top5_index", TOP_INDEX),
        _required("top5_score", TOP_SCORE),
        _required("correct1", pa.bool_()),
        _required("correct5", pa.bool_()),
        _required("status", pa.string()),
    ]
)

#: shards.parquet, sorted by precision, shard.
SHARDS = pa.schema(
    [
        _required("precision", pa.string()),
        _required("shard", pa.int32()),
        _required("first_image", pa.int32()),
        _required("images", pa.int32()),
        _required("device", pa.string()),
        _required("host", pa.string()),
        _required("attempts", pa.int32()),
        _required("started_utc", pa.timestamp("us", "UTC")),
        _required("seconds", pa.float64()),
        _required("failures", _list_of(pa.string())),
    ]
)

#: One finished shard; its facts are in the file's key-value metadata.
SHARD_RESULT = pa.schema([_required("top5_index", TOP_INDEX), _required("top5_score", TOP_SCORE)])

#: thumbnails.parquet, sorted by image: small JPEGs of flipped images, as the network saw them.
THUMBNAILS = pa.schema([_required("image", pa.string()), _required("jpeg", pa.binary())])

#: accuracy.parquet, a row per precision. Fractions; agreement to mcnemar_p are against
#: force_float32, null in its own row and where the run has none.
ACCURACY = pa.schema(
    [
        _required("model", pa.string()),
        _required("dataset", pa.string()),
        _required("engine", pa.string()),
        _required("engine_version", pa.string()),
        _required("precision", pa.string()),
        _required("executed_precision", pa.string()),
        _required("batch_size", pa.int32()),
        _required("dynamic_shape", pa.bool_()),
        _required("images", pa.int64()),
        _required("top1", pa.float64()),
        _required("top1_low", pa.float64()),
        _required("top1_high", pa.float64()),
        _required("top5", pa.float64()),
        _required("top5_low", pa.float64()),
        _required("top5_high", pa.float64()),
        pa.field("agreement", pa.float64()),
        pa.field("lost", pa.int64()),
        pa.field("won", pa.int64()),
        pa.field("drop", pa.float64()),
        pa.field("drop_low", pa.float64()),
        pa.field("drop_high", pa.float64()),
        pa.field("mcnemar_p", pa.float64()),
        _required("verdict", pa.string()),
    ]
)


#: Percentiles of the latency, as columns are named: 999 is p99.9.
_PERCENTILE_COLUMNS = ("p50", "p90", "p95", "p99", "p999")

#: throughput.parquet, a row per configuration. Images per second, milliseconds; `_low` and
#: `_high` are the ends of 95 % intervals, null where the samples or rounds are too few for one;
#: `_needed` is how many requests MLPerf's early stopping wants for that percentile. speedup is
#: against force_float32 of the same batch, shape and devices, null in its own row and without one.
THROUGHPUT = pa.schema(
    [
        _required("model", pa.string()),
        _required("engine", pa.string()),
        _required("engine_version", pa.string()),
        _required("precision", pa.string()),
        _required("executed_precision", pa.string()),
        _required("batch_size", pa.int32()),
        _required("dynamic_shape", pa.bool_()),
        _required("devices", _list_of(pa.string())),
        _required("threads", pa.int32()),
        _required("infer_depth", pa.int32()),
        _required("rounds", pa.int32()),
        _required("requests", pa.int64()),
        _required("images", pa.int64()),
        _required("seconds", pa.float64()),
        _required("throughput", pa.float64()),
        pa.field("throughput_low", pa.float64()),
        pa.field("throughput_high", pa.float64()),
        _required("round_throughput", _list_of(pa.float64())),
        pa.field("speedup", pa.float64()),
        pa.field("speedup_low", pa.float64()),
        pa.field("speedup_high", pa.float64()),
        _required("latency_mean_ms", pa.float64()),
        *(
            column
            for name in _PERCENTILE_COLUMNS
            for column in (
                _required(f"{name}_ms", pa.float64()),
                pa.field(f"{name}_low_ms", pa.float64()),
                pa.field(f"{name}_high_ms", pa.float64()),
                _required(f"{name}_needed", pa.int64()),
            )
        ),
        _required("copy_in_ms", pa.float64()),
        _required("compute_ms", pa.float64()),
        _required("copy_out_ms", pa.float64()),
        _required("warmup_seconds", pa.float64()),
        _required("steady", pa.bool_()),
        _required("cpu_seconds", pa.float64()),
        _required("memory_kib", pa.int64()),
        _required("process_threads", pa.int32()),
        pa.field("clock_mhz", pa.float64()),
        _required("load", pa.float64()),
        _required("others", pa.float64()),
        _required("disturbed", pa.bool_()),
        _required("speed_only", pa.bool_()),
    ]
)

#: latencies.parquet, a row per request, in the order of throughput.parquet's rows (configuration
#: is the place of one), then of time. Milliseconds; start is since the round began; device_ms is by
#: the device's own clock, null where it has none.
LATENCIES = pa.schema(
    [
        _required("configuration", pa.int32()),
        _required("round", pa.int32()),
        _required("device", pa.string()),
        _required("thread", pa.int32()),
        _required("batch_size", pa.int32()),
        _required("start_ms", pa.float64()),
        _required("latency_ms", pa.float64()),
        _required("copy_in_ms", pa.float64()),
        _required("compute_ms", pa.float64()),
        _required("copy_out_ms", pa.float64()),
        pa.field("device_ms", pa.float64()),
    ]
)


#: latencies.parquet of a scenario: every query, in the order of their numbers.
QUERIES = pa.schema(
    [
        _required("query", pa.int32()),
        _required("samples", pa.int32()),
        _required("scheduled_ms", pa.float64()),
        _required("issued_ms", pa.float64()),
        _required("finished_ms", pa.float64()),
        _required("latency_ms", pa.float64()),
    ]
)


def write_parquet(path: Path, table: pa.Table) -> None:
    """Write a table atomically; the bytes depend on its content and the pyarrow release alone.

    How the table was chunked, sliced or made (pandas leaves notes in the metadata) does not
    show in the file. It carries a digest of all its other bytes, which :func:`read_parquet`
    verifies: Parquet's own checksums leave out page headers and the footer.

    Raises:
        StoreError: the folder cannot be written.
    """
    notes = (b"pandas", _SEAL_KEY.encode("ascii"))
    metadata = {
        key: text for key, text in (table.schema.metadata or {}).items() if key not in notes
    }
    plain = table.replace_schema_metadata(dict(sorted(metadata.items())) or None)
    with atomic_path(path) as temporary:
        with pq.ParquetWriter(
            temporary,
            plain.schema,
            version="2.6",
            data_page_version="1.0",
            compression="zstd",
            compression_level=3,
            use_dictionary=True,
            write_statistics=True,
            write_page_checksum=True,
        ) as writer:
            # A group of rows at a time: what is copied into one chunk is never the whole table.
            for first in range(0, max(plain.num_rows, 1), _ROW_GROUP):
                rows = plain.slice(first, _ROW_GROUP)
                writer.write_table(rows.combine_chunks(), _ROW_GROUP)
            writer.add_key_value_metadata({_SEAL_KEY: _UNSEALED.decode()})
        _seal(temporary)


def _seal(path: Path) -> None:
    """Put the digest of a file, with zeros in the digest's own place, into that place."""
    data = path.read_bytes()
    place = data.rindex(_SEAL + _UNSEALED) + len(_SEAL)
    with path.open("r+b") as stream:
        stream.seek(place)
        stream.write(hashlib.sha256(data).hexdigest().encode("ascii"))


def _check_seal(path: Path, data: bytes) -> None:
    """Compare a file with its digest; one of before there were digests has neither part of it."""
    parts = [data.rfind(part) for part in (_SEAL_NAME, _SEAL_REST)]
    if max(parts) < 0:
        return
    place = data.rfind(_SEAL) + len(_SEAL)
    end = place + len(_UNSEALED)
    plain = data[:place] + _UNSEALED + data[end:]
    if min(parts) < 0 or data[place:end] != hashlib.sha256(plain).hexdigest().encode("ascii"):
        raise _unreadable(path, "its bytes are not those that were written")


def read_parquet(path: Path, schema: pa.Schema) -> pa.Table:
    """Read a whole file that :func:`write_parquet` wrote.

    Returns:
        The table; its schema's metadata is the file's key-value metadata, but for its digest.

    Raises:
        StoreError: the file is absent, damaged, not Parquet, or has other columns.
    """
    with open_parquet(path, schema) as file:
        table = file.read()
    metadata = dict(table.schema.metadata or {})
    metadata.pop(_SEAL_KEY.encode("ascii"), None)
    return table.replace_schema_metadata(metadata or None)


@contextlib.contextmanager
def open_parquet(path: Path, schema: pa.Schema) -> Iterator[pq.ParquetFile]:
    """Give an open file of that schema, of which only the footer has been read.

    Raises:
        StoreError: as :func:`read_parquet`, also for what is read within the block.
    """
    try:
        data = path.read_bytes()
        _check_seal(path, data)
        with pq.ParquetFile(pa.BufferReader(data), page_checksum_verification=True) as file:
            _check_columns(path, file.schema_arrow, schema)
            yield file
    except (pa.ArrowException, OSError) as error:
        raise _unreadable(path, in_words(error)) from error


def _unreadable(path: Path, why: str) -> StoreError:
    return StoreError(
        f"cannot be read as Parquet: {why}",
        where=str(path),
        expected="a whole file written by mlubench",
        fix="run the command that makes it again",
    )


def _check_columns(path: Path, found: pa.Schema, schema: pa.Schema) -> None:
    for name in dict.fromkeys([*schema.names, *found.names]):
        expected = _describe(schema, name)
        if _describe(found, name) != expected:
            raise StoreError(
                f"column {name!r} is {_describe(found, name)}",
                where=str(path),
                expected=f"{name!r} {expected}",
                fix="see whether the file belongs to another version or another tool",
            )
    if found.names != schema.names:
        raise StoreError(
            f"its columns are in the order {', '.join(found.names)}",
            where=str(path),
            expected=", ".join(schema.names),
            fix="see whether the file belongs to another version or another tool",
        )


def _describe(schema: pa.Schema, name: str) -> str:
    index = schema.get_field_index(name)
    if index < 0:
        return "absent"
    field = schema.field(index)
    return f"{field.type}{'' if field.nullable else ' not null'}"
