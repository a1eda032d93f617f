"""Images in a tar archive, read where they lie, without unpacking it.

The archive's headers are read once, 512 bytes for each member; an image is then one read at a
known offset. A compressed archive cannot be read so and is refused.

Source of the format: POSIX.1-2017, pax, "ustar Interchange Format" and "pax Header Block"; GNU
tar's manual, "Basic Tar Format" (long names, numbers to the base of 256).
"""

from __future__ import annotations

import os
import re
import struct
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from mlubench.errors import DatasetError
from mlubench.images.datasets.source import (
    ImageStat,
    base_name,
    checked_bytes,
    is_image,
    unique_names,
)

#: No image's file is larger; what claims to be is refused before it is read.
MAX_MEMBER_BYTES = 2**30

_BLOCK = 512
_ZEROS = bytes(_BLOCK)
#: name, size, checksum, type, magic and prefix of a header; the rest is not looked at.
_HEADER = struct.Struct("100s 24x 12s 12x 8s c 100x 6s 82x 155s 12x")
_OCTAL = re.compile(rb" *([0-7]*)[ \0]*")
_PAX_RECORD = re.compile(rb"([1-9][0-9]{0,8}) ")
_PAX_SIZE = re.compile(rb"[0-9]{1,20}")
_FILES, _FOLDER = frozenset({b"0", b"\0", b"7"}), b"5"
_LONG_NAME, _LONG_LINK, _PAX, _PAX_GLOBAL = b"L", b"K", b"x", b"g"
#: Headers that describe the next member are small.
_MAX_EXTENSION_BYTES = 2**20
_KINDS = {b"1": "a link", b"2": "a link", b"3": "a device", b"4": "a device", b"6": "a pipe"}


class Member(NamedTuple):
    """A file of an archive: its path in it, where its bytes begin, how many there are."""

    path: str
    offset: int
    size: int


@dataclass(frozen=True)
class TarSource:
    """The images of a tar archive.

    Args:
        archive: the file.
        members: its images by their names.
        state: the archive's size and time of change when its headers were read.
    """

    archive: Path
    members: Mapping[str, Member]
    state: ImageStat

    @classmethod
    def open(cls, archive: Path, name_of: Callable[[str], str] = base_name) -> TarSource:
        """Read an archive's headers.

        Args:
            archive: the file.
            name_of: gives the name of an image from its path.

        Raises:
            DatasetError: it is no tar archive, is truncated, or has a member that is no plain
                file or folder, lies outside the archive's own folder or is absurdly large; or
                two images have one name.
        """
        images = [member for member in _members(archive) if is_image(member.path)]
        paths = unique_names(
            ((name_of(member.path), member.path) for member in images), where=str(archive)
        )
        members = dict(zip(paths, images, strict=True))
        return cls(archive, MappingProxyType(members), _state(archive))

    def names(self) -> Collection[str]:
        """Return the names of the images."""
        return self.members.keys()

    def stats(self, names: Iterable[str]) -> Iterator[ImageStat]:
        """Give the sizes of images and the time of change of the archive."""
        return (ImageStat(self.members[name].size, self.state.mtime_ns) for name in names)

    def read(self, name: str) -> bytes:
        """Return the bytes of one image's file."""
        member = self.members[name]
        checked_bytes(member.size)
        try:
            with self.archive.open("rb", buffering=0) as stream:
                data = os.pread(stream.fileno(), member.size, member.offset)
        except OSError as error:
            raise _unreadable(self.archive, error) from error
        if len(data) < member.size or _state(self.archive) != self.state:
            raise DatasetError(
                "the archive was changed while it was being read",
                where=f"{self.archive}, {member.path}",
                fix="run the command again when nothing writes to it",
            )
        return data


def _state(archive: Path) -> ImageStat:
    try:
        facts = archive.stat()
    except OSError as error:
        raise _unreadable(archive, error) from error
    return ImageStat(facts.st_size, facts.st_mtime_ns)


def _members(archive: Path) -> list[Member]:
    """Return the files of an archive in its order."""
    try:
        with archive.open("rb", buffering=0) as stream:
            # Without this the kernel reads ahead behind each header, in the end the whole file.
            os.posix_fadvise(stream.fileno(), 0, 0, os.POSIX_FADV_RANDOM)
            size = os.fstat(stream.fileno()).st_size
            return list(_walk(archive, stream.fileno(), size))
    except OSError as error:
        raise _unreadable(archive, error) from error


