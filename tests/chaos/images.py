"""Bad images: scored exactly as OpenCV decodes the intact picture, or told by name and kind.

Every kind is made anew by lot in each trial; then forms of pictures are disturbed. All of them are
read in processes of their own, of which none may crash, hold a gigabyte, or take five seconds for
one.
"""

from __future__ import annotations

import os
import random
import struct
import zlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import cv2
import numpy as np

from mlubench.images.datasets.source import MAX_FILE_BYTES
from tests.chaos.campaign import Chance, Counts, must
from tests.chaos.inputs import bounded, disturbed, read_files, read_folder
from tests.chaos.kills import Undisturbed
from tests.chaos.reading import pixels_digest
from tests.images.decoding.test_image_file import FORMS, PROGRESSIVE, RESTARTS
from tests.images.pictures import jpeg, picture, png, png_chunk, with_exif

EOI = b"\xff\xd9"
_PNG = b"\x89PNG\r\n\x1a\n"
#: Images of a trial of disturbed pictures.
_BATCH = 150
_SIDE = 20_000

Make = Callable[[random.Random], bytes]


def _drawn(lot: random.Random, *options: int) -> bytes:
    """Return a JPEG of any size and content."""
    size = lot.randrange(9, 120), lot.randrange(9, 120)
    return jpeg(picture(*size, seed=lot.randrange(99)), *options)


def _always(data: bytes) -> Make:
    return lambda lot: data


def _one_by(height: int, width: int) -> Make:
    return lambda lot: jpeg(picture(height, width, seed=lot.randrange(99)))


def _turned(orientation: int) -> Make:
    return lambda lot: with_exif(_drawn(lot), orientation)


def _png_with(kind: bytes, body: bytes, times: int = 1) -> bytes:
    """Return a PNG with further chunks behind its header."""
    plain = png(picture())
    header = 8 + 25
    return plain[:header] + png_chunk(kind, body) * times + plain[header:]


def _text_bomb(lot: random.Random) -> bytes:
    text = zlib.compress(bytes(7_000_000), 9)
    return _png_with(b"zTXt", b"Comment\0\0" + text, 300)


def _profile_bomb(lot: random.Random) -> bytes:
    return _png_with(b"iCCP", b"profile\0\0" + zlib.compress(bytes(200_000_000), 1))


#: OpenCV itself unpacks their texts and profiles, which takes seconds.
_BOMBS = ("PNG of texts that are bombs", "PNG of a profile that is a bomb")
#: Those that are whole: every one must be scored.
WHOLE: Mapping[str, Make] = {
    **{f"form {form}": _always(data) for form, data in FORMS.items()},
    "any size": _drawn,
    "any size, progressive": lambda lot: _drawn(lot, *PROGRESSIVE),
    "any size, restarts": lambda lot: _drawn(lot, *RESTARTS),
    "any quality": lambda lot: _drawn(lot, cv2.IMWRITE_JPEG_QUALITY, lot.randrange(1, 101)),
    "one row": _one_by(1, 300),
    "one column": _one_by(300, 1),
    "PNG named JPEG": lambda lot: png(picture(seed=lot.randrange(99))),
    "16 bits": lambda lot: png(picture(seed=lot.randrange(99)).astype(np.uint16) * 251),
    "trailing garbage": lambda lot: _drawn(lot) + lot.randbytes(500),
    "trailing picture": lambda lot: _drawn(lot) + _drawn(lot),
    "PNG of texts that are bombs": _text_bomb,
    "PNG of a profile that is a bomb": _profile_bomb,
    **{f"turned {turn}": _turned(turn) for turn in range(1, 9)},
    "turned by no number": _turned(77),
}


