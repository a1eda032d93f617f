"""Where the bytes of a dataset's images come from."""

from __future__ import annotations

import errno
import os
import re
import stat
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple, Protocol

from mlubench.errors import DatasetError
from mlubench.images.datasets.damage import DamagedImage

#: A larger file is damage: with its picture it would take more than a gigabyte of memory.
MAX_FILE_BYTES = 2**27
#: Faults of one file, not of its disk: another image can be read all the same.
_OF_ONE_FILE = frozenset(
    (errno.EACCES, errno.EPERM, errno.ELOOP, errno.EISDIR, errno.ENXIO, errno.ENODEV)
)
#: Of a file's mode its type and who may read it, and these of a regular file that all may read.
_TYPE_AND_READERS, _PUBLIC_FILE = 0o170444, stat.S_IFREG | 0o444
#: What ends a line, moves a cursor, or is no text at all (surrogates: bytes that are not UTF-8).
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_SUFFIXES = (".jpeg", ".jpg", ".png", ".bmp", ".webp", ".gif", ".tif", ".tiff")


class ImageStat(NamedTuple):
    """What tells that an image is unchanged without reading it: bytes, and time of change."""

    size: int
    mtime_ns: int


class ImageSource(Protocol):
    """Named images, as bytes. All of these raise DatasetError where the medium fails.

    ``read`` raises DamagedImage where one image alone cannot be read: it is too large, no file,
    or nothing that this user may read.
    """

    def names(self) -> Collection[str]:
        """Return the names of all the images there are, in no particular order."""

    def stats(self, names: Iterable[str]) -> Iterator[ImageStat]:
        """Give the sizes and times of images."""

    def read(self, name: str) -> bytes:
        """Return the bytes of one image's file, still encoded."""


@dataclass(frozen=True)
class FolderSource:
    """The files of one folder, without its sub-folders and hidden files."""

    root: Path

    def names(self) -> Collection[str]:
        """Return the names of the folder's files."""
        try:
            with os.scandir(self.root) as entries:
                return [
                    entry.name
                    for entry in entries
                    if not entry.name.startswith(".") and is_file(entry)
                ]
        except OSError as error:
            raise DatasetError(
                f"the image folder cannot be read: {error.strerror}",
                where=str(self.root),
                expected="a folder of images",
                fix="name the folder with --image_dir",
            ) from error

    def stats(self, names: Iterable[str]) -> Iterator[ImageStat]:
        """Give the sizes and times of files; what cannot be read has the size -1."""
        try:
            folder = os.open(self.root, os.O_PATH | os.O_DIRECTORY)
        except OSError as error:
            raise DatasetError(
                f"the image folder cannot be read: {error.strerror}",
                where=str(self.root),
                fix="see whether it is there and may be read",
            ) from error
        try:
            for name in names:
                try:
                    # 50,000 times: a Path, or the way down to the folder, would double it.
                    facts = os.stat(self._below(name), dir_fd=folder)
                except OSError as error:
                    yield self._faulty(name, error)
                    continue
                public = facts.st_mode & _TYPE_AND_READERS == _PUBLIC_FILE
                readable = public or self._is_readable(name, facts.st_mode)
                # Once it may be read it is another image, though no time has changed.
                yield ImageStat(facts.st_size if readable else -1, facts.st_mtime_ns)
        finally:
            os.close(folder)

    def _is_readable(self, name: str, mode: int) -> bool:
        return stat.S_ISREG(mode) and os.access(self._path(name), os.R_OK)

    def _faulty(self, name: str, error: OSError) -> ImageStat:
        if self._is_alone(name, error):
            return ImageStat(-1, 0)
        raise self._unreadable(name, error) from error

    def read(self, name: str) -> bytes:
        """Return the bytes of one file."""
        try:
            return _file_bytes(self._path(name))
        except OSError as error:
            if self._is_alone(name, error):
                reason = error.strerror or type(error).__name__
                raise DamagedImage("unreadable", reason) from error
            raise self._unreadable(name, error) from error

    def _is_alone(self, name: str, error: OSError) -> bool:
        """Tell whether a fault is of this file alone; a link to nowhere is, a lost file is not."""
        lost = error.errno == errno.ENOENT
        return error.errno in _OF_ONE_FILE or (lost and Path(self._path(name)).is_symlink())

    def _path(self, name: str) -> str:
        return f"{self.root}/{self._below(name)}"

    def _below(self, name: str) -> str:
        """Return the path of a file below the folder."""
        return name

    def _unreadable(self, name: str, error: OSError) -> DatasetError:
        return DatasetError(
            f"the image cannot be read: {error.strerror}",
            where=self._path(name),
            fix="see whether the file is still there, may be read, and its disk is well",
        )


