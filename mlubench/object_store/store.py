"""A store of artifacts: entries are published whole, fetched to the byte, and listed."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Callable, Collection, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

from pyarrow import fs as arrow

from mlubench.errors import ConfigError, DepotError
from mlubench.object_store.address import Address
from mlubench.object_store.filesystem import (
    look,
    open_filesystem,
    other_bytes,
    store_failed,
    wrong_store,
)
from mlubench.object_store.manifest import (
    LAYOUT,
    LAYOUT_FILE,
    Manifest,
    is_key,
    key_of,
    manifest_folder,
    manifest_object,
    read_manifest,
    write_manifest,
)
from mlubench.object_store.transfer import (
    CHUNK_BYTES,
    THREADS,
    Counted,
    Progress,
    Source,
    at_once,
    untold,
)
from mlubench.sealed import open_sealed, sealed_json
from mlubench.store import atomic_folder, atomic_path

Result = TypeVar("Result")


#: More than any manifest has, which takes some 100 bytes for a file.
_SMALL_BYTES = 16 << 20


class _WrongObjectError(Exception):
    """An object is missing, or is not what its manifest says."""


class _NotThereError(Exception):
    """The store has no such entry."""


class Depot:
    """A store of artifacts.

    Args:
        address: where it is.
        remark: told what is damaged there, a line each.

    Attributes:
        failed: why the store was left alone from then on; None where it was not.

    Raises:
        ConfigError: AWS, whose bucket it is, does not say where that is.
    """

    def __init__(self, address: Address, remark: Callable[[str], None]) -> None:
        self.address = address
        self.remark = remark
        self.failed: DepotError | None = None
        self._files = _opened(address)
        self._damaged: set[tuple[str, str]] = set()

    def check(self) -> None:
        """Check that the store is there and can be written, before anything is done.

        Raises:
            ConfigError: it is not, it cannot be, or it is laid out otherwise.
        """
        try:
            look(self.address, self._files)
            self._check_layout(self._read(LAYOUT_FILE))
            written = sealed_json({"layout": LAYOUT})
            self._write(LAYOUT_FILE, [written])
            if self._read(LAYOUT_FILE) != written:
                raise other_bytes(self.address)
        except OSError as error:
            raise wrong_store(error, self.address) from error

    def _check_layout(self, data: bytes | None) -> None:
        try:
            layout = LAYOUT if data is None else open_sealed(data).get("layout")
        except ValueError:
            return  # half-written; it is written again
        if layout != LAYOUT:
            raise ConfigError(
                f"what lies there is laid out as number {layout}",
                where=self.address.text,
                expected=f"layout {LAYOUT}",
                fix="use the version of mlubench that wrote it, or name another prefix",
            )

    def names(self, kind: str) -> list[str]:
        """Return the keys of all entries of a kind, sorted, by their manifests alone.

        Raises:
            DepotError: the store fails.
        """
        folder = arrow.FileSelector(self._path(manifest_folder(kind)), allow_not_found=True)
        with self._told():
            found = self._files.get_file_info(folder)
        return sorted(key for one in found if (key := key_of(one.base_name)) is not None)

    def manifest(self, kind: str, key: str) -> Manifest | None:
        """Return what an entry consists of; None where there is no entry.

        Raises:
            DepotError: the store fails.
        """
        if not is_key(key):
            return None
        # Its size is asked for before its bytes are: one that is replaced meanwhile comes in half.
        with suppress(ValueError):
            return self._read_manifest(kind, key)
        try:
            return self._read_manifest(kind, key)
        except ValueError as error:
            self._tell_damage(kind, key, f"its manifest is damaged: {error}")
            return None

    def _read_manifest(self, kind: str, key: str) -> Manifest | None:
        with self._told():
            data = self._read(manifest_object(kind, key))
        return None if data is None else read_manifest(data, kind, key)

    def publish(
        self,
        kind: str,
        key: str,
        sources: Iterable[Source],
        progress: Progress = untold,
    ) -> None:
        """Write an entry: all its objects, then the manifest, in place of the one before.

        Objects that the manifest before names are there already, unless one was found damaged.

        Args:
            kind: the sort of entry.
            key: its name among those.
            sources: its files.
            progress: called with bytes written and bytes in all.

        Raises:
            DepotError: the store fails.
            StoreError: a file cannot be read.
        """
        with ThreadPoolExecutor(THREADS) as pool:
            files = dict(pool.map(lambda source: (source, source.facts()), sources))
        manifest = Manifest(kind, key, {one.name: facts for one, facts in files.items()})
        before = None if (kind, key) in self._damaged else self.manifest(kind, key)
        if before == manifest:
            return
        there = before.files if before else {}
        lacking = [one for one, facts in files.items() if there.get(one.name) != facts]
        counted = Counted(sum(files[one].bytes for one in lacking), progress)

        def write(source: Source) -> None:
            self._write(manifest.object_of(source.name), counted(source.chunks()))

        with self._told():
            at_once(write, lacking, counted.tell)
            self._write(manifest_object(kind, key), [write_manifest(manifest)])
        self._damaged.discard((kind, key))

    def publish_if_absent(self, kind: str, key: str, sources: Iterable[Source]) -> None:
        """Write an entry unless a sound one is there; two hosts' need not be the same to the byte.

        Raises:
            DepotError: the store fails.
            StoreError: a file cannot be read.
        """
        if (kind, key) in self._damaged or self.manifest(kind, key) is None:
            self.publish(kind, key, sources)

    def attempt(self, work: Callable[[], Result], otherwise: Result) -> Result:
        """Do what a run can do without; once the store has failed it is left alone.

        Args:
            work: uses the store.
            otherwise: what is returned where the store fails.
        """
        if self.failed is None:
            try:
                return work()
            except DepotError as error:
                self.failed = error
                self.remark(f"{error.where}: {error.what}; the run goes on without it")
        return otherwise

    def fetch(
        self,
        kind: str,
        key: str,
        folder: Path,
        only: Collection[str] | None = None,
        progress: Progress = untold,
    ) -> bool:
        """Fetch an entry's files into a folder, each checked to the byte before it has its name.

        Args:
            kind: the sort of entry.
            key: its name among those.
            folder: where the files go.
            only: names of the files that are wanted; those that are not in the entry are left out.
            progress: called with bytes fetched and bytes in all.

        Returns:
            Whether it is there. A damaged entry is not: what is wrong with it is a remark.

        Raises:
            DepotError: the store fails.
            StoreError: the folder cannot be written.
        """
        manifest = self.manifest(kind, key)
        if manifest is None:
            return False
        names = [name for name in manifest.files if only is None or name in only]
        counted = Counted(sum(manifest.files[name].bytes for name in names), progress)

        def fetch(name: str) -> None:
            with atomic_path(folder / name) as written, written.open("wb") as stream:
                self._fetched(manifest, name, stream, counted)

        try:
            at_once(fetch, names, counted.tell)
        except _WrongObjectError:
            return False
        return True

    def fetch_folder(
        self,
        kind: str,
        key: str,
        folder: Path,
        is_whole: Callable[[Path], bool],
        progress: Progress = untold,
    ) -> bool:
        """Fetch an entry as a folder, which appears when it is whole.

        Args:
            kind: the sort of entry.
            key: its name among those.
            folder: the folder to be.
            is_whole: whether what was fetched is what was wanted; else there is no folder.
            progress: called with bytes fetched and bytes in all.

        Returns:
            Whether it is there, as of :meth:`fetch`.

        Raises:
            DepotError: the store fails.
            StoreError: the folder cannot be written.
        """
        try:
            with atomic_folder(folder) as new:
                if not (self.fetch(kind, key, new, progress=progress) and is_whole(new)):
                    raise _NotThereError  # noqa: TRY301  # which leaves no folder
        except _NotThereError:
            return False
        return True

    def fetch_file(self, manifest: Manifest, name: str, stream: BinaryIO) -> bool:
        """Write one file of an entry to a stream; return whether it is sound, else remark on it.

        Raises:
            DepotError: the store fails.
            OSError: the stream cannot be written.
        """
        try:
            self._fetched(manifest, name, stream, Counted(0, untold))
        except _WrongObjectError:
            return False
        return True

    def _fetched(self, manifest: Manifest, name: str, stream: BinaryIO, counted: Counted) -> None:
        place, facts = manifest.object_of(name), manifest.files[name]
        digest, size = hashlib.sha256(), 0
        try:
            for block in counted(self._chunks(place, facts.bytes)):
                digest.update(block)
                size += len(block)
                stream.write(block)
        except FileNotFoundError as error:
            raise self._damage(manifest, f"{place} is missing") from error
        if size != facts.bytes or digest.hexdigest() != facts.sha256:
            raise self._damage(manifest, f"the bytes of {place} have changed")

    def _damage(self, manifest: Manifest, what: str) -> _WrongObjectError:
        self._tell_damage(manifest.kind, manifest.key, what)
        return _WrongObjectError(what)

    def _tell_damage(self, kind: str, key: str, what: str) -> None:
        self._damaged.add((kind, key))
        self.remark(f"{self.address.text}: {kind} {key}: {what}; it is not used")

    def _chunks(self, place: str, most: int) -> Iterator[bytes]:
        """Give an object's bytes, and not more than a byte too many of them."""
        left = most + 1
        try:
            with self._open(place) as stream:
                while left and (block := stream.read(min(CHUNK_BYTES, left))):
                    left -= len(block)
                    yield block
        except FileNotFoundError:
            raise
        except OSError as error:
            raise store_failed(error, self.address) from error

    def _open(self, place: str) -> Any:
        return self._files.open_input_stream(self._path(place), compression=None)

    def _read(self, place: str) -> bytes | None:
        """Return a small object, or None where it is absent; of an endless one the beginning."""
        try:
            with self._open(place) as stream:
                return bytes(stream.read(_SMALL_BYTES))
        except FileNotFoundError:
            return None

    def _write(self, place: str, blocks: Iterable[bytes]) -> None:
        path = self._path(place)
        if self.address.scheme == "s3":  # an object appears whole
            self._write_to(path, blocks)
            return
        self._files.create_dir(path.rpartition("/")[0], recursive=True)
        part = f"{path}.{uuid.uuid4().hex}.part"
        try:
            self._write_to(part, blocks)
            self._files.move(part, path)
        except BaseException:
            with suppress(OSError):
                self._files.delete_file(part)
            raise

    def _write_to(self, path: str, blocks: Iterable[bytes]) -> None:
        with self._files.open_output_stream(path, compression=None) as stream:
            for block in blocks:
                stream.write(block)

    def _path(self, place: str) -> str:
        return f"{self.address.root}/{place}"

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Say what the store refuses."""
        try:
            yield
        except OSError as error:
            raise store_failed(error, self.address) from error


def _opened(address: Address) -> Any:
    try:
        return open_filesystem(address)
    except OSError as error:  # AWS is asked for the region of one of its own buckets
        raise wrong_store(error, address) from error