def _cut(percent: int) -> Make:
    def make(lot: random.Random) -> bytes:
        data = _drawn(lot, *lot.choice(((), PROGRESSIVE, RESTARTS)))
        return data[: len(data) * percent // 100]

    return make


def _encoded(suffix: str) -> Make:
    return lambda lot: cv2.imencode(suffix, picture(seed=lot.randrange(99)))[1].tobytes()


def _sized(height: int, width: int) -> Make:
    """Return what makes a JPEG that says it has another size."""

    def make(lot: random.Random) -> bytes:
        data = bytearray(_drawn(lot))
        frame = data.index(b"\xff\xc0")
        data[frame + 5 : frame + 9] = struct.pack(">HH", height, width)
        return bytes(data)

    return make


def _png_bomb(lot: random.Random) -> bytes:
    header = struct.pack(">II", _SIDE, _SIDE) + b"\x08\x02\0\0\0"
    body = png_chunk(b"IDAT", zlib.compress(bytes(_SIDE * 10), 9))
    return _PNG + png_chunk(b"IHDR", header) + body + png_chunk(b"IEND", b"")


def scan_bomb(side: int, scans: int) -> bytes:
    """Return a grey progressive JPEG of empty scans, each over all blocks of the picture.

    A scan of the alternating coefficients says in 15 bits that the next 32767 blocks have none:
    EOBn with n = 14 (T.81, G.1.2.2). DC and AC have a table of one code each, of one bit.
    """
    blocks = (side // 8) ** 2
    frame = b"\xff\xc2" + struct.pack(">HBHHB", 11, 8, side, side, 1) + b"\x01\x11\0"
    tables = b"".join(
        b"\xff\xc4" + struct.pack(">HB", 20, place) + b"\x01" + bytes(15) + bytes([symbol])
        for place, symbol in ((0x00, 0x00), (0x10, 0xE0))
    )
    quantisers = b"\xff\xdb\x00\x43\x00" + bytes([1] * 64)
    dc = _scan(0, 0, "0" * blocks)
    runs, rest = divmod(blocks, 32767)
    bits = ("0" + format(32767 - 16384, "014b")) * runs
    if rest:  # the one code has runs of 16384 at least; what is too many does no harm
        bits += "0" * 15
    empty = [_scan(1 + number % 63, 13 - number // 63 % 14, bits) for number in range(scans)]
    return b"\xff\xd8" + quantisers + frame + tables + dc + b"".join(empty) + EOI


def _scan(coefficient: int, low: int, bits: str) -> bytes:
    """Return a scan of one coefficient: first ones of Al 13, then refinements (Ah = Al + 1)."""
    high = 0 if coefficient == 0 or low == 13 else low + 1
    at = 0 if coefficient == 0 else low
    bits += "1" * (-len(bits) % 8)
    data = int(bits, 2).to_bytes(len(bits) // 8).replace(b"\xff", b"\xff\x00")
    head = b"\xff\xda" + struct.pack(">HBBB", 8, 1, 1, 0)
    return head + bytes([coefficient, coefficient, high << 4 | at]) + data


def _wrong_marker(lot: random.Random) -> bytes:
    return _drawn(lot).replace(b"\xff\xc0", b"\xff\xc9", 1)


def _without_end(lot: random.Random) -> bytes:
    return _drawn(lot)[:-2]


def _lost_interval(lot: random.Random) -> bytes:
    data = jpeg(picture(seed=lot.randrange(99)), *RESTARTS)
    first, second = data.index(b"\xff\xd0"), data.index(b"\xff\xd1")
    return data[: first + 2] + data[second:]


def _png_flipped(lot: random.Random) -> bytes:
    data = bytearray(png(picture(16, 16)))
    data[lot.randrange(len(data))] ^= 1 << lot.randrange(8)
    return bytes(data)


#: Those that are not whole: none may be scored, each has the kinds that it may be told as.
DAMAGED: Mapping[str, tuple[Make, set[str]]] = {
    "empty": (lambda lot: b"", {"empty"}),
    **{f"cut at {at} %": (_cut(at), {"truncated"}) for at in range(5, 100, 5)},
    "wrong magic": (lambda lot: b"\xff\xd9\xff" + _drawn(lot)[3:], {"not an image"}),
    "zeros": (lambda lot: bytes(5000), {"not an image"}),
    "noise": (lambda lot: b"N" + lot.randbytes(5000), {"not an image"}),
    "HTML": (lambda lot: b"<!DOCTYPE html><title>404</title>", {"not an image"}),
    "text": (lambda lot: b"version https://git-lfs.github.com/spec/v1\n", {"not an image"}),
    "BMP": (_encoded(".bmp"), {"unsupported form"}),
    "TIFF": (_encoded(".tiff"), {"unsupported form"}),
    "WebP": (_encoded(".webp"), {"unsupported form"}),
    "GIF": (_encoded(".gif"), {"unsupported form"}),
    "magic alone": (lambda lot: b"\xff\xd8\xff", {"truncated"}),
    "missing EOI": (_without_end, {"truncated"}),
    "lost interval": (_lost_interval, {"damaged data"}),
    "20,000 x 20,000": (_sized(_SIDE, _SIDE), {"too large"}),
    "65,535 x 65,535": (_sized(65535, 65535), {"too large"}),
    "no rows": (_sized(0, 100), {"damaged data"}),
    "PNG of 20,000 x 20,000": (_png_bomb, {"too large"}),
    "PNG flipped": (_png_flipped, {"damaged data", "truncated", "not an image"}),
    "PNG cut": (lambda lot: png(picture())[:-5], {"truncated"}),
    "800 scans": (lambda lot: scan_bomb(8192, 800), {"too large"}),
}

#: Without a checksum nobody can tell: scored as OpenCV has the same bytes, or told.
EITHER: Mapping[str, Make] = {
    "arithmetic coding": _wrong_marker,
    "arithmetic coding, cut": lambda lot: _wrong_marker(lot)[:-9] + EOI,
    "another quantiser": lambda lot: _drawn(lot).replace(
        b"\xff\xdb\x00\x43", b"\xff\xdb\x00\x42", 1
    ),
}

#: Those that are no file: how they come to be.
UNREADABLE: Mapping[str, Callable[[Path], object]] = {
    "folder.JPEG": Path.mkdir,
    "circle.JPEG": lambda path: path.symlink_to(path.name),
    "nowhere.JPEG": lambda path: path.symlink_to("nothing"),
    "pipe.JPEG": os.mkfifo,
    "device.JPEG": lambda path: path.symlink_to("/dev/zero"),
}
#: Names that no list has, or that no line of a report can hold.
ODD_NAMES = (b"not UTF-8 \xff.JPEG", b"two\nlines.JPEG", b"\x1b[2Jcursor.JPEG", b"<b>&.JPEG")


def kinds() -> int:
    """Return how many kinds of images there are."""
    return len(WHOLE) + len(DAMAGED) + len(EITHER) + len(UNREADABLE) + len(ODD_NAMES) + 1


def every_kind(folder: Path, lot: random.Random, counts: Counts) -> None:
    """Make an image of every kind and check what became of it."""
    whole = {kind: make(lot) for kind, make in WHOLE.items()}
    damaged = {kind: make(lot) for kind, (make, _) in DAMAGED.items()}
    for kind, reading in read_files("image", folder / "whole", _named(whole)).items():
        bounded(kind, reading, counts)
        bomb = _kind(kind) in _BOMBS
        expected = pixels_digest(picture()) if bomb else _intact(whole[_kind(kind)])
        must(reading.words == expected, f"{kind}: {reading}, OpenCV has {expected}")
        counts.count("whole images, scored")
    for kind, reading in read_files("image", folder / "damaged", _named(damaged)).items():
        bounded(kind, reading, counts)
        told = DAMAGED[_kind(kind)][1]
        must(reading.became == "damaged" and reading.words in told, f"{kind}: {reading}")
        counts.count("damaged images, told")
    either = {kind: make(lot) for kind, make in EITHER.items()}
    _as_opencv(folder / "either", _named(either), counts)
    _unreadable(folder / "unreadable", counts)
    _odd_names(folder / "names", counts)


def _named(images: Mapping[str, bytes]) -> dict[str, bytes]:
    return {kind.replace("/", "-") + ".JPEG": data for kind, data in images.items()}


def _kind(name: str) -> str:
    return name.removesuffix(".JPEG")


def _intact(data: bytes) -> str:
    """Return what OpenCV makes of an intact picture."""
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    must(pixels is not None, "OpenCV cannot decode a picture that is taken for whole")
    return pixels_digest(np.asarray(pixels, np.uint8))


def _unreadable(folder: Path, counts: Counts) -> None:
    folder.mkdir(parents=True)
    for name, make in UNREADABLE.items():
        make(folder / name)
    (folder / "giant.JPEG").write_bytes(b"\xff\xd8\xff")
    os.truncate(folder / "giant.JPEG", MAX_FILE_BYTES + 1)
    for name, reading in read_folder("image", folder).items():
        bounded(name, reading, counts)
        kind = "too large" if name == "giant.JPEG" else "unreadable"
        must((reading.became, reading.words) == ("damaged", kind), f"{name}: {reading}")
        counts.count("images that are no files, told")


def _odd_names(folder: Path, counts: Counts) -> None:
    folder.mkdir(parents=True)
    for name in ODD_NAMES:
        (folder / os.fsdecode(name)).write_bytes(jpeg(picture()))
    for name, reading in read_folder("image", folder).items():
        must(reading.became == "read", f"{name!r}: {reading}")
        counts.count("odd names, read")


def disturb_many(folder: Path, lot: random.Random, counts: Counts) -> None:
    """Disturb pictures by lot: what is scored is what OpenCV makes of the same bytes."""
    forms = [data for form, data in FORMS.items() if len(data) < 100_000]
    files = {f"{number}.JPEG": disturbed(lot.choice(forms), lot) for number in range(_BATCH)}
    _as_opencv(folder, files, counts)


def _as_opencv(folder: Path, files: Mapping[str, bytes], counts: Counts) -> None:
    for name, reading in read_files("image", folder, files).items():
        bounded(name, reading, counts)
        if reading.became == "read":
            must(reading.words == _intact(files[name]), f"{folder / name}: {reading}")
            counts.count("disturbed images, scored as OpenCV has them")
        else:
            must(reading.became == "damaged", f"{folder / name}: {reading}")
            counts.count("disturbed images, told")


def largest() -> Iterator[tuple[str, bytes]]:
    """Give the largest pictures that are decoded, the dearest forms of them."""
    tile = picture(1024, 1024)
    image = np.tile(tile, (8, 8, 1))
    full = (cv2.IMWRITE_JPEG_SAMPLING_FACTOR, 0x111111)
    yield "largest, progressive", jpeg(image, *PROGRESSIVE, *full)
    yield "largest, turned", with_exif(jpeg(image), 6)
    yield "largest, 16 bits", png(image.astype(np.uint16) * 257)
    yield "largest, of as many scans as may be", scan_bomb(8192, 15)


def check_largest(folder: Path, counts: Counts) -> None:
    """Read each of the largest pictures in a process of its own."""
    for name, data in largest():
        (reading,) = read_files("image", folder / name.replace(" ", "-"), {"a.JPEG": data}).values()
        bounded(name, reading, counts)
        must(reading.became in ("read", "damaged"), f"{name}: {reading}")
        counts.count("images of 8192 x 8192")


def campaign(chance: Chance, whole: Undisturbed) -> Counts:
    """Read bad images until the time is up."""
    counts = Counts()
    with counts.trial("largest"):
        check_largest(chance.folder / "largest", counts)

    def trial(number: int) -> None:
        folder = chance.folder / str(number)
        lot = chance.lot("images", number)
        (every_kind if number % 4 == 0 else disturb_many)(folder, lot, counts)

    chance.trials(counts, 10_000, trial)
    return counts
