"""Parquet shards of images, in the layout of ImageNet's copy on Hugging Face.

Columns: ``image``, a struct of ``bytes`` (the encoded file) and ``path`` (its name), and
``label``, an integer of the 2012 order. The rows are in no order, and a row group, whose bytes
are compressed together, is the least that can be read. To read images in the order of their
names would mean to read a row group for each of them. So the shards are read once, in their own
order, and the images are laid down in a tar archive of one folder for each class, where each can
be had at once. That takes as much disk as the shards do, and memory for a few images.

Names of shards: ``validation-00000-of-00014.parquet``; the copy keeps those of several splits in
one folder.
"""

from __future__ import annotations

import re
import tarfile
from collections.abc import Iterator, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
import pyarrow.types as pt

from mlubench.errors import DatasetError, StoreError, in_words
from mlubench.images.datasets.labels import LabelOrder, imagenet_order
from mlubench.images.datasets.source import base_name, is_image
from mlubench.images.datasets.wnids import plain_name, told_wnids
from mlubench.store import Store

#: The kind of entry in the store.
KIND = "parquet"
_ARCHIVE = "images.tar"
#: Raised by one whenever the archive comes out in another way.
_CODE_VERSION = 1
_SPLIT = re.compile(r"(.+)-[0-9]{5}-of-[0-9]{5}.*\.parquet")
_SCORED_SPLIT = "validation"
#: Images in memory at a time, and what is read of a file at a time.
_ROWS, _BUFFER_BYTES = 16, 2**20
_COLUMNS = "image: struct<bytes: binary, path: string>, label: int64"


class _Row(NamedTuple):
    where: str
    path: str | None
    data: memoryview
    label: int | None


def shards_of_one_split(shards: Sequence[Path]) -> tuple[Path, ...]:
    """Return the shards to read, sorted: of several splits those of ``validation``.

    Raises:
        DatasetError: they are of several splits, and none is ``validation``.
    """
    splits = {_split(shard) for shard in shards}
    if len(splits) > 1 and _SCORED_SPLIT not in splits:
        raise DatasetError(
            f"has shards of several splits: {', '.join(sorted(splits))}",
            where=str(shards[0].parent),
            expected=f"shards of one split, or of {_SCORED_SPLIT} among others",
            fix="make a folder with links to the shards of one split and name that",
        )
    chosen = splits if len(splits) == 1 else {_SCORED_SPLIT}
    return tuple(sorted(shard for shard in shards if _split(shard) in chosen))


def unpack_shards(shards: Sequence[Path], data: Path) -> Path:
    """Return a tar archive of the shards' images, one folder for each class.

    Args:
        shards: Parquet files.
        data: the store where such archives are kept, of the kind ``parquet``; one that has been
            made is used again until a shard changes. Its size is checked at each use, its bytes
            by ``mlubench cache verify``.

    Raises:
        DatasetError: a shard cannot be read or has another layout, two images have one name,
            or a label is wrong.
        StoreError: the archive cannot be written.
    """

    def build(folder: Path) -> None:
        try:
            _write(shards, folder / _ARCHIVE)
        except OSError as error:
            raise StoreError(
                f"cannot be written: {error.strerror or error}",
                where=str(data / KIND),
                fix="it takes as much room as the shards; name another folder with --out",
            ) from error

    return Store(data).get(KIND, _identity(shards), build, thorough=False) / _ARCHIVE


def _split(shard: Path) -> str:
    found = _SPLIT.fullmatch(shard.name)
    return found[1] if found else ""


def _identity(shards: Sequence[Path]) -> dict[str, Any]:
    files = []
    for shard in shards:
        try:
            facts = shard.stat()
        except OSError as error:
            raise _unreadable(shard, error) from error
        files.append([shard.name, facts.st_size, facts.st_mtime_ns])
    return {"shards": files, "code": _CODE_VERSION}


