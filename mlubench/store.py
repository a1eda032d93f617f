"""Content-addressed files: written under a temporary name, synced, renamed.

Everything that a run keeps goes through here, so that a reader never sees a half-written
file, a killed run leaves nothing that looks finished, and two runs at once build one entry.

An entry of a :class:`Store` is a folder ``<root>/<kind>/<key>/`` whose ``manifest.json``
holds the parts of its key and the size and SHA-256 of each of its files. An entry that does
not match its manifest is rebuilt.

This module is read by the device workers too: standard library only, Python 3.7 syntax.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import re
import shutil
from pathlib import Path
from typing import Any, Callable, Iterator, Mapping

from mlubench.errors import StoreError

MANIFEST = "manifest.json"
#: A file or folder that is being written: this, the writer's process, its name to be. The writer
#: holds a lock on it, which tells it from what a dead one left.
TEMPORARY = ".tmp-"
_CHUNK = 1 << 20


def content_key(parts: Mapping[str, Any]) -> str:
    """Return 32 hex digits of the SHA-256 of ``parts`` as canonical JSON (sorted, compact)."""
    return hashlib.sha256(canonical_json(parts)).hexdigest()[:32]


def canonical_json(value: Any) -> bytes:
    """Return ``value`` as JSON whose bytes depend on nothing but the value."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return text.encode("utf-8")


def sha256_file(path: Path) -> str:
    """Return the SHA-256 of a file as 64 hex digits.

    Raises:
        StoreError: the file cannot be read.
    """
    digest = hashlib.sha256()
    try:
        with path.open("rb") as stream:
            for block in iter(lambda: stream.read(_CHUNK), b""):
                digest.update(block)
    except OSError as error:
        raise store_error(error, path, "read") from error
    return digest.hexdigest()


def source_digest(*places: Path) -> str:
    """Return the SHA-256 of Python files, and of those below folders, with their names.

    It goes into the content keys of what that code makes, so that a changed program never
    takes what an older one left for its own.
    """
    digest = hashlib.sha256()
    for place in places:
        for file in sorted(place.rglob("*.py")) if place.is_dir() else [place]:
            digest.update(file.relative_to(place.parent).as_posix().encode("utf-8") + b"\0")
            digest.update(file.read_bytes() + b"\0")
    return digest.hexdigest()


def make_folder(path: Path) -> None:
    """Make a folder and those above it, unless it is there.

    Raises:
        StoreError: it cannot be made.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise store_error(error, path, "made") from error


@contextlib.contextmanager
def atomic_path(path: Path, *, lasting: bool = True) -> Iterator[Path]:
    """Give an empty temporary file beside ``path``; on success sync it and rename it to ``path``.

    Args:
        path: the file to be; what is there is replaced.
        lasting: whether it is to be there after a fall of the whole machine, which takes a disk
            milliseconds. What is read at once and removed need not be.

    Raises:
        StoreError: the folder cannot be written (full, read-only, no permission, not a folder).
    """
    make_folder(path.parent)
    with _renamed(path, lasting, _make_file) as temporary:
        yield temporary
        if lasting:
            _sync(temporary)


def write_atomic(path: Path, data: bytes) -> None:
    """Write a whole file atomically. Raises :class:`StoreError` as :func:`atomic_path`."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)


def name_finished(written: Path, path: Path) -> None:
    """Give a whole file of the same disk its name, once it is on that disk.

    Raises:
        StoreError: as :func:`atomic_path`.
    """
    try:
        _sync(written)
        written.replace(path)
        _sync(path.parent)
    except OSError as error:
        raise store_error(error, path, "written") from error


def write_json(path: Path, value: Any) -> None:
    """Write ``value`` as indented, sorted JSON, atomically."""
    text = json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
    write_atomic(path, text.encode("utf-8"))