@dataclass(frozen=True)
class TreeSource(FolderSource):
    """Files below a folder, called by other names than their paths: ``paths`` has these."""

    paths: Mapping[str, str]

    def names(self) -> Collection[str]:
        """Return the names of the images."""
        return self.paths.keys()

    def _below(self, name: str) -> str:
        return self.paths[name]


def is_file(entry: os.DirEntry[str]) -> bool:
    """Tell whether an entry of a folder is a file, or a link of which that cannot be said."""
    try:
        return entry.is_file()
    except OSError:  # links in a circle: told when the image is read
        return True


def checked_bytes(size: int) -> int:
    """Return the size of an image's file.

    Raises:
        DamagedImage: it is larger than any image is.
    """
    if size > MAX_FILE_BYTES:
        raise DamagedImage("too large", f"a file of {size} bytes; at most {MAX_FILE_BYTES}")
    return size


def _file_bytes(path: str) -> bytes:
    """Return the bytes of a file; a pipe would be waited for, a device read without end."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        facts = os.fstat(descriptor)
        if not stat.S_ISREG(facts.st_mode):
            raise DamagedImage("unreadable", "it is no file, but a folder, a pipe or a device")
        checked_bytes(facts.st_size)
        with open(descriptor, "rb", buffering=0, closefd=False) as stream:
            return stream.read()
    finally:
        os.close(descriptor)


def is_image(path: str) -> bool:
    """Tell whether a file's name is an image's; what it holds is found out in decoding."""
    return path.lower().endswith(_SUFFIXES) and not base_name(path).startswith(".")


# The two are called for each of 50,000 images; pathlib takes ten times as long.
def base_name(path: str) -> str:
    """Return a path's last part, with ``/`` between the parts."""
    return path.rpartition("/")[2]


def folder_name(path: str) -> str:
    """Return the name of the folder that a path's last part lies in; empty where it has none."""
    return base_name(path.rpartition("/")[0])


def unique_names(named: Iterable[tuple[str, str]], *, where: str) -> Mapping[str, str]:
    """Return the paths of images by their names.

    Args:
        named: (name, path) of each image.
        where: the medium, for the message.

    Raises:
        DatasetError: two images have one name, or a name is not UTF-8 or has a line end or
            another control character, which no report can hold.
    """
    paths: dict[str, str] = {}
    for name, path in named:
        if name in paths:
            raise DatasetError(
                f"two images are called {name}: {paths[name]} and {path}",
                where=where,
                expected="a name of its own for each image, whatever folder it is in",
                fix="remove or rename one of the two",
            )
        if _UNPRINTABLE.search(name):
            fault = "has a control character" if _is_text(name) else "is not UTF-8"
            raise DatasetError(
                f"the name {printable(name)} {fault}",
                where=where,
                expected="images whose names are a line of text",
                fix="rename the image",
            )
        paths[name] = path
    return MappingProxyType(paths)


def printable(name: str) -> str:
    """Return a name with what no report can hold escaped as Python does: bytes, line ends."""
    return _UNPRINTABLE.sub(lambda found: ascii(found[0])[1:-1], name)


def _is_text(name: str) -> bool:
    """Tell whether a name was UTF-8; other bytes became surrogates, which UTF-8 has not got."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
