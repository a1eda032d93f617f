"""``python -m benchmarks.decoders``: decoders of JPEGs beside ``cv2.imread``, pixels and speed.

A decoder must give the pixels of ``cv2.imread`` to be used here, and should refuse a damaged
file, which OpenCV does not. The packages are no dependencies; one that is not installed has a
row that says so. To see them all:

    pip install PyTurboJPEG pillow imagecodecs pyvips pyvips-binary kornia-rs

PyTurboJPEG wants libturbojpeg beside it (Debian: libturbojpeg0; from PyTurboJPEG 2 on
libjpeg-turbo 3). pillow-simd takes the place of
pillow.
"""

from __future__ import annotations

import argparse
import importlib
import os
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.table import Table

from benchmarks.machine import machine
from mlubench.images.decoding.image_file import decode
from mlubench.speed.measure.rounds import interleave
from tests.images.pictures import jpeg, picture

_ROOT = Path(__file__).resolve().parents[1]
_MADE_UP = 32
#: Of a file this share is kept to see whether a decoder tells that the rest is gone.
_KEPT = 0.6

Pixels = npt.NDArray[np.uint8]
Decode = Callable[[bytes], Pixels]


@dataclass(frozen=True)
class Decoder:
    """A way to decode.

    Attributes:
        name: what is called.
        packages: that it is of; the first that is installed is named with its version.
        make: returns the function that decodes bytes to BGR.
    """

    name: str
    packages: tuple[str, ...]
    make: Callable[[], Decode]


def _opencv() -> Decode:
    return lambda data: np.asarray(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR))


def _ours() -> Decode:
    return decode


def _simplejpeg() -> Decode:
    module = importlib.import_module("simplejpeg")
    return lambda data: module.decode_jpeg(data, "BGR", strict=True)


def _simplejpeg_fast() -> Decode:
    module = importlib.import_module("simplejpeg")
    return lambda data: module.decode_jpeg(data, "BGR", fastdct=True, fastupsample=True)


def _turbojpeg() -> Decode:
    return importlib.import_module("turbojpeg").TurboJPEG().decode


def _pillow() -> Decode:
    io, image = importlib.import_module("io"), importlib.import_module("PIL.Image")

    def decoded(data: bytes) -> Pixels:
        rgb = np.asarray(image.open(io.BytesIO(data)).convert("RGB"))
        return np.ascontiguousarray(rgb[..., ::-1])

    return decoded


def _imagecodecs() -> Decode:
    codecs = importlib.import_module("imagecodecs")
    return lambda data: np.ascontiguousarray(
        codecs.jpeg8_decode(data, outcolorspace="RGB")[..., ::-1]
    )


def _pyvips() -> Decode:
    vips = importlib.import_module("pyvips")

    def decoded(data: bytes) -> Pixels:
        rgb = vips.Image.new_from_buffer(data, "", fail_on="warning").colourspace("srgb").numpy()
        return np.ascontiguousarray(rgb[..., ::-1])

    return decoded


def _kornia() -> Decode:
    read = importlib.import_module("kornia_rs.io").decode_image_jpegturbo

    def decoded(data: bytes) -> Pixels:
        return np.ascontiguousarray(np.asarray(read(data, "rgb"))[..., ::-1])

    return decoded


