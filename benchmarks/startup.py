"""``make bench-startup``: what is waited for before anything is computed.

The command line's help, in processes of their own; finding decoded images in the cache, of a
folder and of an archive with so many (made-up) images; finding a compiled SE-ResNet-50 in it
(random weights, force_float32). Seconds of the clock and of the processor: medians of the rounds.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from io import BytesIO
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.machine import machine
from mlubench.devices.engine_host import engine_host
from mlubench.evaluate.options import EvaluateParameters, check_parameters
from mlubench.images.datasets.dataset import Dataset, ImageRef
from mlubench.images.datasets.source import FolderSource, ImageSource
from mlubench.images.datasets.tar import TarSource
from mlubench.images.decoding.blocks import Block, Outcome
from mlubench.images.decoding.cache import cache_files, finish_cache
from mlubench.images.decoding.decoder import Decoding
from mlubench.images.decoding.preprocess import Preprocess
from mlubench.networks.caffe import write_random_caffemodel
from mlubench.networks.choose import choose_network
from mlubench.networks.compile import build_spec, compile_network
from mlubench.networks.importing import import_network
from mlubench.store import Store

_ROOT = Path(__file__).resolve().parents[1]
#: Small pixels: only how many images there are counts.
_SPEC = Preprocess("short", 8, 8)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--images", type=int, nargs="+", default=[1000, 50_000])
    data = Path(os.environ.get("MLUBENCH_TEST_DATA", _ROOT.parent / "shared" / "data"))
    parser.add_argument("--data", type=Path, default=data)
    arguments = parser.parse_args()
    table = Table("what", "s", "processor, s", "best, s", box=None)
    table.title = machine()
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        waits = {"mlubench --help": _help}
        for count in arguments.images:
            waits[f"decoded images found, folder of {count:,}"] = _decoded(place, count, _folder)
            waits[f"decoded images found, archive of {count:,}"] = _decoded(place, count, _archive)
        prototxt = arguments.data / "prototxt" / "SE-ResNet-50.prototxt"
        if prototxt.is_file():
            waits["compiled network found, SE-ResNet-50"] = _compiled(place, prototxt)
        for name, wait in waits.items():
            rounds = [_seconds(wait) for _ in range(arguments.rounds)]
            clock, busy = (statistics.median(one) for one in zip(*rounds, strict=True))
            best = min(clock for clock, _ in rounds)
            table.add_row(name, f"{clock:.3f}", f"{busy:.3f}", f"{best:.3f}")
    Console(width=100).print(table)


def _seconds(wait: Callable[[], object]) -> tuple[float, float]:
    """Return seconds of the clock, and of the processor in this process and its children."""
    start, busy = time.perf_counter(), _busy()
    wait()
    return time.perf_counter() - start, _busy() - busy


def _busy() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def _help() -> None:
    program = Path(sys.executable).with_name("mlubench")
    subprocess.run([str(program), "--help"], stdout=subprocess.DEVNULL, check=True)


def _folder(place: Path, names: list[str]) -> ImageSource:
    root = place / f"folder-{len(names)}"
    root.mkdir()
    for name in names:
        (root / name).write_bytes(b"x")
    return FolderSource(root)


def _archive(place: Path, names: list[str]) -> ImageSource:
    path = place / f"{len(names)}.tar"
    with tarfile.open(path, "w") as tar:
        for name in names:
            member = tarfile.TarInfo(name)
            member.size = 1
            tar.addfile(member, BytesIO(b"x"))
    return TarSource.open(path)


def _decoded(
    place: Path, count: int, make: Callable[[Path, list[str]], ImageSource]
) -> Callable[[], object]:
    """Return what finds the decoded images of a dataset, which are there."""
    names = [f"ILSVRC2012_val_{number:08d}.JPEG" for number in range(count)]
    images = tuple(ImageRef(name, "n01440764") for name in names)
    dataset = Dataset("made up", place, images, make(place, names))
    cache = place / "decoded"
    files = cache_files(dataset, _SPEC, cache)
    files.prepare()
    blocks = {
        block: Block(0, tuple(Outcome(f"{index:064x}", "", "") for index in files.images(block)))
        for block in range(files.count)
    }
    finish_cache(files, dataset, blocks)

    def find() -> None:
        # What must not be decoded again cannot be: its source reads nothing.
        found = Decoding(replace(dataset), _SPEC, cache).run(workers=1, progress=lambda *_: None)
        if found.shape[0] != count:
            raise AssertionError("they are not found")

    return find


def _compiled(place: Path, prototxt: Path) -> Callable[[], object]:
    """Return what finds a compiled network, which is there, among its imported files."""
    weights = place / "random.caffemodel"
    write_random_caffemodel(prototxt, weights, seed=0)
    asked: EvaluateParameters = check_parameters(
        prototxt=prototxt, caffemodel=weights, input_size=224, label_order="2015", dataset="x"
    )
    network, store, host = choose_network(asked), Store(place / "store"), engine_host("openvino")
    spec = build_spec(network, asked, "force_float32")
    imported = import_network(network, store)
    worker = host.start()
    facts = worker.engine
    worker.close()

    def compile_it() -> object:
        once = replace(imported)  # which has read no digest yet
        return compile_network(once, spec, None, host, facts, store, ["cpu:0/1"])

    compile_it()
    return compile_it


if __name__ == "__main__":
    main()
