"""What JPEG and PNG files say about themselves, read without decoding a pixel.

Sources: ITU-T T.81 annex B (JPEG markers), the Exif standard's APP1 segment, and the PNG
specification (third edition), section 5 (chunks).
"""

from __future__ import annotations

import re
import struct
import zlib
from dataclasses import dataclass

from mlubench.images.datasets.damage import DamagedImage

JPEG_MAGIC = b"\xff\xd8\xff"
PNG_MAGIC = b"\x89PNG\r\n\x1a\n"

_MARKER = re.compile(rb"\xff+([^\x00\xff])")
#: In entropy-coded data FF00 is a stuffed byte and FFD0 to FFD7 restart; the rest end it.
_END_OF_SCAN = re.compile(rb"\xff+([^\x00\xff\xd0-\xd7])")
_SOI, _EOI, _SOS, _APP1 = 0xD8, 0xD9, 0xDA, 0xE1
_LONE_MARKERS = frozenset({0x01, *range(0xD0, 0xD8)})
_SEQUENTIAL_FRAMES = frozenset({0xC0, 0xC1, 0xC9})
_APPLICATION_MARKERS = frozenset({*range(0xE0, 0xF0), 0xFE})
_COMPRESSED_EXTRAS = frozenset({b"zTXt", b"iTXt", b"iCCP"})
_FRAME_MARKERS = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}


@dataclass(frozen=True)
class JpegHeader:
    """What stands before a JPEG's first scan.

    Args:
        height: pixels, before any Exif rotation.
        width: pixels, before any Exif rotation.
        components: 1 grey, 3 colour, 4 CMYK or YCCK.
        sequential: whether it is a sequential picture, not a progressive one.
        exif: whether there is an Exif segment, which may ask for a rotation.
        superfluous: (begin, end) of what no pixel hangs on but by its colours: application
            segments, comments, and bytes between segments, which decoders skip.
        scan: where the first scan's SOS marker stands.
        several_scans: whether that scan is not the whole picture.
    """

    height: int
    width: int
    components: int
    sequential: bool
    exif: bool
    superfluous: tuple[tuple[int, int], ...]
    scan: int
    several_scans: bool


def jpeg_header(data: bytes) -> JpegHeader:
    """Read a JPEG's segments up to its first scan.

    Raises:
        DamagedImage: the data ends before the first scan, or there is no frame before it.
    """
    frame: tuple[int, int, int] | None = None
    sequential = exif = False
    position = 2
    superfluous: list[tuple[int, int]] = []
    while True:
        marker, begin, after = _next_marker(data, position)
        superfluous.append((position, begin))
        if marker == _SOS:
            break
        if marker == _EOI:
            raise DamagedImage("damaged data", "the JPEG ends before its first scan")
        body, position = _segment(data, marker, after)
        if marker in _FRAME_MARKERS:
            frame = _frame(body)
            sequential = marker in _SEQUENTIAL_FRAMES
        if marker in _APPLICATION_MARKERS:
            superfluous.append((begin, position))
            exif = exif or (marker == _APP1 and body.startswith(b"Exif\0"))
    if frame is None:
        raise DamagedImage("damaged data", "the JPEG's first scan stands before its frame header")
    height, width, components = frame
    several = not sequential or data[after + 2 : after + 3] != bytes([components])
    skipped = tuple(superfluous)
    return JpegHeader(height, width, components, sequential, exif, skipped, begin, several)


def jpeg_end(data: bytes, scan: int) -> int:
    """Return the position of the EOI marker that ends the picture whose first SOS is at ``scan``.

    Raises:
        DamagedImage: the data ends before it.
    """
    return _walk_scans(data, scan)[0]


def jpeg_scans(data: bytes, scan: int) -> int:
    """Return how many scans the picture has whose first SOS is at ``scan``.

    Raises:
        DamagedImage: the data ends before its EOI marker.
    """
    return _walk_scans(data, scan)[1]


def _walk_scans(data: bytes, scan: int) -> tuple[int, int]:
    """Return the position of the EOI marker, and the number of scans before it."""
    position, scans = scan, 0
    while True:
        marker, begin, after = _next_marker(data, position)
        if marker == _EOI:
            return begin, scans
        _, position = _segment(data, marker, after)
        if marker == _SOS:
            scans += 1
            end = _END_OF_SCAN.search(data, position)
            position = len(data) if end is None else end.start()


def png_facts(data: bytes) -> tuple[tuple[int, int], bytes]:
    """Return the (height, width) of a PNG all of whose chunks are whole, and what is needed of it.

    Needed is all but texts and profiles, which may be decompression bombs; no pixel of
    ``cv2.imread`` hangs on them.

    Raises:
        DamagedImage: the data ends before IEND, or a chunk's CRC-32 does not match.
    """
    size, position, kind = (0, 0), len(PNG_MAGIC), b""
    needed, begin = [], 0
    while kind != b"IEND":
        if position + 12 > len(data):
            raise DamagedImage("truncated", "the PNG ends before its IEND chunk")
        length, kind = struct.unpack_from(">I4s", data, position)
        end = position + 8 + length
        if end + 4 > len(data):
            raise DamagedImage("truncated", f"the PNG ends within its chunk {kind!r}")
        if zlib.crc32(memoryview(data)[position + 4 : end]) != int.from_bytes(data[end : end + 4]):
            raise DamagedImage("damaged data", f"the CRC of the PNG's chunk {kind!r} is wrong")
        if kind == b"IHDR" and length >= 8:
            width, height = struct.unpack_from(">II", data, position + 8)
            size = height, width
        if kind in _COMPRESSED_EXTRAS:
            needed.append(data[begin:position])
            begin = end + 4
        position = end + 4
    return size, b"".join((*needed, data[begin:position])) if needed else data


def _next_marker(data: bytes, position: int) -> tuple[int, int, int]:
    """Return the next marker at or after ``position``, and where it begins and ends."""
    found = _MARKER.search(data, position)
    if found is None:
        raise DamagedImage("truncated", f"the JPEG ends at byte {len(data)} without an EOI marker")
    return found[1][0], found.start(), found.end()


def _segment(data: bytes, marker: int, after: int) -> tuple[bytes, int]:
    """Return the body of the segment whose marker ends at ``after``, and where the next begins."""
    if marker in _LONE_MARKERS or marker == _SOI:
        return b"", after
    end = after + int.from_bytes(data[after : after + 2])
    if after + 2 > len(data) or end > len(data):
        raise DamagedImage("truncated", f"the JPEG ends within its segment FF{marker:02X}")
    if end < after + 2:
        raise DamagedImage("damaged data", f"the JPEG's segment FF{marker:02X} has no length")
    return data[after + 2 : end], end


def _frame(body: bytes) -> tuple[int, int, int]:
    """Return (height, width, components) of a frame header (T.81, B.2.2)."""
    if len(body) < 6:
        raise DamagedImage("damaged data", "the JPEG's frame header is too short")
    height, width, components = struct.unpack_from(">xHHB", body)
    return height, width, components
