"""Every image's answer in every precision, and the finished shards that they come from."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypedDict

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from mlubench.errors import StoreError, in_words
from mlubench.metrics.accuracy import correct_at_k
from mlubench.runs.parquet import open_parquet, write_parquet
from mlubench.runs.schemas import PREDICTIONS, SHARD_RESULT, SHARDS, TOP_INDEX, TOP_SCORE
from mlubench.store import canonical_json

SCORED = "scored"
CORRUPT = "corrupt"

#: (top_index int16 [N, C], top_score float32 [N, C]), best first; C is 5, or the number of
#: classes of a network that has fewer.
Top = tuple[NDArray[np.integer], NDArray[np.float32]]

_METADATA_KEY = b"mlubench.shard"
_CHUNK = 1 << 16


class ShardFacts(TypedDict):
    """Who inferred a shard, and when; the rest of shards.parquet's columns.

    Keys:
        shard: its number within its precision, from 0.
        device: for example ``cpu:0``.
        host: the host's name.
        attempts: how often it was begun, 1 where the first try succeeded.
        failures: how the tries before that one failed, a line each, with the device's name.
        started_utc: the start of the successful try, with a time zone.
        seconds: how long that try took.
        images: how many images it holds.
    """

    shard: int
    device: str
    host: str
    attempts: int
    failures: list[str]
    started_utc: datetime
    seconds: float
    images: int


@dataclass(frozen=True)
class ShardResult:
    """The answers of consecutive images.

    Attributes:
        first_image: the dataset index of the first one.
        top_index: int16 [n, C], the best classes, best first.
        top_score: float32 [n, C], their scores.
    """

    first_image: int
    top_index: NDArray[np.int16]
    top_score: NDArray[np.float32]


@dataclass(frozen=True)
class Shard:
    """One finished shard, as its file holds it."""

    precision: str
    result: ShardResult
    facts: ShardFacts


def predictions_table(
    images: Sequence[str],
    class_ids: Sequence[str],
    labels: NDArray[np.integer],
    corrupt: AbstractSet[int],
    by_precision: Mapping[str, Top],
) -> pa.Table:
    """Return the table of predictions.parquet.

    Args:
        images: N names, in the dataset's order.
        class_ids: N true class ids.
        labels: [N], the true classes in the network's own order.
        corrupt: the indices of images that could not be decoded whole. Their rows have status
            ``corrupt``, empty lists and both ``correct`` columns false, whatever was inferred.
        by_precision: the answers of every image, corrupt ones included.

    Returns:
        A table of schema :data:`~mlubench.runs.schemas.PREDICTIONS`, sorted by precision,
        then image_index.

    Raises:
        ValueError: the lengths differ, or a corrupt index is no image's.
    """
    count = len(images)
    lengths = {len(class_ids), len(labels)} | {
        len(array) for top in by_precision.values() for array in top
    }
    if lengths != {count} or not all(0 <= index < count for index in corrupt):
        raise ValueError(f"{count} images, arrays of {sorted(lengths)}, corrupt {sorted(corrupt)}")
    scored = np.ones(count, bool)
    scored[sorted(corrupt)] = False
    common = {
        "image_index": pa.array(np.arange(count), pa.int32()),
        "image": pa.array(images, pa.string()),
        "class_id": pa.array(class_ids, pa.string()),
        "label": pa.array(labels, pa.int16()),
        "status": pc.if_else(pa.array(scored), SCORED, CORRUPT),
    }
    parts = [
        _precision_part(common, labels, scored, precision, top)
        for precision, top in sorted(by_precision.items())
    ]
    return pa.concat_tables([PREDICTIONS.empty_table(), *parts])


def _precision_part(
    common: Mapping[str, pa.Array],
    labels: NDArray[np.integer],
    scored: NDArray[np.bool_],
    precision: str,
    top: Top,
) -> pa.Table:
    top_index, top_score = top
    columns = {
        **common,
        "precision": _repeated(precision, len(scored)),
        "top5_index": list_column(top_index, scored, TOP_INDEX),
        "top5_score": list_column(top_score, scored, TOP_SCORE),
        "correct1": pa.array(correct_at_k(labels, top_index, 1) & scored),
        "correct5": pa.array(correct_at_k(labels, top_index, 5) & scored),
    }
    return pa.Table.from_pydict(columns, schema=PREDICTIONS)


def _repeated(text: str, count: int) -> pa.ChunkedArray:
    """Return a column of equal strings, whose chunks are one and the same."""
    chunk = pa.repeat(text, min(count, _CHUNK))
    whole, rest = divmod(count, _CHUNK)
    return pa.chunked_array([chunk] * whole + [chunk.slice(0, rest)], pa.string())


def list_column(values: NDArray[Any], kept: NDArray[np.bool_], kind: pa.DataType) -> pa.Array:
    """Return row i of ``values`` as list i; an empty list where it is not kept."""
    offsets = np.concatenate([[0], np.cumsum(kept * values.shape[1])])
    flat = pa.array(values[kept].ravel(), kind.value_type)
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), flat, type=kind)


def scored_part(
    predictions: pa.Table, precision: str, columns: Sequence[str] | None = None
) -> pa.Table:
    """Return the scored rows of one precision, by image_index.

    Args:
        predictions: the table.
        precision: one of its precisions.
        columns: which of them; all, where none are named.
    """
    wanted = predictions if columns is None else predictions.select(columns)
    return wanted.filter(_scored(predictions, precision))


def scored_rows(predictions: pa.Table, precision: str) -> NDArray[np.intp]:
    """Return the numbers of the scored rows of one precision, ascending."""
    return np.flatnonzero(_scored(predictions, precision).to_numpy())


def _scored(predictions: pa.Table, precision: str) -> pa.ChunkedArray:
    return pc.and_(
        pc.equal(predictions["precision"], precision), pc.equal(predictions["status"], SCORED)
    )


def best(part: pa.Table, column: str) -> NDArray[Any]:
    """Return the first element of each list of a column without empty lists."""
    first: NDArray[Any] = pc.list_element(part[column], 0).to_numpy()
    return first


def write_shard(
    path: Path,
    precision: str,
    first_image: int,
    top_index: NDArray[np.integer],
    top_score: NDArray[np.float32],
    facts: ShardFacts,
) -> None:
    """Write one finished shard: the answers as columns, the facts in the file's metadata.

    Once the file has its name the shard is done; nothing else records it.

    Args:
        path: the file.
        precision: what was asked for.
        first_image: the dataset index of its first image.
        top_index: [n, C], n >= 1, C >= 1, best first; fits int16.
        top_score: [n, C].
        facts: see :class:`ShardFacts`.

    Raises:
        ValueError: arrays and facts do not fit.
        StoreError: the folder cannot be written.
    """
    count = facts["images"]
    if top_index.shape != top_score.shape or top_index.ndim != 2 or len(top_index) != count:
        raise ValueError(f"{count} images, arrays {top_index.shape} and {top_score.shape}")
    if top_index.size == 0 or facts["started_utc"].tzinfo is None:
        raise ValueError("a shard has at least one image, and a start with a time zone")
    started = facts["started_utc"].astimezone(UTC).isoformat()
    header = {**facts, "started_utc": started, "precision": precision, "first_image": first_image}
    every = np.ones(count, bool)
    columns = [list_column(top_index, every, TOP_INDEX), list_column(top_score, every, TOP_SCORE)]
    schema = SHARD_RESULT.with_metadata({_METADATA_KEY: canonical_json(header)})
    write_parquet(path, pa.Table.from_arrays(columns, schema=schema))


def read_shard(path: Path) -> Shard:
    """Read one finished shard.

    Raises:
        StoreError: the file is absent, damaged or no shard.
    """
    with open_parquet(path, SHARD_RESULT) as file:
        precision, first_image, facts = _header(path, file.schema_arrow.metadata)
        table = file.read()
    top_index, top_score = (_matrix(path, table, name) for name in SHARD_RESULT.names)
    if len(top_index) != facts["images"]:
        raise _no_shard(path, f"{len(top_index)} images where its metadata says {facts['images']}")
    return Shard(precision, ShardResult(first_image, top_index, top_score), facts)


def merge_shards(paths: Sequence[Path], images: int) -> Top:
    """Join the shards of one precision, in any order, into the answers of all images.

    Args:
        paths: the shards' files; together they cover images 0 to N-1 once each.
        images: N.

    Returns:
        int16 [N, C] and float32 [N, C].

    Raises:
        StoreError: a shard cannot be read, covers an image twice or is of another precision or
            network than the first, or an image is in none.
    """
    if not paths:
        raise StoreError("no shard is there", where="the run", expected=f"{images} images")
    shards = sorted(
        ((read_shard(path), path) for path in paths), key=lambda pair: pair[0].result.first_image
    )
    end = 0
    for shard, path in shards:
        _check_next(path, shard, shards[0][0], end)
        end += len(shard.result.top_index)
    if end != images:
        raise _no_cover(path, f"is the last one and ends before image {end}", f"{images} images")
    return (
        np.concatenate([shard.result.top_index for shard, _ in shards]),
        np.concatenate([shard.result.top_score for shard, _ in shards]),
    )


def _check_next(path: Path, shard: Shard, first: Shard, end: int) -> None:
    """Raise where a shard cannot follow others that cover images 0 to ``end`` - 1."""
    if shard.precision != first.precision:
        raise _no_cover(path, f"is of {shard.precision}", first.precision)
    width, expected_width = shard.result.top_index.shape[1], first.result.top_index.shape[1]
    if width != expected_width:
        raise _no_cover(path, f"has {width} classes per image", f"{expected_width} classes")
    start = shard.result.first_image
    if start != end:
        fault = "repeats images" if start < end else "leaves a gap"
        raise _no_cover(path, f"starts at image {start} and {fault}", f"image {end}")


def shards_table(paths: Sequence[Path]) -> pa.Table:
    """Return the table of shards.parquet, from the metadata of the shards' files.

    Returns:
        A table of schema :data:`~mlubench.runs.schemas.SHARDS`, sorted by precision, shard.

    Raises:
        StoreError: a file is absent, damaged or no shard.
    """
    rows = []
    for path in paths:
        with open_parquet(path, SHARD_RESULT) as file:
            precision, first_image, facts = _header(path, file.schema_arrow.metadata)
        rows.append({"precision": precision, "first_image": first_image, **facts})
    rows.sort(key=lambda row: (row["precision"], row["shard"]))
    return pa.Table.from_pylist(rows, schema=SHARDS)


def _header(path: Path, metadata: Mapping[bytes, bytes] | None) -> tuple[str, int, ShardFacts]:
    try:
        header = json.loads((metadata or {})[_METADATA_KEY])
        facts = ShardFacts(
            shard=int(header["shard"]),
            device=str(header["device"]),
            host=str(header["host"]),
            attempts=int(header["attempts"]),
            failures=[str(failure) for failure in header["failures"]],
            started_utc=datetime.fromisoformat(header["started_utc"]),
            seconds=float(header["seconds"]),
            images=int(header["images"]),
        )
        return str(header["precision"]), int(header["first_image"]), facts
    except (KeyError, TypeError, ValueError) as error:
        raise _no_shard(path, f"its metadata is no shard's: {in_words(error)}") from error


def _matrix(path: Path, table: pa.Table, name: str) -> NDArray[Any]:
    """Return a column of lists of one length as [rows, length]."""
    column = table[name].combine_chunks()
    lengths = set(np.diff(column.offsets.to_numpy()).tolist())
    if len(lengths) != 1:
        raise _no_shard(path, f"the lists of {name!r} differ in length: {sorted(lengths)}")
    flat: NDArray[Any] = column.flatten().to_numpy()
    return flat.reshape(len(column), lengths.pop())


def _no_shard(path: Path, what: str) -> StoreError:
    fix = "delete the file; the run makes that shard again"
    return StoreError(what, where=str(path), expected="a finished shard", fix=fix)


def _no_cover(path: Path, what: str, expected: str) -> StoreError:
    fix = "delete the shards of this run and run it again"
    return StoreError(f"this shard {what}", where=str(path), expected=expected, fix=fix)