def _write(shards: Sequence[Path], archive: Path) -> None:
    order = imagenet_order("2012")
    seen: dict[str, str] = {}
    with tarfile.open(archive, "w", format=tarfile.GNU_FORMAT) as tar:
        for shard in shards:
            for row in _rows(shard):
                name = _name(row)
                if name in seen:
                    raise DatasetError(
                        f"two images are called {name}: {seen[name]} and {row.where}",
                        where=str(shard),
                        expected="a name of its own for each image",
                        fix="name the shards of one split, each once",
                    )
                seen[name] = row.where
                member = tarfile.TarInfo(f"{_wnid(row, order)}/{name}")
                member.size = len(row.data)
                tar.addfile(member, BytesIO(row.data))


def _rows(shard: Path) -> Iterator[_Row]:
    """Give a shard's rows, few at a time."""
    number = 0
    try:
        # Without a buffer a whole row group, which may be the whole file, would be in memory.
        with pq.ParquetFile(shard, buffer_size=_BUFFER_BYTES, pre_buffer=False) as file:
            _check_layout(file.schema_arrow, shard)
            for batch in file.iter_batches(_ROWS, columns=["image", "label"]):
                for row in _batch_rows(batch):
                    yield row._replace(where=f"{shard.name}, row {number}")
                    number += 1
    except (OSError, pa.ArrowException, UnicodeDecodeError) as error:
        raise _unreadable(shard, error) from error


def _batch_rows(batch: pa.RecordBatch) -> Iterator[_Row]:
    fields = batch.schema.field("image").type
    values = dict(
        zip((field.name for field in fields), batch.column("image").flatten(), strict=True)
    )
    for data, path, label in zip(
        values["bytes"], values["path"], batch.column("label"), strict=True
    ):
        # An image without bytes is one that cannot be decoded, and is counted as such.
        view = memoryview(data.as_buffer()) if data.is_valid else memoryview(b"")
        yield _Row("", path.as_py(), view, label.as_py())


def _check_layout(schema: pa.Schema, shard: Path) -> None:
    types = {field.name: field.type for field in schema}
    image, label = types.get("image", pa.null()), types.get("label", pa.null())
    fields = {field.name: field.type for field in image} if pt.is_struct(image) else {}
    data, path = fields.get("bytes", pa.null()), fields.get("path", pa.null())
    binary = pt.is_binary(data) or pt.is_large_binary(data)
    text = pt.is_string(path) or pt.is_large_string(path)
    once = schema.names.count("image") == schema.names.count("label") == 1
    if not (once and binary and text and pt.is_integer(label)):
        raise DatasetError(
            f"has other columns: {', '.join(f'{field.name}: {field.type}' for field in schema)}",
            where=str(shard),
            expected=_COLUMNS,
            fix="name a folder with Parquet shards of ImageNet's validation set",
        )


def _name(row: _Row) -> str:
    name = plain_name(row.path or "")
    if not is_image(name):
        raise DatasetError(
            f"the path of the image is {row.path!r}",
            where=row.where,
            expected="the name of an image file, which calls the image in the results",
            fix="use a copy that has kept the names",
        )
    return name


def _wnid(row: _Row, order: LabelOrder) -> str:
    """Return a row's class, of its label; a class id in its path must be the same."""
    if row.label is None or not 0 <= row.label < len(order.class_ids):
        raise DatasetError(
            f"the label of {base_name(row.path or '')} is {row.label}",
            where=row.where,
            expected=f"0 to {len(order.class_ids) - 1}, the labels of the order {order.name}",
            fix="name the shards of the validation split; those of the test split have no labels",
        )
    wnid = order.class_ids[row.label]
    if told_wnids(row.path or "") - {wnid}:
        raise DatasetError(
            f"the label {row.label} is {wnid}, which {row.path} is not",
            where=row.where,
            expected=f"labels of the order {order.name}",
            fix="use an unchanged copy",
        )
    return wnid


def _unreadable(shard: Path, error: Exception) -> DatasetError:
    reason = in_words(error).splitlines() or [type(error).__name__]
    return DatasetError(
        f"the shard cannot be read: {reason[0]}",
        where=str(shard),
        expected="a whole Parquet file",
        fix="see whether it may be read; fetch it anew if it is damaged",
    )
