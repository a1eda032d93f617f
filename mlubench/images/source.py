"""Where the bytes of a dataset's images come from."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple, Protocol

from mlubench.errors import DatasetError

_SUFFIXES = (".jpeg", ".jpg", ".png", ".bmp", ".webp", ".gif", ".tif", ".tiff")


class ImageStat(NamedTuple):
    """What tells that an image is unchanged without reading it: bytes, and time of change."""

    size: int
    mtime_ns: int


class ImageSource(Protocol):
    """Named images, as bytes. All three raise DatasetError where the medium fails."""

    def names(self) -> Collection[str]:
        """Return the names of all the images there are, in no particular order."""

    def stat(self, name: str) -> ImageStat:
        """Return the size and time of one image."""

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
                    if not entry.name.startswith(".") and entry.is_file()
                ]
        except OSError as error:
            raise DatasetError(
                f"the image folder cannot be read: {error.strerror}",
                where=str(self.root),
                expected="a folder of images",
                fix="name the folder with --image_dir",
            ) from error

    def stat(self, name: str) -> ImageStat:
        """Return the size and time of one file."""
        try:
            facts = os.stat(self._path(name))  # noqa: PTH116  # called 50,000 times; half the time
        except OSError as error:
            raise self._unreadable(name, error) from error
        return ImageStat(facts.st_size, facts.st_mtime_ns)

    def read(self, name: str) -> bytes:
        """Return the bytes of one file."""
        try:
            return Path(self._path(name)).read_bytes()
        except OSError as error:
            raise self._unreadable(name, error) from error

    def _path(self, name: str) -> str:
        return f"{self.root}/{name}"

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

    def _path(self, name: str) -> str:
        return f"{self.root}/{self.paths[name]}"


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
        DatasetError: two images have one name, or a name is not UTF-8, which no report can hold.
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
        if not _is_text(name):
            raise DatasetError(
                f"the name {name.encode('utf-8', 'backslashreplace').decode()} is not UTF-8",
                where=where,
                expected="images whose names are text",
                fix="rename the image",
            )
        paths[name] = path
    return MappingProxyType(paths)


def _is_text(name: str) -> bool:
    """Tell whether a name was UTF-8; other bytes became surrogates, which UTF-8 has not got."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
