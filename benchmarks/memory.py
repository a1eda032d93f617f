"""``make bench-memory``: what an evaluation holds, with few images and with many.

SqueezeNet v1.1 in int8 and SE-ResNet-50 with random weights, decoding included. The flow is a
program of its own, as users start it. Looked at four times a second: what of its memory, and of its
workers', is resident at most, and how much of that is their own (not a file's pages that the kernel
may take back).
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.machine import machine
from benchmarks.photographs import photographs
from mlubench.networks.caffe import write_random_caffemodel

_LOOK_SECONDS = 0.25
_MEGABYTE = 1e3  # the kernel counts in kB


def main() -> None:
    """Print the most that each held."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, nargs="+", default=[1000, 50_000])
    parser.add_argument("--large", type=int, nargs="*", default=[1000], help="of SE-ResNet-50")
    # As the tests find it: tests/conftest.py.
    root = Path(__file__).resolve().parents[1]
    data = Path(os.environ.get("MLUBENCH_TEST_DATA", root.parent / "shared" / "data"))
    parser.add_argument("--data", type=Path, default=data)
    given = parser.parse_args()
    table = Table("network", "images", box=None, title=f"MB at most; {machine()}")
    for who in ("flow", "worker"):
        table.add_column(f"{who}, resident", justify="right")
        table.add_column("its own", justify="right")
    table.add_column("seconds", justify="right")
    with tempfile.TemporaryDirectory() as folder:
        large = Path(folder) / "random.caffemodel"
        text = given.data / "prototxt" / "SE-ResNet-50.prototxt"
        write_random_caffemodel(text, large, seed=0)
        squeezenet = given.data / "squeezenet_v1.1.prototxt"
        asked = [
            ("SqueezeNet v1.1", squeezenet, squeezenet.with_suffix(".caffemodel"), 227, count)
            for count in given.images
        ]
        asked += [("SE-ResNet-50", text, large, 224, count) for count in given.large]
        for number, (name, prototxt, caffemodel, size, count) in enumerate(asked):
            place = Path(folder) / str(number)
            place.mkdir()
            photos = photographs(given.data, place, count)
            options = ["--prototxt", prototxt, "--caffemodel", caffemodel, "--input_size", size]
            options += ["--means", "104", "117", "123", "--label_order", "2012"]
            options += ["--image_dir", photos.scored, "--label_file", photos.labels]
            options += ["--label_file_order", "2012", "--calibration_dir", photos.calibration]
            options += ["--precision", "qint8_mixed_float16", "--out", place / "artifacts"]
            begun = time.monotonic()
            most = _watched([str(option) for option in options])
            cells = [f"{each / _MEGABYTE:.0f}" for each in most]
            table.add_row(name, str(count), *cells, f"{time.monotonic() - begun:.0f}")
    Console(width=100, highlight=False).print(table)


def _watched(options: list[str]) -> list[int]:
    """Evaluate; return kB resident and of its own, of the flow and of its largest device worker."""
    program = str(Path(sys.executable).with_name("mlubench"))
    flow = subprocess.Popen(
        [program, "eval", *options], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    most = [0, 0, 0, 0]
    while flow.poll() is None:
        held = [_held(flow.pid), *map(_held, _workers(flow.pid))]
        flow_held, *workers = held
        worker = [max((each[place] for each in workers), default=0) for place in (0, 1)]
        most = [max(pair) for pair in zip(most, [*flow_held, *worker], strict=True)]
        time.sleep(_LOOK_SECONDS)
    if flow.returncode not in (0, 3):
        raise RuntimeError(f"the evaluation ended with status {flow.returncode}")
    return most


def _workers(flow: int) -> list[int]:
    """Return the device's worker, the first of all; those that compile come after it."""
    tasks = Path(f"/proc/{flow}/task").glob("*/children")
    children = [int(child) for task in tasks for child in _read(task).split()]
    commands = {child: _read(Path(f"/proc/{child}/cmdline")).split("\0") for child in children}
    return sorted(child for child, command in commands.items() if "mlubench.worker" in command)[:1]


def _held(process: int) -> tuple[int, int]:
    """Return kB that are resident, and those of them that are no file's."""
    facts = dict(line.split(":", 1) for line in _read(Path(f"/proc/{process}/status")).splitlines())
    numbers = [int(facts.get(name, "0").split()[0]) for name in ("VmRSS", "RssAnon")]
    return numbers[0], numbers[1]


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:  # the process has ended meanwhile
        return ""


if __name__ == "__main__":
    main()
