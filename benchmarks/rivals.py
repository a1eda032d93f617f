"""``make bench-rivals``: a whole evaluation against the scripts that people write by hand.

SqueezeNet v1.1 on real photographs, from files to answers. The networks are compiled already; the
scripts have loaded theirs too, an evaluation starts its workers and loads within its time. Each
script is what its users write: one image after the other, decoded anew for each
precision.

- the samples' loop, on this project's own compiled networks;
- ``cv2.dnn`` on the Caffe files;
- ONNX Runtime on the exported network, and on what its own quantiser makes of it.

What counts is the ratio within a round: the seconds of the script over those of the evaluation for
the same images in the same precisions. An evaluation that ran in fewer precisions than three is
timed by itself. With ``--tune`` evaluations run in the batch, streams and requests that a search
before found.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import cv2
import numpy as np
import onnx
import onnxruntime as ort
import openvino as ov
import pyarrow.parquet as pq
from numpy.typing import NDArray
from onnxruntime.quantization import CalibrationDataReader, quantize_static
from rich.console import Console
from rich.table import Table

from benchmarks.photographs import photographs
from mlubench.networks.caffe import import_caffe

_ROOT = Path(__file__).resolve().parents[1]
_FLOAT, _HALF, _INT8 = "force_float32", "force_float16", "qint8_mixed_float16"
_ALL = (_FLOAT, _HALF, _INT8)
_SIZE, _SHORT = 227, 256
_MEANS = (104.0, 117.0, 123.0)
_CALIBRATION = 32

#: A script's answer to one image, [1, 3, 227, 227] float32 with the means taken off, or uint8 NHWC.
Infer = Callable[[NDArray[np.generic]], object]


@dataclass(frozen=True)
class Rival:
    """A script, and the precisions in which it does what an evaluation does.

    Attributes:
        name: in a few words.
        precisions: what the evaluation that it is compared with is asked for.
        infer: a loaded network for each of them.
        pixels: whether these take the pixels as they are, with the means inside.
    """

    name: str
    precisions: tuple[str, ...]
    infer: tuple[Infer, ...]
    pixels: bool = False


def main() -> None:
    """Print the seconds of each and the median ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--tune", action="store_true")
    parser.add_argument("--only", default="", help="scripts with this in their names")
    # As the tests find it: tests/conftest.py.
    data = Path(os.environ.get("MLUBENCH_TEST_DATA", _ROOT.parent / "shared" / "data"))
    parser.add_argument("--data", type=Path, default=data)
    given = parser.parse_args()
    console = Console(highlight=False, width=100)
    with tempfile.TemporaryDirectory() as folder, console.status("measuring"):
        bed = _Bed(given.data, Path(folder), given.images, tune=given.tune)
        rivals = [rival for rival in _rivals(bed) if given.only in rival.name]
        seconds: dict[str, list[tuple[float, float]]] = {rival.name: [] for rival in rivals}
        for number in range(given.rounds):
            for rival in rivals:
                pair = [lambda r=rival: _script(r, bed), lambda r=rival: bed.evaluate(r.precisions)]
                figures = [one() for one in (pair if number % 2 else pair[::-1])]
                theirs, ours = figures if number % 2 else figures[::-1]
                seconds[rival.name].append((theirs, ours))
    console.print(_table(seconds, rivals, given.images))


