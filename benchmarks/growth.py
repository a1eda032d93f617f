"""``make bench-growth``: what the host does for each image, with 1 to 16 cards.

Cards that answer at once (:mod:`benchmarks.card_engine` at an endless rate) leave the host's own
work: verifying and copying pixels, collecting answers, writing shards. Its processor time for an
image says how many cores a card of a stated rate needs; how fast all of it goes on this machine's
cores says whether that sum is right. Nothing sleeps and no card is waited for.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.machine import machine
from mlubench.devices.engine_host import engine_host
from mlubench.devices.pool import DevicePool
from mlubench.devices.shards import cut
from mlubench.evaluate.inference import infer_images
from mlubench.evaluate.shard_files import Workspace
from mlubench.images.datasets.dataset import Dataset, read_image_folder
from mlubench.images.datasets.labels import imagenet_order
from mlubench.images.decoding.decoder import Decoding
from mlubench.images.decoding.preprocess import Preprocess
from mlubench.networks.compile import Compiled

_ROOT = Path(__file__).resolve().parents[1]
_SPEC = Preprocess("short", 256, 224)
_CARDS = (1, 2, 4, 8, 16)
_CARD_RATE = 3500.0
_COPIED = 1 << 28


def main() -> None:
    """Print the costs, and what they mean for cards of 3500 images/s."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=8192)
    # As the tests find it: tests/conftest.py.
    data = Path(os.environ.get("MLUBENCH_TEST_DATA", _ROOT.parent / "shared" / "data"))
    parser.add_argument("--data", type=Path, default=data)
    given = parser.parse_args()
    os.environ["MLUBENCH_CARD_RATE"] = "inf"
    console = Console(width=120, highlight=False)
    with tempfile.TemporaryDirectory() as folder:
        dataset = _photographs(given.data, Path(folder), given.images)
        decoding = Decoding(dataset, _SPEC, Path(folder) / "cache")
        begun = _spent()
        decoding.run(workers=_cores(), progress=lambda *_: None)
        decoded = 1e6 * (_spent() - begun) / given.images
        rows = [_inferred(dataset, Path(folder), cards) for cards in _CARDS]
    table = Table(
        *("cards", "images/s", "flow, us an image", "workers, us an image", "cores busy"),
        f"cores for {_CARD_RATE:.0f} images/s each",
        title=f"{given.images} decoded images; {machine()}",
        box=None,
    )
    for cards, (seconds, flow, workers) in zip(_CARDS, rows, strict=True):
        each = (flow + workers) / given.images
        table.add_row(
            str(cards),
            f"{given.images / seconds:.0f}",
            f"{1e6 * flow / given.images:.1f}",
            f"{1e6 * workers / given.images:.1f}",
            f"{(flow + workers) / seconds:.2f}",
            f"{cards * _CARD_RATE * each:.1f}",
        )
    console.print(table)
    console.print(f"decoding: {decoded:.0f} us of a core an image")
    console.print(f"copying memory: {_bandwidth() / 1e9:.1f} GB/s of one core")


def _photographs(data: Path, folder: Path, count: int) -> Dataset:
    """Return so many photographs, the same ones again where there are fewer."""
    photos = sorted((data / "images").iterdir())
    images = folder / "images"
    images.mkdir()
    labels = []
    for number in range(count):
        name = f"{number:06d}.JPEG"
        (images / name).symlink_to(photos[number % len(photos)])
        labels.append(f"{name} 0\n")
    (folder / "labels.txt").write_text("".join(labels))
    return read_image_folder(images, folder / "labels.txt", imagenet_order("2012"), name="photos")


def _inferred(dataset: Dataset, folder: Path, cards: int) -> tuple[float, float, float]:
    """Return the seconds of the clock, of this process and of its workers."""
    names = [f"card:{number}" for number in range(cards)]
    with (
        DevicePool(engine_host("benchmarks.card_engine"), names) as devices,
        Decoding(dataset, _SPEC, folder / "cache") as images,
        tempfile.TemporaryDirectory() as kept,
    ):
        images.run(workers=1, progress=lambda *_: None)
        shards = cut(images.shape[0], 8, max(64, cards), cards)
        begun, own, others = time.perf_counter(), _spent(), _children_spent()
        infer_images(
            devices,
            Compiled("force_float32", folder, "none"),
            images,
            shards,
            imagenet_order("2012"),
            Workspace(Path(kept)),
            lambda *_: None,
        )
        ended = time.perf_counter()
        return ended - begun, _spent() - own, _children_spent() - others


def _spent() -> float:
    return time.process_time()


def _children_spent() -> float:
    """Return the processor seconds of the processes that this one started and that live."""
    ticks = 0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:  # it has ended meanwhile
            continue
        if int(fields[1]) == os.getpid():
            ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def _bandwidth() -> float:
    """Return the bytes per second that one core copies."""
    source, target = np.zeros(_COPIED, np.uint8), np.zeros(_COPIED, np.uint8)
    begun = time.perf_counter()
    for _ in range(4):
        np.copyto(target, source)
    return 4 * _COPIED / (time.perf_counter() - begun)


def _cores() -> int:
    return len(os.sched_getaffinity(0))


if __name__ == "__main__":
    main()
