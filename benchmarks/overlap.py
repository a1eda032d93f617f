"""``make bench-overlap``: what a cold run gains by inferring while it decodes.

Photographs are decoded for a card that takes none of the host's cores, slower than decoding, as
fast, and faster (:mod:`benchmarks.card_engine`). Decoding first and inferring after takes the
sum of the two; what cannot be avoided is the longer one. The two ways take turns.
"""

from __future__ import annotations

import argparse
import csv
import os
import statistics
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

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
_SPEC = Preprocess("short", 256, 227)
_SHARD = 64
#: A card's rate over that of decoding.
_RATES = (0.5, 1.0, 2.0)


def main() -> None:
    """Print the seconds of both ways."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    data = Path(os.environ.get("MLUBENCH_TEST_DATA", _ROOT.parent / "shared" / "data"))
    parser.add_argument("--data", type=Path, default=data)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        dataset = _photographs(arguments.data, Path(folder))
        rate = len(dataset.images) / _timed(lambda: _decode(dataset, Path(folder) / "first"))
        table = Table(
            *("card, images/s", "decode, s", "infer, s", "one after the other, s", "at once, s"),
            *("at once / longer one", "gain"),
            box=None,
        )
        table.title = f"{len(dataset.images)} photographs; {machine()}"
        for number, factor in enumerate(_RATES):
            place = Path(folder) / str(number)
            table.add_row(*_row(dataset, factor * rate, arguments.rounds, place))
    Console(width=120).print(table)


def _photographs(data: Path, folder: Path) -> Dataset:
    labels = folder / "labels.txt"
    with (data / "images.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    labels.write_text("".join(f"{row['file']} {row['index_2012']}\n" for row in rows))
    return read_image_folder(data / "images", labels, imagenet_order("2012"), name="photographs")


def _row(dataset: Dataset, rate: float, rounds: int, folder: Path) -> list[str]:
    os.environ["MLUBENCH_CARD_RATE"] = str(rate)
    found: dict[str, list[float]] = {"decode": [], "infer": [], "both": []}
    with DevicePool(engine_host("benchmarks.card_engine"), ["card:0"]) as devices:
        for number in range(rounds):
            place = folder / str(number)
            ways: dict[str, Callable[[], object]] = {
                "decode": lambda place=place: _decode(dataset, place / "a"),
                "infer": lambda place=place: _infer(devices, dataset, place / "a"),
                "both": lambda place=place: _infer(devices, dataset, place / "b"),
            }
            for name in ways if number % 2 else ("both", "decode", "infer"):
                found[name].append(_timed(ways[name]))
    pairs = list(zip(*found.values(), strict=True))
    decode, infer, both = (statistics.median(one) for one in found.values())
    over = statistics.median(both / max(decode, infer) for decode, infer, both in pairs)
    gain = statistics.median((decode + infer) / both for decode, infer, both in pairs)
    seconds = [f"{one:.2f}" for one in (decode, infer, decode + infer, both)]
    return [f"{rate:.0f}", *seconds, f"{over:.2f}", f"{gain:.2f}"]


def _timed(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def _decode(dataset: Dataset, cache: Path) -> None:
    Decoding(dataset, _SPEC, cache).run(workers=_cores(), progress=lambda *_: None)


def _infer(devices: DevicePool, dataset: Dataset, cache: Path) -> None:
    """Infer all images, decoding meanwhile what the cache has not got."""
    compiled = Compiled("force_float32", cache, "none")
    with Decoding(dataset, _SPEC, cache) as images, tempfile.TemporaryDirectory() as kept:
        options = {"workers": _cores(), "progress": lambda *_: None}
        thread = threading.Thread(target=images.run, kwargs=options)
        thread.start()
        shards = cut(images.shape[0], 8, -(-images.shape[0] // _SHARD), 1)
        order = imagenet_order("2012")
        place = Workspace(Path(kept))
        infer_images(devices, compiled, images, shards, order, place, lambda *_: None)
        thread.join()


def _cores() -> int:
    return len(os.sched_getaffinity(0))


if __name__ == "__main__":
    main()
