"""One flipped bit in whatever is kept: noticed, then made again or told; never used.

Every bit of small entries is flipped, one after the other, and their reader asked; then bits drawn
by lot in what an evaluation keeps, and evaluations made of it.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from mlubench.errors import StoreError
from mlubench.evaluate.shard_files import ShardFacts, read_shard, write_shard
from mlubench.images.datasets.dataset import Dataset
from mlubench.images.decoding.cache import verify_block
from mlubench.images.decoding.decoder import decode_dataset
from mlubench.images.decoding.preprocess import Preprocess
from mlubench.runs.history import append_accuracy, read_accuracy_history
from mlubench.runs.parquet import read_parquet
from mlubench.runs.record import RunRecord
from mlubench.runs.schemas import ACCURACY
from mlubench.store import Store, entry_damage
from tests.chaos.campaign import Chance, Counts, must
from tests.chaos.evaluating import Place, outputs
from tests.chaos.kills import Undisturbed, warm
from tests.images.pictures import jpeg, picture, write_folder
from tests.support.runs import write_evaluation

_SPEC = Preprocess("short", 24, 20)
#: Of the time, for single readers; the rest is for whole evaluations.
_READERS_SHARE = 0.4
_IMAGES = 3

Noticed = Callable[[], bool]
"""Whether a reader notices, or finds what was there before."""


def flips(file: Path, bits: list[int]) -> Iterator[int]:
    """Flip one bit of a file after the other; give the bit while it is flipped."""
    whole = file.read_bytes()
    for bit in bits:
        changed = bytearray(whole)
        changed[bit // 8] ^= 1 << bit % 8
        file.write_bytes(changed)
        yield bit
    file.write_bytes(whole)


def unnoticed(file: Path, noticed: Noticed, bits: list[int] | None = None) -> list[int]:
    """Return the bits of a file that its reader lets be flipped; of all where none are named."""
    every = range(8 * file.stat().st_size)
    return [bit for bit in flips(file, list(every if bits is None else bits)) if not noticed()]


def store_entry(folder: Path) -> tuple[list[Path], Noticed]:
    """Make an entry of the store, such as a compiled network is; return its files and reader."""
    parts = {"network": "abc", "spec": {"batch": 8, "means": [104.0, 117.5]}}

    def build(entry: Path) -> None:
        (entry / "model.bin").write_bytes(bytes(range(100)))
        (entry / "model.xml").write_text("<net/>")

    entry = Store(folder).get("compiled", parts, build)
    return sorted(entry.iterdir()), lambda: entry_damage(entry, parts) is not None


def shard_result(folder: Path) -> tuple[list[Path], Noticed]:
    """Make a finished shard."""
    path = folder / "00000000-00000003.parquet"
    write_shard(
        path,
        "force_float32",
        0,
        np.arange(15, dtype=np.int16).reshape(3, 5),
        np.linspace(1, 0, 15, dtype=np.float32).reshape(3, 5),
        ShardFacts(
            shard=0,
            device="cpu:0",
            host="h",
            attempts=1,
            failures=[],
            started_utc=datetime(2026, 1, 1, tzinfo=UTC),
            seconds=0.5,
            images=3,
        ),
    )
    return [path], _refuses(lambda: read_shard(path))


def history_file(folder: Path) -> tuple[list[Path], Noticed]:
    """Make the history of one run."""
    run = write_evaluation(folder / "out", 0, images=10)
    record = RunRecord.read(run / "run.json")
    with append_accuracy(folder, record, read_parquet(run / "accuracy.parquet", ACCURACY)):
        pass
    return list(folder.glob("accuracy/*.parquet")), _refuses(lambda: read_accuracy_history(folder))


def decoded_cache(folder: Path) -> tuple[list[Path], Noticed]:
    """Make a decoded cache, one of whose images is damaged."""
    files = {f"{i}.JPEG": jpeg(picture(24, 24, seed=i)) for i in range(_IMAGES)}
    files["1.JPEG"] = b""
    dataset = write_folder(folder / "images", files)
    whole = _decode(dataset, folder / "cache")
    cache = whole.path.parent
    kept = {file: file.read_bytes() for file in cache.rglob("*") if file.is_file()}
    markers = list(cache.glob("blocks/*.json"))

    def noticed() -> bool:
        """Whether what is used at last is what was decoded."""
        try:
            found = _decode(dataset, folder / "cache")
            verify_block(found, 0)
            right = found == whole and found.path.read_bytes() == kept[whole.path]
        except StoreError:
            right = True
        for file, data in kept.items():
            file.write_bytes(data)
        return right

    return [cache / "manifest.json", whole.path, *markers], noticed


def _decode(dataset: Dataset, root: Path):  # type: ignore[no-untyped-def]  # noqa: ANN202
    return decode_dataset(dataset, _SPEC, root, workers=1, progress=lambda done, total: None)


def _refuses(read: Callable[[], object]) -> Noticed:
    def noticed() -> bool:
        try:
            read()
        except StoreError:
            return True
        return False

    return noticed


#: By name, what makes something small that is kept.
KEPT = {
    "compiled network": store_entry,
    "shard result": shard_result,
    "history": history_file,
    "decoded images": decoded_cache,
}


def campaign(chance: Chance, whole: Undisturbed) -> Counts:
    """Flip bits until the time is up."""
    counts = Counts()
    begin = time.monotonic()
    for place, (name, make) in enumerate(KEPT.items()):
        end = begin + (chance.end - begin) * _READERS_SHARE * (place + 1) / len(KEPT)
        with counts.trial(name):
            files, noticed = make(chance.folder / name.replace(" ", "-"))
            for file in files:
                _flip_many(chance, counts, name, file, noticed, end)
    chance.trials(counts, 10_000, lambda number: _evaluate(chance, counts, whole, number))
    return counts


def _flip_many(
    chance: Chance, counts: Counts, name: str, file: Path, noticed: Noticed, end: float
) -> None:
    """Flip the bits of a file in an order drawn by lot."""
    bits = list(range(8 * file.stat().st_size))
    chance.lot(name, file.name).shuffle(bits)
    for bit in flips(file, bits):
        must(noticed(), f"bit {bit} of {file.name} was not noticed")
        counts.count(f"bits of {name}")
        if time.monotonic() > end:
            file.write_bytes(_unflipped(file, bit))
            return


def _unflipped(file: Path, bit: int) -> bytes:
    data = bytearray(file.read_bytes())
    data[bit // 8] ^= 1 << bit % 8
    return bytes(data)


def _evaluate(chance: Chance, counts: Counts, whole: Undisturbed, number: int) -> None:
    """Flip a bit of what an evaluation kept, and evaluate until it is done."""
    lot = chance.lot("evaluate", number)
    place = Place(chance.folder / f"trial-{number}", whole.place.options, more=whole.server)
    warm(whole.place, place)
    kind = lot.choice(("onnx", "compiled", "decoded"))
    file = lot.choice(sorted(f for f in place.out.glob(f"cache/{kind}/*/**/*") if f.is_file()))
    bit = lot.randrange(8 * file.stat().st_size)
    flipped = _unflipped(file, bit)
    file.write_bytes(flipped)
    run = place.start()
    status = run.wait()
    about = f"bit {bit} of {file.relative_to(place.out)}"
    if status == 2:
        must(str(place.out) in run.said(), f"{about}: {run.said()[-3000:]}")
        counts.count("evaluations that told of it")
        place.start().finished()
    else:
        must(status == 0, f"{about}: exit status {status}, {run.said()[-3000:]}")
        counts.count("evaluations that mended it or had no use for it")
    if file.parent.name == "blocks" and file.read_bytes() == flipped:
        # Markers of blocks are read where the list of all is not there.
        (file.parent.parent / "manifest.json").unlink()
        place.start().finished()
        counts.count("markers that were mended once they were used")
    found, expected = outputs(place.out), whole.outputs
    wrong = [name for name in expected if found.get(name) != expected[name]]
    must(not wrong, f"{about}: other outputs: {wrong}")
    shutil.rmtree(place.folder)
