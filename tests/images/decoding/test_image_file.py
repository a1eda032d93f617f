"""Decoding: cv2.imread's pixels of intact files, and nothing of damaged ones."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import simplejpeg
from hypothesis import given, settings
from hypothesis import strategies as st

from mlubench.images.datasets.damage import DamagedImage
from mlubench.images.decoding.image_file import MAX_PIXELS, decode
from tests.images.pictures import Pixels, imread, jpeg, picture, png, png_chunk, with_exif

PROGRESSIVE = (cv2.IMWRITE_JPEG_PROGRESSIVE, 1)
RESTARTS = (cv2.IMWRITE_JPEG_RST_INTERVAL, 2)
EOI = b"\xff\xd9"


def _cmyk(transform: int) -> bytes:
    """Return a four-component JPEG: 2 is YCCK, 0 plain CMYK (Adobe's APP14)."""
    image = np.dstack([picture(), picture(seed=2)[:, :, :1]])
    data = bytearray(simplejpeg.encode_jpeg(np.ascontiguousarray(image), colorspace="CMYK"))
    data[data.index(b"Adobe") + 11] = transform
    return bytes(data)


def _rare_subsampling() -> bytes:
    """Return a grey 24 x 16 JPEG sampled 3x1, which simplejpeg cannot name.

    A flat picture of level 128 has no coefficient but zero, so its blocks are written by hand:
    luminance 00 1010, chrominance 00 00 (T.81, tables K.3 to K.6: DC category 0, then EOB).
    """
    flat = np.full((16, 24, 3), 128, np.uint8)
    data = bytearray(jpeg(flat, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, 0x111111))
    data[data.index(b"\xff\xc0") + 11] = 0x31
    scan = data.index(b"\xff\xda") + 14
    bits = ("001010" * 3 + "0000" * 2) * 2
    bits += "1" * (-len(bits) % 8)
    return bytes(data[:scan]) + int(bits, 2).to_bytes(len(bits) // 8, "big") + EOI


def _adobe_rgb() -> bytes:
    """Return a JPEG whose three components are said to be RGB."""
    data = jpeg(picture())
    tables = data.index(b"\xff\xdb")
    return data[:2] + b"\xff\xee\x00\x0eAdobe\x00\x64\0\0\0\0\0" + data[tables:]


def _png_forms() -> dict[str, bytes]:
    image = picture()
    alpha = np.dstack([image, image[:, :, :1]])
    return {
        "png": png(image),
        "png16": png(image.astype(np.uint16) * 257),
        "png grey": png(image[:, :, 0]),
        "png alpha": png(alpha),
        "png trailing": png(image) + b"after the end",
    }


FORMS = {
    "baseline": jpeg(picture()),
    "progressive": jpeg(picture(), *PROGRESSIVE),
    "restarts": jpeg(picture(), *RESTARTS),
    "grey": jpeg(picture()[:, :, 0]),
    "one pixel": jpeg(picture(1, 1)),
    "411": jpeg(picture(), cv2.IMWRITE_JPEG_SAMPLING_FACTOR, 0x411111),
    "440": jpeg(picture(), cv2.IMWRITE_JPEG_SAMPLING_FACTOR, 0x121111),
    "rare subsampling": _rare_subsampling(),
    "cmyk": _cmyk(0),
    "ycck": _cmyk(2),
    "adobe rgb": _adobe_rgb(),
    "trailing": jpeg(picture()) + b"\0garbage after the end" * 9,
    "exif": with_exif(jpeg(picture()), 6),
    **_png_forms(),
}


@pytest.mark.parametrize("form", FORMS)
def test_pixels_of_imread(form: str, tmp_path: Path) -> None:
    ours, theirs = decode(FORMS[form]), imread(FORMS[form], tmp_path)
    assert theirs is not None
    assert ours.dtype == np.uint8
    assert ours.flags.c_contiguous
    np.testing.assert_array_equal(ours, theirs)


def test_real_images(shared_data: Path) -> None:
    """Every seventh of the real images, and the one with an Exif rotation."""
    paths = sorted((shared_data / "images").iterdir())[::7]
    for path in [*paths, shared_data / "images" / "n02951585_can_opener.JPEG"]:
        theirs = cv2.imread(str(path), cv2.IMREAD_COLOR)
        assert theirs is not None
        np.testing.assert_array_equal(decode(path.read_bytes()), theirs, err_msg=path.name)


TURNS: dict[int, Callable[[Pixels], Pixels]] = {
    1: lambda image: image,
    2: lambda image: image[:, ::-1],
    3: lambda image: image[::-1, ::-1],
    4: lambda image: image[::-1],
    5: lambda image: image.transpose(1, 0, 2),
    6: lambda image: np.rot90(image, -1),
    7: lambda image: image[::-1, ::-1].transpose(1, 0, 2),
    8: lambda image: np.rot90(image),
}


@pytest.mark.parametrize("orientation", TURNS)
def test_exif_orientations(orientation: int) -> None:
    plain = jpeg(picture())
    turned = decode(with_exif(plain, orientation))
    np.testing.assert_array_equal(turned, TURNS[orientation](decode(plain)))


def _kind(data: bytes) -> str:
    with pytest.raises(DamagedImage) as caught:
        decode(data)
    return caught.value.kind


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"", "empty"),
        (b"<html><title>404 Not Found</title></html>", "not an image"),
        (b"\0" * 5000, "not an image"),
        (FORMS["baseline"][:2], "truncated"),
        (FORMS["png"][:5], "truncated"),
        (b"GIF89a" + b"\0" * 40, "unsupported form"),
        (cv2.imencode(".bmp", picture())[1].tobytes(), "unsupported form"),
        (FORMS["baseline"][:2] + EOI + FORMS["baseline"][2:], "damaged data"),
        (FORMS["baseline"][:20] + EOI, "damaged data"),
    ],
)
def test_no_pictures(data: bytes, kind: str) -> None:
    assert _kind(data) == kind