class _Bed:
    """The images, and evaluations of them in folders of their own.

    Args:
        data: SqueezeNet and photographs.
        folder: for all that is written.
        count: how many images; photographs are taken again where there are fewer. The last ones
            calibrate and are not among them.
        tune: whether evaluations are tuned.
    """

    def __init__(self, data: Path, folder: Path, count: int, *, tune: bool) -> None:
        self.data, self.out = data, folder / "artifacts"
        self._photos = photographs(data, folder, count, _CALIBRATION)
        self.files = sorted(self._photos.scored.iterdir())
        self.calibration = sorted(self._photos.calibration.iterdir())
        self._tune = tune
        self.evaluate(_ALL)  # compiles, and searches

    def evaluate(self, precisions: Sequence[str]) -> float:
        """Evaluate all images anew; return the seconds from the flow's begin to the last answer."""
        for decoded in (self.out / "cache" / "decoded").glob("*"):
            subprocess.run(["rm", "-rf", str(decoded)], check=True)
        options = ["--prototxt", str(self.data / "squeezenet_v1.1.prototxt")]
        options += ["--caffemodel", str(self.data / "squeezenet_v1.1.caffemodel")]
        options += ["--input_size", str(_SIZE), "--means", *map(str, _MEANS)]
        options += ["--resize_size", str(_SHORT), "--label_order", "2012"]
        options += ["--image_dir", str(self._photos.scored)]
        options += ["--label_file", str(self._photos.labels), "--label_file_order", "2012"]
        options += ["--calibration_dir", str(self._photos.calibration), "--out", str(self.out)]
        options += [part for one in precisions for part in ("--precision", one)]
        options += ["--tune", str(self._tune).lower()]
        done = subprocess.run(
            [str(Path(sys.executable).with_name("mlubench")), "eval", *options],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode not in (0, 3):
            raise RuntimeError(done.stdout + done.stderr)
        newest = max((self.out / "runs").glob("*/run.json"), key=lambda path: path.stat().st_mtime)
        begun = datetime.fromisoformat(json.loads(newest.read_text())["begun_utc"])
        shards = pq.read_table(newest.with_name("shards.parquet")).to_pylist()
        ended = max(one["started_utc"] + timedelta(seconds=one["seconds"]) for one in shards)
        return float((ended - begun).total_seconds())

    def compiled(self, precision: str) -> Path:
        """Return the file of a compiled network."""
        newest = max((self.out / "runs").glob("*/run.json"), key=lambda path: path.stat().st_mtime)
        key = json.loads(newest.read_text())["provenance"][f"{precision}, key"]
        return self.out / "cache" / "compiled" / str(key) / "model.xml"


def _script(rival: Rival, bed: _Bed) -> float:
    """Return the seconds of a script over all images, once for each of its precisions."""
    begun = time.perf_counter()
    for infer in rival.infer:
        for file in bed.files:
            pixels = _read(file)
            infer(pixels if rival.pixels else _floats(pixels))
    return time.perf_counter() - begun


def _read(file: Path) -> NDArray[np.generic]:
    """Return [1, 227, 227, 3] uint8 BGR: short side to 256, the centre cut out."""
    image = cv2.imread(str(file))
    height, width = image.shape[:2]
    scale = _SHORT / min(height, width)
    image = cv2.resize(image, (round(width * scale), round(height * scale)))
    top, left = (image.shape[0] - _SIZE) // 2, (image.shape[1] - _SIZE) // 2
    return np.ascontiguousarray(image[None, top : top + _SIZE, left : left + _SIZE])


def _floats(pixels: NDArray[np.generic]) -> NDArray[np.generic]:
    return cv2.dnn.blobFromImage(pixels[0], mean=_MEANS)


def _rivals(bed: _Bed) -> Iterator[Rival]:
    core = ov.Core()
    networks = []
    for precision in _ALL:
        model = core.read_model(bed.compiled(precision))
        model.reshape([1, _SIZE, _SIZE, 3])
        hint = {"INFERENCE_PRECISION_HINT": "f32" if precision == _FLOAT else "f16"}
        networks.append(core.compile_model(model, "CPU", hint))
    yield Rival("the samples' loop, OpenVINO", _ALL, tuple(networks), pixels=True)
    net = cv2.dnn.readNetFromCaffe(
        str(bed.data / "squeezenet_v1.1.prototxt"), str(bed.data / "squeezenet_v1.1.caffemodel")
    )

    def forward(blob: NDArray[np.generic]) -> object:
        net.setInput(blob)
        return net.forward()

    yield Rival("cv2.dnn, float32", (_FLOAT,), (forward,))
    exported, quantised = bed.out / "squeezenet.onnx", bed.out / "squeezenet_int8.onnx"
    _export(bed, exported)
    yield Rival("ONNX Runtime, float32", (_FLOAT,), (_session(exported),))
    photos = _Photos(bed.calibration, exported)
    quantize_static(exported, quantised, photos)
    yield Rival("ONNX Runtime, its int8", (_INT8,), (_session(quantised),))


def _export(bed: _Bed, path: Path) -> None:
    model = import_caffe(
        bed.data / "squeezenet_v1.1.prototxt", bed.data / "squeezenet_v1.1.caffemodel"
    )
    onnx.save(model, path)


def _session(path: Path) -> Infer:
    session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda blob: session.run(None, {name: blob})


class _Photos(CalibrationDataReader):  # type: ignore[misc]
    """The first photographs, as ONNX Runtime's quantiser takes them."""

    def __init__(self, files: Sequence[Path], path: Path) -> None:
        name = ort.InferenceSession(str(path)).get_inputs()[0].name
        self._rest = iter([{name: _floats(_read(file))} for file in files])

    def get_next(self) -> dict[str, NDArray[np.generic]] | None:
        return next(self._rest, None)


def _table(
    seconds: dict[str, list[tuple[float, float]]], rivals: Sequence[Rival], images: int
) -> Table:
    table = Table("script", title=f"SqueezeNet v1.1, {images} images, seconds", box=None)
    for heading in ("precisions", "script", "mlubench", "median ratio"):
        table.add_column(heading, justify="right")
    for rival in rivals:
        pairs = seconds[rival.name]
        table.add_row(
            rival.name,
            str(len(rival.precisions)),
            f"{statistics.median(theirs for theirs, _ in pairs):.2f}",
            f"{statistics.median(ours for _, ours in pairs):.2f}",
            f"{statistics.median(theirs / ours for theirs, ours in pairs):.2f}",
        )
    return table


if __name__ == "__main__":
    main()
