"""Protocol Buffers' wire format: where the fields of a message lie in a file, and how they begin.

Source: Protocol Buffers' documentation, "Encoding".
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

#: Wire types whose contents have a length before them, and that begin and end a group.
LENGTH, _GROUPS = 2, (3, 4)
_VARINT = 0
#: Bytes of the contents by wire type: 64 and 32 bits; a group's fields come after it by themselves.
_FIXED_BYTES = {1: 8, 5: 4, 3: 0, 4: 0}
_WINDOW = 4096


class Field(NamedTuple):
    """A field of a message.

    Attributes:
        number: as the message declares it.
        wire_type: how it is written.
        start: where its key is, in bytes from the beginning of the file.
        begin: where its contents are.
        end: where the next field begins; the end of the message where it should lie after that.
    """

    number: int
    wire_type: int
    start: int
    begin: int
    end: int

    @property
    def is_group(self) -> bool:
        """Whether it is one end of a group, whose fields lie after or before it."""
        return self.wire_type in _GROUPS


def open_again(path: Path) -> BinaryIO:
    """Open a file that can be read more than once, and ends.

    Raises:
        OSError: it cannot be read, or is a pipe or a device.
    """
    mode = path.stat().st_mode
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise OSError(errno.ESPIPE, "it is a pipe or a device", str(path))
    return path.open("rb")


class FileBytes:
    """The bytes of an open file, of which little is held in memory.

    Attributes:
        size: how many there are.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.size = os.fstat(file.fileno()).st_size
        self._window, self._place = b"", 0

    def __getitem__(self, position: int) -> int:
        """Return a byte.

        Raises:
            IndexError: the file does not reach so far, for instance since it has become shorter.
        """
        if not self._place <= position < self._place + len(self._window):
            self._window, self._place = self.part(position, position + _WINDOW), position
        return self._window[position - self._place]

    def part(self, begin: int, end: int) -> bytes:
        """Return the bytes from ``begin`` to before ``end``; fewer at the end of the file."""
        self._file.seek(begin)
        return self._file.read(end - begin)


def fields(data: FileBytes, position: int, end: int) -> Iterator[Field]:
    """Give each field of a message, until the parser would refuse one.

    Groups count as the fields within them, and their two ends as fields too.
    """
    while position < end:
        start = position
        key, position = _varint(data, position, end)
        begin, wire_type = position, key & 7
        if wire_type == _VARINT:
            _, position = _varint(data, position, end)
        elif wire_type == LENGTH:
            length, begin = _varint(data, position, end)
            position = begin + length
        elif wire_type in _FIXED_BYTES:
            position += _FIXED_BYTES[wire_type]
        else:
            return
        yield Field(key >> 3, wire_type, start, begin, min(position, end))


def header(number: int, length: int) -> bytes:
    """Return what stands before a field of so many bytes: its key and its length."""
    return _number(number << 3 | LENGTH) + _number(length)


def _number(value: int) -> bytes:
    """Return a number seven bits a byte, the least first."""
    found = bytearray()
    while value > 0x7F:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    found.append(value)
    return bytes(found)


def _varint(data: FileBytes, position: int, end: int) -> tuple[int, int]:
    """Return a number of 7 bits a byte, lowest first, and where it ends."""
    value = shift = 0
    while position < end and shift < 64:
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
        shift += 7
    return value, end