DECODERS = (
    Decoder("cv2.imdecode", ("opencv-python-headless",), _opencv),
    Decoder("mlubench.images.decoding.image_file", ("simplejpeg",), _ours),
    Decoder("simplejpeg, strict", ("simplejpeg",), _simplejpeg),
    Decoder("simplejpeg, fastdct, fastupsample", ("simplejpeg",), _simplejpeg_fast),
    Decoder("PyTurboJPEG", ("PyTurboJPEG",), _turbojpeg),
    Decoder("Pillow", ("pillow-simd", "pillow"), _pillow),
    Decoder("imagecodecs.jpeg8_decode", ("imagecodecs",), _imagecodecs),
    Decoder("pyvips", ("pyvips",), _pyvips),
    Decoder("kornia-rs", ("kornia-rs",), _kornia),
)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    data = Path(os.environ.get("MLUBENCH_TEST_DATA", _ROOT.parent / "shared" / "data"))
    parser.add_argument("--images", type=Path, default=data / "images")
    parser.add_argument("--image_num", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    files = _files(arguments.images, arguments.image_num)
    reference = [_imread(data) for data in files]
    decoders = {one.name: _made(one) for one in DECODERS}
    rates = _rates(
        {name: one for name, one in decoders.items() if callable(one)}, files, arguments.rounds
    )
    table = Table(
        "decoder", "package", "exact", "largest difference", "cut file", "images/s", box=None
    )
    table.title = f"{len(files)} JPEGs, one core; {machine()}"
    for one in DECODERS:
        made = decoders[one.name]
        if not callable(made):
            table.add_row(one.name, made, "", "", "", "")
            continue
        exact, difference = _exactness(made, files, reference)
        cut = _of_cut_files(made, files)
        rate = statistics.median(rates[one.name])
        table.add_row(
            one.name, _package(one), f"{exact} of {len(files)}", difference, cut, f"{rate:.0f}"
        )
    Console(width=140).print(table)


def _files(folder: Path, count: int) -> list[bytes]:
    """Return JPEGs of the folder; made-up ones where it is absent."""
    if folder.is_dir():
        paths = sorted(
            path for path in folder.iterdir() if path.suffix.lower() in (".jpeg", ".jpg")
        )
        return [path.read_bytes() for path in paths[:count]]
    return [jpeg(picture(375, 500, seed=seed)) for seed in range(min(count, _MADE_UP))]


def _imread(data: bytes) -> Pixels:
    """Return what cv2.imread makes of the bytes as a file."""
    path = Path(f"/dev/shm/mlubench-{os.getpid()}.jpg")
    path.write_bytes(data)
    try:
        return np.asarray(cv2.imread(str(path), cv2.IMREAD_COLOR))
    finally:
        path.unlink()


def _made(decoder: Decoder) -> Decode | str:
    """Return the function that decodes, or why there is none."""
    try:
        return decoder.make()
    except ImportError:
        return "not installed"
    except Exception as error:  # a library that the package loads
        return f"cannot be loaded: {error}".splitlines()[0][:60]


def _package(decoder: Decoder) -> str:
    for name in decoder.packages:
        try:
            return f"{name} {version(name)}"
        except PackageNotFoundError:
            continue
    return decoder.packages[0]


def _rates(
    decoders: dict[str, Decode], files: Sequence[bytes], rounds: int
) -> dict[str, list[float]]:
    """Return images per second of processor time in each round; the decoders take turns."""
    found: dict[str, list[float]] = {name: [] for name in decoders}
    for order in interleave(list(decoders), rounds):
        for name in order:
            start = time.process_time()  # what others have of the core does not count
            for data in files:
                _try(decoders[name], data)
            found[name].append(len(files) / (time.process_time() - start))
    return found


def _exactness(
    function: Decode, files: Sequence[bytes], reference: Sequence[Pixels]
) -> tuple[int, str]:
    """Return how many pictures are cv2.imread's, and by how much any pixel differs."""
    exact, largest = 0, 0
    for data, expected in zip(files, reference, strict=True):
        found = _try(function, data)
        if found is None or found.shape != expected.shape:
            return exact, "another form"
        difference = int(np.abs(found.astype(np.int16) - expected).max())
        exact, largest = exact + (difference == 0), max(largest, difference)
    return exact, str(largest)


def _of_cut_files(function: Decode, files: Sequence[bytes]) -> str:
    """Tell what becomes of files that are cut."""
    refused = sum(_try(function, data[: int(len(data) * _KEPT)]) is None for data in files)
    if refused == len(files):
        return "refused"
    return "taken for whole" if not refused else f"{refused} of {len(files)} refused"


def _try(function: Decode, data: bytes) -> Any:
    try:
        return function(data)
    except Exception:  # whatever a library raises, it gave no picture
        return None


if __name__ == "__main__":
    main()