@pytest.mark.parametrize("form", [form for form in FORMS if "trailing" not in form])
def test_truncated_anywhere(form: str) -> None:
    data = FORMS[form]
    cuts = {len(data) * percent // 100 for percent in range(5, 100, 5)}
    for cut in sorted(cuts | {len(data) - 1, len(data) - 2, len(data) - 3}):
        assert _kind(data[:cut]) == "truncated", f"{form} cut at {cut} of {len(data)}"


def test_real_image_truncated_anywhere(shared_data: Path) -> None:
    for name in ("n01440764_tench.JPEG", "n02951585_can_opener.JPEG"):
        data = (shared_data / "images" / name).read_bytes()
        for cut in [len(data) * percent // 100 for percent in range(5, 100, 5)]:
            assert _kind(data[:cut]) == "truncated", f"{name} cut at {cut}"
            assert _kind(data[:cut] + EOI) in {"damaged data", "truncated"}, f"{name} at {cut}"


def test_superfluous_bytes_are_harmless() -> None:
    """Bytes between the header's segments or before EOI take no pixel away."""
    data = jpeg(picture())
    tables, scan = data.index(b"\xff\xdb"), data.index(b"\xff\xda")
    junk = b"ab\xff\x00cdef" * 5
    for padded in (
        data[:tables] + b"junk" + data[tables:],
        data[:scan] + b"junk" + data[scan:],
        data[:-2] + junk + EOI,
        data[:tables] + b"junk" + data[tables:-2] + junk + EOI + b"behind",
    ):
        np.testing.assert_array_equal(decode(padded), decode(data))


def test_superfluous_bytes_between_restarts_are_damage() -> None:
    """No encoder writes them there: an interval whose data is left over was misread."""
    data = jpeg(picture(), *RESTARTS)
    restart = data.index(b"\xff\xd1")
    assert _kind(data[:restart] + b"superfluous bytes" + data[restart:]) == "damaged data"


def _header_quirks() -> dict[str, bytes]:
    data = jpeg(picture())
    revision = bytearray(data)
    revision[data.index(b"JFIF\0") + 5] = 9
    spectral = bytearray(data)
    spectral[data.index(b"\xff\xda") + 12] = 10
    icc = data[:2] + b"\xff\xe2\x00\x14ICC_PROFILE\0\x02\x01abcd" + data[2:]
    tables = data.index(b"\xff\xdb")
    adobe = data[:2] + b"\xff\xee\x00\x0eAdobe\x00\x64\0\0\0\0\x07" + data[tables:]
    return {
        "JFIF revision": bytes(revision),
        "SOS parameters": bytes(spectral),
        "ICC marker": icc,
        "Adobe transform": adobe,
        "junk": data[:tables] + b"junk" + data[tables:],
    }


@pytest.mark.parametrize("quirk", _header_quirks())
def test_harmless_warnings_hide_no_other(quirk: str, tmp_path: Path) -> None:
    data = _header_quirks()[quirk]
    with pytest.raises(ValueError, match=r"."):
        simplejpeg.decode_jpeg(data, "BGR", strict=True)
    theirs = imread(data, tmp_path)
    assert theirs is not None
    np.testing.assert_array_equal(decode(data), theirs)
    assert _kind(data[: len(data) * 3 // 4] + EOI) == "damaged data"
    assert _kind(data[: len(data) * 3 // 4]) == "truncated"


def test_superfluous_bytes_hide_no_lost_interval() -> None:
    data = jpeg(picture(), *RESTARTS)
    first, second = data.index(b"\xff\xd0"), data.index(b"\xff\xd1")
    lost = data[: first + 3] + data[second:-2] + b"superfluous bytes" + EOI
    assert _kind(lost) == "damaged data"


def test_bombs_are_not_decoded() -> None:
    large = bytearray(FORMS["baseline"])
    frame = large.index(b"\xff\xc0")
    large[frame + 5 : frame + 9] = b"\xff\xff\xff\xff"
    assert _kind(bytes(large)) == "too large"
    header = (20_000).to_bytes(4) + (20_000).to_bytes(4) + b"\x08\x02\0\0\0"
    bomb = b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", header) + png_chunk(b"IEND", b"")
    assert MAX_PIXELS < 20_000**2
    assert _kind(bomb) == "too large"


def test_png_damage() -> None:
    """A PNG has checksums: any flipped bit is found, wherever it lies."""
    data = png(picture(16, 16))
    for byte in range(len(data)):
        flipped = bytearray(data)
        flipped[byte] ^= 1 << byte % 8
        _kind(bytes(flipped))


def test_png_without_all_its_rows() -> None:
    header = (70).to_bytes(4) + (50).to_bytes(4) + b"\x08\x02\0\0\0"
    body = png_chunk(b"IDAT", bytes.fromhex("789c030000000001"))
    data = b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", header) + body + png_chunk(b"IEND", b"")
    assert _kind(data) == "damaged data"


@settings(max_examples=400, deadline=None)
@given(
    st.sampled_from(["baseline", "progressive", "restarts", "grey", "ycck", "exif"]),
    st.integers(0, 2**32),
    st.integers(0, 7),
)
def test_flipped_bit_in_a_jpeg(form: str, place: int, bit: int) -> None:
    """Never a crash, never other pixels than OpenCV's of the same bytes.

    A JPEG has no checksum, so a flip may well give another valid picture: that is not found.
    """
    data = bytearray(FORMS[form])
    data[place % len(data)] ^= 1 << bit
    try:
        ours = decode(bytes(data))
    except DamagedImage:
        return
    theirs = cv2.imdecode(np.frombuffer(bytes(data), np.uint8), cv2.IMREAD_COLOR)
    assert theirs is not None
    np.testing.assert_array_equal(ours, theirs)


@given(st.binary(max_size=300), st.sampled_from([b"", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"]))
def test_noise_is_refused(noise: bytes, magic: bytes) -> None:
    with pytest.raises(DamagedImage) as caught:
        decode(magic + noise)
    assert caught.value.detail
    assert str(caught.value) == f"{caught.value.kind}: {caught.value.detail}"