def _walk(archive: Path, file: int, end: int) -> Iterator[Member]:
    position, long_name, extended = 0, b"", dict[str, bytes]()
    while (block := os.pread(file, _BLOCK, position)) != _ZEROS:
        name, size, kind = _header(block, archive, position)
        size = _checked_size(int(extended.get("size", size)), position, end, archive, name)
        position += _BLOCK
        if kind in (_LONG_NAME, _LONG_LINK, _PAX, _PAX_GLOBAL):
            body = _extension(file, position, size, archive)
            if kind == _LONG_NAME:
                long_name = body.rstrip(b"\0")
            elif kind == _PAX:
                extended = _pax_records(body, archive, position)
        else:
            path = _checked_path(extended.get("path") or long_name or name, kind, archive)
            if kind != _FOLDER:
                yield Member(path, position, size)
            long_name, extended = b"", {}
        position += -(-size // _BLOCK) * _BLOCK


def _header(block: bytes, archive: Path, position: int) -> tuple[bytes, int, bytes]:
    """Return name, size and type of a header block.

    Raises:
        DatasetError: the archive ends here, or the block is no header.
    """
    if len(block) < _BLOCK:
        raise _no_header(archive, position) if block and position == 0 else _truncated(archive)
    name, size, checksum, kind, magic, prefix = _HEADER.unpack(block)
    # The checksum is the sum of the header's bytes, its own field taken as 8 spaces.
    if _number(checksum) != sum(block) - sum(checksum) + 8 * ord(" "):
        raise _no_header(archive, position)
    name = name.partition(b"\0")[0]
    if magic == b"ustar\0" and prefix[0]:
        name = prefix.partition(b"\0")[0] + b"/" + name
    number = _number(size)
    return name, MAX_MEMBER_BYTES + 1 if number is None else number, kind


def _number(field: bytes) -> int | None:
    """Return a header's number, octal or to the base of 256; None where it is neither."""
    if field[0] == 0x80:
        return int.from_bytes(field[1:])
    found = _OCTAL.fullmatch(field)
    return int(found[1] or b"0", 8) if found else None


def _checked_size(size: int, position: int, end: int, archive: Path, name: bytes) -> int:
    if size > MAX_MEMBER_BYTES:
        raise DatasetError(
            f"a member of more than {MAX_MEMBER_BYTES} bytes",
            where=f"{archive}, {_shown(name)}",
            expected="images",
            fix="pack the images alone into the archive",
        )
    if position + _BLOCK + size > end:
        raise _truncated(archive)
    return size


def _checked_path(raw: bytes, kind: bytes, archive: Path) -> str:
    """Return a member's path; refuse what no archive of images has.

    Nothing is unpacked, so such a member could do no harm. But it shows that the archive is not
    what it is taken for.
    """
    path = raw.decode("utf-8", "surrogateescape")
    fault = ""
    if kind not in _FILES and kind != _FOLDER:
        fault = f"is {_KINDS.get(kind, f'of the type {kind!r}')}"
    elif path.startswith("/") or ".." in path.split("/"):
        fault = "lies outside the archive's own folder"
    elif not path or "\0" in path:
        fault = "has no name that a file can have"
    if fault:
        raise DatasetError(
            f"a member {fault}",
            where=f"{archive}, {_shown(raw)}",
            expected="plain files and folders",
            fix="pack the images alone into the archive",
        )
    return path


def _extension(file: int, position: int, size: int, archive: Path) -> bytes:
    if size > _MAX_EXTENSION_BYTES:
        raise DatasetError(
            f"a header of {size} bytes at byte {position}",
            where=str(archive),
            expected=f"at most {_MAX_EXTENSION_BYTES}",
            fix="pack the images anew",
        )
    return os.pread(file, size, position)


def _pax_records(body: bytes, archive: Path, position: int) -> dict[str, bytes]:
    """Return the records of a pax header: length, space, key, equals sign, value, line feed."""
    records: dict[str, bytes] = {}
    at = 0
    while at < len(body):
        found = _PAX_RECORD.match(body, at)
        end = at + int(found[1]) if found else 0
        key, equals, value = body[found.end() if found else at : end - 1].partition(b"=")
        if not equals or end > len(body) or body[end - 1 : end] != b"\n":
            raise _bad_pax(archive, position)
        records[key.decode("utf-8", "replace")] = value
        at = end
    sparse = any(key.startswith("GNU.sparse") for key in records)
    if sparse or not _PAX_SIZE.fullmatch(records.get("size", b"0")):
        raise _bad_pax(archive, position)
    return records


def _bad_pax(archive: Path, position: int) -> DatasetError:
    return DatasetError(
        f"the pax header at byte {position} is damaged, or of a sparse file",
        where=str(archive),
        expected="records of length, key and value",
        fix="fetch the archive anew, or pack the images anew",
    )


def _shown(name: bytes) -> str:
    return name.decode("utf-8", "backslashreplace")


def _no_header(archive: Path, position: int) -> DatasetError:
    return DatasetError(
        "is no tar archive" if position == 0 else f"has no header at byte {position}",
        where=str(archive),
        expected="an uncompressed tar archive, such as ILSVRC2012_img_val.tar",
        fix="decompress it (gunzip) if it is compressed, or fetch it anew",
    )


def _truncated(archive: Path) -> DatasetError:
    return DatasetError(
        "the archive is truncated: it ends before its end mark",
        where=str(archive),
        expected="a whole archive",
        fix="fetch it anew, or see whether it is still being written",
    )


def _unreadable(archive: Path, error: OSError) -> DatasetError:
    return DatasetError(
        f"the archive cannot be read: {error.strerror}",
        where=str(archive),
        expected="a tar archive of images",
        fix="see whether the file is there, may be read, and its disk is well",
    )
