"""``make bench-importing``: seconds and memory of a large caffemodel's import to ONNX.

SE-ResNet-50 with random weights (112 MB), imported as an evaluation imports it the first time:
digests, Caffe to ONNX, written and synced. Each round is a process of its own, so that its
memory is its own; what Python and the libraries take before the import is not counted.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.machine import machine
from mlubench.networks.caffe import write_random_caffemodel

_ROOT = Path(__file__).resolve().parents[1]

#: argv: prototxt, caffemodel, store. Prints seconds of the first import and of the processor in
#: it, the growth of the process's memory at its peak in bytes, and the two again from the store.
_IMPORT = """
import resource, sys, time
from pathlib import Path
from mlubench.images.datasets.labels import imagenet_order
from mlubench.images.decoding.preprocess import Preprocess
from mlubench.networks.choose import CaffeFiles, Network
from mlubench.networks.importing import check_label_order, import_network
from mlubench.store import Store

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()

def peak_resident():
    # Not ru_maxrss, which begins with what the process that started this one held.
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))

prototxt, caffemodel, store = map(Path, sys.argv[1:])
order = imagenet_order("2015")
network = Network("senet50", CaffeFiles(prototxt, caffemodel), Preprocess("short", 256, 224),
                  (104, 117, 123), (1, 1, 1), order)
before = resident()
for peak in (True, False):
    start, busy = time.perf_counter(), time.process_time()
    imported = import_network(network, Store(store))
    check_label_order(imported, order)
    print(time.perf_counter() - start, time.process_time() - busy)
    if peak:
        print(peak_resident() - before)
"""


def main() -> None:
    """Print seconds and memory of each round."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    data = Path(os.environ.get("MLUBENCH_TEST_DATA", _ROOT.parent / "shared" / "data"))
    prototxt = data / "prototxt" / "SE-ResNet-50.prototxt"
    parser.add_argument("--prototxt", type=Path, default=prototxt)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        caffemodel = Path(folder) / "random.caffemodel"
        write_random_caffemodel(arguments.prototxt, caffemodel, seed=0)
        size = caffemodel.stat().st_size
        rounds = [
            _import(arguments.prototxt, caffemodel, Path(folder) / f"store-{number}")
            for number in range(arguments.rounds)
        ]
    columns = ("import, s", "processor, s", "memory, files", "from the store, s", "processor, s")
    table = Table("round", *columns, box=None)
    table.title = f"{arguments.prototxt.stem}, {size / 1e6:.0f} MB; {machine()}"
    medians = [statistics.median(column) for column in zip(*rounds, strict=True)]
    for name, figures in [*enumerate(rounds, start=1), ("median", medians)]:
        seconds, busy, memory, *again = figures
        cells = [seconds, busy, memory / size, *again]
        table.add_row(str(name), *(f"{cell:.2f}" for cell in cells))
    Console(width=100).print(table)


def _import(prototxt: Path, caffemodel: Path, store: Path) -> list[float]:
    done = subprocess.run(
        [sys.executable, "-c", _IMPORT, str(prototxt), str(caffemodel), str(store)],
        cwd=_ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return [float(word) for word in done.stdout.split()]


if __name__ == "__main__":
    main()
