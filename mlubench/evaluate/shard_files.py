"""The files of finished shards, and where they wait until their run is complete.

A workspace belongs to the inputs, not to a run: after a kill the next run of the same inputs
finds the shards that were finished and does the others. A run that completes empties it, so the
next one measures everything anew. Two runs of the same inputs at once have a workspace each.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypedDict

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mlubench.errors import StoreError, in_words
from mlubench.evaluate.predictions import Top, list_column
from mlubench.images.decoding.cache import DecodedImages
from mlubench.images.decoding.decoder import Decoding
from mlubench.networks.compile import Compiled
from mlubench.runs.parquet import open_parquet, write_parquet
from mlubench.runs.schemas import SHARD_RESULT, SHARDS, TOP_INDEX, TOP_SCORE
from mlubench.store import canonical_json, content_key, locked_if_free, make_folder

_METADATA_KEY = b"mlubench.shard"


class Workspace:
    """A folder of finished shards, one sub-folder for each precision."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def shards(self, precision: str) -> Path:
        """Return the folder of a precision's shards, made if absent.

        Raises:
            StoreError: it cannot be made.
        """
        folder = self.folder / precision
        make_folder(folder)
        return folder

    def clear(self) -> None:
        """Remove what is kept, for its run is complete, and what killed runs of its inputs kept."""
        _remove(self.folder)
        for other in self.folder.parent.glob(f"{self.folder.stem}.*[0-9]/"):
            with locked_if_free(_lock(other)) as free:
                if free:
                    _remove(other)


@contextlib.contextmanager
def unfinished_shards(
    root: Path, images: DecodedImages | Decoding, compiled: Sequence[Compiled]
) -> Iterator[Workspace]:
    """Give the workspace of these inputs, held against other runs until the end.

    Args:
        root: folder of all workspaces.
        images: what is inferred.
        compiled: the networks; with the images they are all that a shard's result depends on.

    Raises:
        StoreError: the folder cannot be written.
    """
    networks = sorted(one.key for one in compiled)
    key = content_key({"images": images.path.parent.name, "networks": networks})
    # One that a killed run left shards in comes before one without.
    kept = sorted(root.glob(f"{key}.*[0-9]/"))
    for folder in itertools.chain(kept, (root / f"{key}.{n}" for n in itertools.count())):
        with locked_if_free(_lock(folder)) as free:
            if free:
                yield Workspace(folder)
                return


def _lock(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.lock")


def _remove(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)


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
