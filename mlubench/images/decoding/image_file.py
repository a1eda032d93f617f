"""Decoding: the pixels of ``cv2.imread``, but never of a damaged file.

OpenCV swallows libjpeg's warnings: from 2 % of a JPEG's bytes it returns a full-size picture.
Here a JPEG goes through simplejpeg, which is libjpeg-turbo too, gives the same pixels, and
raises on the warnings. What they mean:

=====================================  ===================================================
libjpeg's warning                      taken as
=====================================  ===================================================
Premature end of JPEG file             truncated; so is a file whose EOI marker alone is gone
premature end of data segment,         damaged data: blocks of the picture had no data or
bad Huffman / arithmetic code,         wrong data
found marker ... instead of RST,
Inconsistent progression, ...
... extraneous bytes before marker     harmless between the segments of the header, and before
                                       EOI, where every block has had its data; elsewhere
                                       damaged data
unknown JFIF revision, unknown Adobe   harmless: no block's data hangs on those segments
transform code, bad ICC marker
Invalid SOS parameters                 harmless: a sequential JPEG does not use them
=====================================  ===================================================

Bytes after EOI are no part of the picture. The limit of this: a JPEG has no checksum. Bits
that changed within its entropy-coded data often give another valid picture (four of five
single flips raise no warning), which nothing but a digest of the file can tell. A PNG has
checksums, and any change to one is found.

A small file may ask for much: for memory by its size in pixels, for time by many scans, each of
which goes over all pixels. Both are limited before anything is decoded. A PNG's texts and
profiles, which are compressed too and which no pixel hangs on, are left out.

Pictures with an Exif segment or with four components take OpenCV's own decoder, for its
rotation and its conversion from CMYK, after simplejpeg has decoded them as a check. Unusual
subsampling, which simplejpeg cannot decode, is checked for completeness alone.
"""

from __future__ import annotations

import re

import cv2
import numpy as np
import numpy.typing as npt
import simplejpeg

from mlubench.images.datasets.damage import DamagedImage
from mlubench.images.decoding.containers import (
    JPEG_MAGIC,
    PNG_MAGIC,
    JpegHeader,
    jpeg_end,
    jpeg_header,
    jpeg_scans,
    png_facts,
)

__all__ = ["MAX_PIXELS", "DamagedImage", "decode"]

#: 8192 x 8192; larger pictures are refused before anything is decoded. A progressive JPEG or a
#: PNG of 16 bits takes three to five times the 192 MiB that its pixels are in BGR.
MAX_PIXELS = 2**26
#: Pixels by scans of a JPEG. Encoders make about ten scans.
MAX_SCANNED = 2**30

_EOI = b"\xff\xd9"
_HARMLESS = re.compile(r"extraneous bytes before marker 0xd9|Could not determine subsampling")
_OTHER_FORMS = {
    b"GIF8": "GIF",
    b"BM": "BMP",
    b"RIFF": "WebP",
    b"II*\0": "TIFF",
    b"MM\0*": "TIFF",
}


def decode(data: bytes) -> npt.NDArray[np.uint8]:
    """Decode a whole image file, whatever its name says it is.

    Args:
        data: the file's bytes: JPEG or PNG.

    Returns:
        uint8 [height, width, 3], BGR, C order: exactly the pixels of
        ``cv2.imread(path, cv2.IMREAD_COLOR)``, turned as Exif asks.

    Raises:
        DamagedImage: the file is no image, is damaged or incomplete, or has too many pixels.
    """
    if data.startswith(JPEG_MAGIC):
        return _decode_jpeg(data)
    if data.startswith(PNG_MAGIC):
        (height, width), needed = png_facts(data)
        _check_size(height, width)
        return _decode_with_opencv(needed)
    raise _no_picture(data)


def _no_picture(data: bytes) -> DamagedImage:
    if not data:
        return DamagedImage("empty", "the file has no bytes")
    for magic, form in _OTHER_FORMS.items():
        if data.startswith(magic):
            return DamagedImage("unsupported form", f"{form}; JPEG and PNG can be checked")
    if JPEG_MAGIC.startswith(data) or PNG_MAGIC.startswith(data):
        return DamagedImage("truncated", f"the file has {len(data)} bytes")
    return DamagedImage("not an image", f"the file begins with {data[:16]!r}")


def _decode_jpeg(data: bytes) -> npt.NDArray[np.uint8]:
    header = jpeg_header(data)
    _check_size(header.height, header.width)
    _check_scans(data, header)
    try:
        pixels = _decode_strictly(data, header)
    except ValueError:
        _check_warning(data, header)
        return _decode_with_opencv(data)
    if header.exif or header.components == 4:
        del pixels  # they may be large, and are decoded once more
        return _decode_with_opencv(data)
    return pixels


def _decode_strictly(data: bytes, header: JpegHeader) -> npt.NDArray[np.uint8]:
    """Decode a JPEG, in its own colours if it has four; ValueError on any warning."""
    colours = "CMYK" if header.components == 4 else "BGR"
    pixels: npt.NDArray[np.uint8] = simplejpeg.decode_jpeg(data, colours, strict=True)
    return pixels


def _check_warning(data: bytes, header: JpegHeader) -> None:
    """Raise DamagedImage unless all the warnings that a JPEG raises are harmless.

    simplejpeg tells the first warning alone, and a harmless one may hide another. So the
    picture is decoded anew without what raises the harmless ones. Superfluous bytes before EOI
    can stay: nothing comes after them.
    """
    end = jpeg_end(data, header.scan)
    scans = data[header.scan : end] + _EOI
    if header.sequential:
        scans = _with_sequential_parameters(scans)
    try:
        _decode_strictly(_without(data[: header.scan], header.superfluous) + scans, header)
    except ValueError as error:
        if not _HARMLESS.search(str(error)):
            raise DamagedImage("damaged data", str(error)) from error


def _without(data: bytes, ranges: tuple[tuple[int, int], ...]) -> bytes:
    for begin, end in reversed(ranges):
        data = data[:begin] + data[end:]
    return data


def _with_sequential_parameters(scans: bytes) -> bytes:
    """Set the last three bytes of the first SOS to what they must be (T.81, table B.3)."""
    end = 2 + int.from_bytes(scans[2:4])
    return scans[: end - 3] + b"\x00\x3f\x00" + scans[end:]


def _decode_with_opencv(data: bytes) -> npt.NDArray[np.uint8]:
    try:
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error as error:
        raise DamagedImage("unsupported form", f"OpenCV refuses it: {error.err}") from error
    if pixels is None:
        raise DamagedImage("damaged data", "OpenCV cannot decode it")
    return pixels.astype(np.uint8, copy=False)


def _check_scans(data: bytes, header: JpegHeader) -> None:
    """Raise DamagedImage where a picture has more scans than any encoder makes."""
    if not header.several_scans:
        return
    most = MAX_SCANNED // max(header.height * header.width, 1)
    scans = jpeg_scans(data, header.scan)
    if scans > most:
        raise DamagedImage(
            "too large",
            f"{scans} scans of {header.height} x {header.width} pixels; at most {most}",
        )


def _check_size(height: int, width: int) -> None:
    if height * width > MAX_PIXELS:
        raise DamagedImage("too large", f"{height} x {width} pixels; at most {MAX_PIXELS}")