@contextlib.contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Give an empty temporary folder beside ``path``; on success rename it to ``path``.

    An existing folder of that name is replaced. Every file below is synced first.

    Raises:
        StoreError: as :func:`atomic_path`.
    """
    make_folder(path.parent)
    with _renamed(path, True, _make_folder) as temporary:
        yield temporary
        for file in sorted(temporary.rglob("*")):
            _sync(file)
        _remove(path)


@contextlib.contextmanager
def _renamed(path: Path, lasting: bool, make: Callable[[Path], None]) -> Iterator[Path]:
    """Give a temporary name beside ``path``; rename it on success, remove it on failure."""
    temporary = path.with_name(f"{TEMPORARY}{os.getpid()}-{path.name}")
    with contextlib.ExitStack() as held:
        try:
            _remove(temporary)
            held.callback(os.close, _held(temporary, make))
            yield temporary
            temporary.replace(path)
            if lasting:
                _sync(path.parent)
        except OSError as error:
            _remove(temporary)
            raise store_error(error, path, "written") from error
        except BaseException:
            _remove(temporary)
            raise


def _make_file(path: Path) -> None:
    path.touch()


def _make_folder(path: Path) -> None:
    path.mkdir(exist_ok=True)


def _held(temporary: Path, make: Callable[[Path], None]) -> int:
    """Make what is written to and lock it, so that :func:`sweep` lets it be; return its handle."""
    while True:
        make(temporary)
        with contextlib.suppress(FileNotFoundError), contextlib.ExitStack() as held:
            handle = os.open(str(temporary), os.O_RDONLY)
            held.callback(os.close, handle)
            with contextlib.suppress(OSError):  # a file system without such locks is never swept
                fcntl.flock(handle, fcntl.LOCK_EX)
            if os.path.samestat(os.fstat(handle), temporary.stat()):
                held.pop_all()
                return handle
        # It was swept between two of these steps.


def sweep(root: Path) -> None:
    """Remove what writers that are dead left half-written below a folder.

    What is being written is locked by its writer and stays; so does what nobody may remove.
    """
    for folder, folders, files in os.walk(str(root)):
        left = [name for name in folders + files if re.match(TEMPORARY + "[0-9]+-", name)]
        folders[:] = [name for name in folders if name not in left]
        for name in left:
            with contextlib.suppress(OSError), _open(Path(folder) / name) as handle:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                _remove(Path(folder) / name)


@contextlib.contextmanager
def _open(path: Path) -> Iterator[int]:
    handle = os.open(str(path), os.O_RDONLY)
    try:
        yield handle
    finally:
        os.close(handle)


@contextlib.contextmanager
def locked(path: Path, *, shared: bool = False) -> Iterator[None]:
    """Hold a lock on ``path`` (made if absent), waiting for another holder.

    The kernel frees it when the process ends, however it ends.

    Args:
        path: the lock's file.
        shared: several may hold it so at once, but nobody alone.
    """
    with _open_lock(path) as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_SH if shared else fcntl.LOCK_EX)
        except OSError as error:
            raise store_error(error, path, "locked") from error
        yield


@contextlib.contextmanager
def locked_if_free(path: Path) -> Iterator[bool]:
    """As :func:`locked`, but yield False at once where somebody else holds the lock."""
    with _open_lock(path) as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in (errno.EWOULDBLOCK, errno.EACCES):
                raise store_error(error, path, "locked") from error
            yield False
        else:
            yield True


class Store:
    """Entries under a content key, built once whoever asks, checked at every use.

    Args:
        root: the folder of the store; made when the first entry is built.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def path(self, kind: str, parts: Mapping[str, Any]) -> Path:
        """Return where the entry lies or would lie."""
        return self.root / kind / content_key(parts)

    def get(
        self,
        kind: str,
        parts: Mapping[str, Any],
        build: Callable[[Path], None],
        thorough: bool = True,
    ) -> Path:
        """Return the entry's folder; call ``build(folder)`` first where it is absent or damaged.

        Args:
            kind: the sort of entry, a folder name such as ``compiled``.
            parts: everything that affects the entry's content, as JSON values.
            build: fills an empty folder; an exception leaves no entry behind.
            thorough: whether bytes are compared, or sizes alone where that would take minutes.

        Raises:
            StoreError: the store cannot be written.
        """
        entry = self.path(kind, parts)
        with locked(entry.with_name(f"{entry.name}.lock")):
            if entry_damage(entry, parts, thorough) is not None:
                self._sweep(entry)
                self._make(entry, parts, build)
            note_use(entry)
        return entry

    def _make(self, entry: Path, parts: Mapping[str, Any], build: Callable[[Path], None]) -> None:
        with atomic_folder(entry) as folder:
            build(folder)
            write_json(folder / MANIFEST, _manifest(folder, parts))

    @staticmethod
    def _sweep(entry: Path) -> None:
        """Remove what a killed build of this entry left; the lock is held, so none is alive."""
        for leftover in entry.parent.glob(f"{TEMPORARY}*-{entry.name}"):
            _remove(leftover)


