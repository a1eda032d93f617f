"""Reads all files of a folder as mlubench does, and says what became of each and what it took.

``python -m tests.chaos.reading READER FOLDER`` prints a line of JSON for each file. It is a process
of its own, so that a crash, or memory without end, is that of a reader and not of the campaign.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import resource
import sys
import tempfile
import time
import traceback
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from mlubench.errors import InputError
from mlubench.images.datasets.damage import DamagedImage

Reader = Callable[[Path], str]
#: So that a reader without bounds does not take the machine with it.
_ADDRESS_SPACE = 6 * 2**30


#: A file of that name stands in what is read, and is not to be opened.
NEVER_OPENED = "never-opened"
_NEVER_DONE = frozenset(
    {"os.system", "os.exec", "os.posix_spawn", "subprocess.Popen", "socket.connect"}
)


class _ForbiddenError(BaseException):
    """A reader did what no file may make it do."""


def forbid() -> None:
    """See to it that programs, connections and files that an input names are noticed."""

    def hook(event: str, given: tuple[object, ...]) -> None:
        named = event == "open" and NEVER_OPENED in str(given[0])
        program = str(given[1]) if event == "subprocess.Popen" else ""
        # A suite that names devices has them counted by mlubench's own worker.
        if named or (event in _NEVER_DONE and "'mlubench.worker'" not in program):
            raise _ForbiddenError(event, str(given[0]), program)  # not its environment

    sys.addaudithook(hook)


def pixels_digest(pixels: np.ndarray[Any, Any]) -> str:
    """Return what tells decoded pixels from others."""
    return f"{pixels.shape} {zlib.crc32(np.ascontiguousarray(pixels).data):08x}"


# What follows imports what a reader needs and returns the reader. All of them together take two
# seconds to import, and a process needs only its own.


def _image() -> Reader:
    from mlubench.images.datasets.source import FolderSource
    from mlubench.images.decoding.image_file import decode
    from mlubench.images.decoding.preprocess import Preprocess, preprocess

    spec = Preprocess("short", 256, 224)

    def read(path: Path) -> str:
        pixels = decode(FolderSource(path.parent).read(path.name))
        preprocess(pixels, spec)
        return pixels_digest(pixels)

    return read


def _prototxt() -> Reader:
    from mlubench.networks.caffe.graph import Role, Shape
    from mlubench.networks.caffe.importer import build_graph
    from mlubench.networks.caffe.layers import LAYER_TYPES
    from mlubench.networks.caffe.prototxt import Layer, read_network
    from mlubench.networks.caffe.weights import Array

    class AnyWeights:
        """Gives every layer the blobs it wants: zeros, which take no memory by themselves."""

        def take(self, layer: Layer, role: Role, shape: Shape) -> Array:
            if np.prod(shape, dtype=float) > 2**24:  # as many as no file of a trial holds
                raise layer.error("there are no such weights", "a small network")
            return np.zeros(shape, np.float32)

        def finish(self, layer: Layer) -> None:
            """Nothing is left over."""

    def read(path: Path) -> str:
        model = build_graph(read_network(path, LAYER_TYPES), AnyWeights())
        return f"{len(model.graph.node)} nodes"

    return read


def _caffemodel() -> Reader:
    from mlubench.networks.caffe.weights import read_caffemodel

    return lambda path: f"{len(read_caffemodel(path))} layers"


def _labels() -> Reader:
    from mlubench.images.datasets.labels import read_label_list

    return lambda path: f"{len(read_label_list(path))} labels"


def _suite() -> Reader:
    from mlubench.nightly.options import NightlyParameters
    from mlubench.nightly.suite import read_suite

    return lambda path: f"{len(read_suite(NightlyParameters(suite=str(path))).runs)} runs"


def _entries(name: str) -> Reader:
    """Return the reader of a catalogue, which has a folder of its own and a name."""
    from mlubench.catalogue.datasets import DatasetEntry
    from mlubench.catalogue.engines import EngineEntry
    from mlubench.catalogue.entries import read_entries
    from mlubench.catalogue.models import ModelEntry

    kinds: dict[str, type[Any]] = {
        "models.yaml": ModelEntry,
        "datasets.yaml": DatasetEntry,
        "engines.yaml": EngineEntry,
    }

    def read(path: Path) -> str:
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / name).write_bytes(path.read_bytes())
            return f"{len(read_entries(name, kinds[name], [Path(folder)]))} entries"

    return read


def _parquet() -> Reader:
    from mlubench.images.datasets.parquet import unpack_shards
    from mlubench.images.datasets.tar import TarSource

    def read(path: Path) -> str:
        with tempfile.TemporaryDirectory() as folder:
            images = TarSource.open(unpack_shards([path], Path(folder)))
            return f"{len(images.names())} images"

    return read


def _tar() -> Reader:
    from mlubench.images.datasets.tar import TarSource

    def read(path: Path) -> str:
        source = TarSource.open(path)
        for name in source.names():
            with contextlib.suppress(DamagedImage):
                source.read(name)
        return f"{len(source.names())} images"

    return read


#: By name, what gives a reader: it reads one file and returns in a word what it read.
READERS: dict[str, Callable[[], Reader]] = {
    "image": _image,
    "prototxt": _prototxt,
    "caffemodel": _caffemodel,
    "labels": _labels,
    "suite": _suite,
    "models": lambda: _entries("models.yaml"),
    "datasets": lambda: _entries("datasets.yaml"),
    "engines": lambda: _entries("engines.yaml"),
    "parquet": _parquet,
    "tar": _tar,
}


def read_file(reader: Reader, path: Path) -> tuple[str, str]:
    """Return what became of a file (read, damaged, refused, FAULT), and the words for it."""
    try:
        return "read", reader(path)
    except DamagedImage as damage:
        return "damaged", damage.kind
    except InputError as error:
        return "refused", str(error)
    except BaseException:
        return "FAULT", traceback.format_exc()[-3000:]


def _most_megabytes() -> float:
    """Return the most memory that this process held; getrusage has that of its parent, too."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) / 1024  # type: ignore[index]


def _readings(reader: Reader, folder: Path) -> Iterator[dict[str, object]]:
    for name in sorted(os.listdir(folder)):  # noqa: PTH208  # names that are not UTF-8
        start = time.process_time()
        became, words = read_file(reader, folder / name)
        yield {
            "name": name,
            "became": became,
            "words": words,
            "seconds": time.process_time() - start,
            "megabytes": _most_megabytes(),
        }


if __name__ == "__main__":
    chosen = READERS[sys.argv[1]]()
    forbid()
    resource.setrlimit(resource.RLIMIT_AS, (_ADDRESS_SPACE, _ADDRESS_SPACE))
    for reading in _readings(chosen, Path(sys.argv[2])):
        sys.stdout.write(json.dumps(reading) + "\n")
        sys.stdout.flush()
