"""Where the bytes of a dataset's images come from."""

from __future__ import annotations

import os
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol

from mlubench.errors import DatasetError


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
            facts = (self.root / name).stat()
        except OSError as error:
            raise self._unreadable(name, error) from error
        return ImageStat(facts.st_size, facts.st_mtime_ns)

    def read(self, name: str) -> bytes:
        """Return the bytes of one file."""
        try:
            return (self.root / name).read_bytes()
        except OSError as error:
            raise self._unreadable(name, error) from error

    def _unreadable(self, name: str, error: OSError) -> DatasetError:
        return DatasetError(
            f"the image cannot be read: {error.strerror}",
            where=str(self.root / name),
            fix="see whether the file is still there, may be read, and its disk is well",
        )