def note_use(entry: Path) -> None:
    """Make now the time of an entry's last use, which its manifest bears."""
    with contextlib.suppress(OSError):  # a store that can only be read serves as well
        os.utime(entry / MANIFEST)


def entry_damage(
    entry: Path, parts: Mapping[str, Any] | None = None, thorough: bool = True
) -> str | None:
    """Return what is wrong with an entry, or None where it matches its manifest to the byte.

    Where it is not to be thorough, files of the right size are taken for right.
    """
    try:
        manifest = json.loads((entry / MANIFEST).read_bytes())
    except FileNotFoundError:
        return "it is absent or was never finished"
    except (OSError, ValueError) as error:
        return f"its manifest cannot be read: {error}"
    if not isinstance(manifest, dict) or not {"parts", "files"} <= set(manifest):
        return "its manifest is none"
    if parts is not None and manifest["parts"] != json.loads(canonical_json(parts)):
        return "its manifest names another content"
    try:
        return _file_damage(entry, manifest["files"], thorough)
    except (AttributeError, KeyError, TypeError, ValueError):
        return "its manifest is none"


def _file_damage(entry: Path, files: Mapping[str, Mapping[str, Any]], thorough: bool) -> str | None:
    for name, facts in files.items():
        file = entry / name
        if not file.is_file() or file.stat().st_size != facts["bytes"]:
            return f"{name} is missing or has another size"
        if thorough and sha256_file(file) != facts["sha256"]:
            return f"the bytes of {name} have changed"
    return None


def _manifest(folder: Path, parts: Mapping[str, Any]) -> dict[str, Any]:
    files = {
        file.relative_to(folder).as_posix(): {
            "bytes": file.stat().st_size,
            "sha256": sha256_file(file),
        }
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    }
    return {"parts": dict(parts), "files": files}


@contextlib.contextmanager
def _open_lock(path: Path) -> Iterator[Any]:
    make_folder(path.parent)
    try:
        stream = path.open("ab")
    except OSError as error:
        raise store_error(error, path, "written") from error
    with stream:
        yield stream


def _sync(path: Path) -> None:
    """Ask the kernel to put a file or folder on the disk before it is named as finished."""
    with _open(path) as handle:
        os.fsync(handle)


def _remove(path: Path) -> None:
    """Remove a file or folder, if it is there and may be removed."""
    with contextlib.suppress(OSError):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(str(path), ignore_errors=True)
        else:
            path.unlink()


def store_error(error: OSError, path: Path, verb: str) -> StoreError:
    """Return what a disk refused, in words.

    Args:
        error: what was raised.
        path: the file or folder.
        verb: what it cannot be: ``read``, ``written``.
    """
    reason = error.strerror or str(error)
    fix = {
        errno.ENOSPC: "free space on that disk and run the command again; what is done is kept",
        errno.EDQUOT: "free space of this user's and run the command again; what is done is kept",
        errno.EFBIG: "raise this user's limit on the size of a file (ulimit -f)",
        errno.EACCES: "give this user the right to write there, or name another folder",
        errno.EROFS: "name a folder on a disk that can be written",
        errno.EEXIST: "a file is where a folder should be; move it away, or name another folder",
        errno.ENOTDIR: "a part of that path is a file; name another folder",
        errno.ENAMETOOLONG: "use a shorter path",
    }.get(error.errno or 0, "see whether the path exists and can be written")
    return StoreError(f"cannot be {verb}: {reason}", where=str(path), fix=fix)
