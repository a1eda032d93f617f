"""Parquet files that are written whole and sealed, and checked when read."""

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
