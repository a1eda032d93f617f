"""Inference of all images in one precision: shards to devices, a Parquet file for each."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from mlubench.devices.card_power import sampled
from mlubench.devices.pool import DevicePool, Job
from mlubench.devices.shards import Shard
from mlubench.engines.interface import Concurrency
from mlubench.engines.magicmind.sampler import CardUse
from mlubench.errors import StoreError, WorkerError
from mlubench.evaluate.shard_files import ShardFacts, Workspace, read_shard, write_shard
from mlubench.images.datasets.labels import LabelOrder
from mlubench.images.decoding.cache import DecodedImages
from mlubench.images.decoding.decoder import Decoding
from mlubench.networks.choose import check_classes
from mlubench.networks.compile import Compiled


@dataclass(frozen=True)
class Inferred:
    """The finished shards of a precision.

    Attributes:
        precision: MagicMind's name of what was asked for.
        executed_precision: the arithmetic that the devices used.
        network_key: the compiled network's content key.
        shards: a Parquet file each, in order.
        use: power and utilisation of the devices that report them, by name.
    """

    precision: str
    executed_precision: str
    network_key: str
    shards: tuple[Path, ...]
    use: Mapping[str, CardUse] = field(default_factory=dict)


def infer_images(
    devices: DevicePool,
    compiled: Compiled,
    images: DecodedImages | Decoding,
    shards: Sequence[Shard],
    order: LabelOrder,
    kept: Workspace,
    progress: Callable[[int, int], None],
    concurrency: Concurrency = Concurrency(),
) -> Inferred:
    """Infer the shards that the folder has not got yet, each as soon as its images are decoded.

    Args:
        devices: the running workers.
        compiled: the network.
        images: what is inferred; damaged images are run as black ones and scored by nobody.
        shards: the cut of the images.
        order: the network's label order.
        kept: where finished shards are kept.
        progress: called with (images done, images in all).
        concurrency: how much each device does at once.

    Raises:
        ConfigError: the network has another number of classes.
        DeviceError: the engine failed, or no device is left.
        StoreError: a result cannot be written.
        MlubenchError: the images cannot be decoded.
    """
    total = images.shape[0]
    paths, waiting = shard_files(kept, compiled.precision, shards)
    before = total - sum(shard.images for shard in waiting)

    def report(done: int) -> None:
        progress(before + done, total)

    def decoded(shard: Shard) -> None:
        images.wait(shard.first + shard.images)

    loaded = devices.load(compiled.folder, concurrency=concurrency)
    check_classes(loaded.classes, order)
    recorder = _Recorder(compiled.precision, images, paths, devices.label)
    with sampled(devices.host, devices.names) as use:
        job = Job(
            recorder.request,
            recorder.keep,
            report,
            arrival=None if images.complete else decoded,
        )
        devices.run(waiting, job)
    return Inferred(
        compiled.precision, loaded.executed_precision, compiled.key, tuple(paths.values()), use
    )


def shard_files(
    kept: Workspace, precision: str, shards: Sequence[Shard]
) -> tuple[dict[Shard, Path], list[Shard]]:
    """Return each shard's Parquet file, and the shards that a killed run did not leave finished.

    Raises:
        StoreError: the folder cannot be made.
    """
    folder = kept.shards(precision)
    paths = {shard: folder / _file_name(shard) for shard in shards}
    return paths, [shard for shard, path in paths.items() if not _sound(path, precision, shard)]


def _file_name(shard: Shard) -> str:
    return f"{shard.first:08d}-{shard.images:08d}.parquet"


def _sound(path: Path, precision: str, shard: Shard) -> bool:
    """Whether a killed run left this shard finished."""
    with contextlib.suppress(StoreError):
        kept = read_shard(path)
        found = (kept.precision, kept.result.first_image, kept.facts["images"])
        return found == (precision, shard.first, shard.images)
    return False


class _Recorder:
    """Makes the workers' requests and turns their result files into Parquet."""

    def __init__(
        self,
        precision: str,
        images: DecodedImages | Decoding,
        paths: Mapping[Shard, Path],
        label: Callable[[str], str],
    ) -> None:
        self._label = label
        self._precision = precision
        self._images = images
        self._paths = paths

    def request(self, shard: Shard, device: str) -> dict[str, Any]:
        """Return what to say to the worker.

        Raises:
            StoreError: the shard's pixels have changed on the disk.
        """
        self._images.verify(shard.first, shard.images)
        return {
            "do": "run",
            "pixels": str(self._images.path),
            "shape": list(self._images.shape),
            "first": shard.first,
            "images": shard.images,
            "out": str(self._raw(shard, device)),
        }

    def keep(
        self, shard: Shard, device: str, failures: Sequence[str], answer: Mapping[str, Any]
    ) -> None:
        """Write the shard's Parquet file; what is in it is done.

        Raises:
            WorkerError: what the worker wrote cannot be read back.
            StoreError: the file cannot be written.
        """
        raw = self._raw(shard, device)
        top_index, top_score = _read_raw(raw, device)
        write_shard(
            self._paths[shard],
            precision=self._precision,
            first_image=shard.first,
            top_index=top_index,
            top_score=top_score,
            facts=ShardFacts(
                shard=shard.index,
                device=self._label(device),
                host=socket.gethostname(),
                attempts=len(failures) + 1,
                failures=list(failures),
                started_utc=datetime.fromtimestamp(answer["started"], UTC),
                seconds=answer["seconds"],
                images=shard.images,
            ),
        )
        raw.unlink()

    def _raw(self, shard: Shard, device: str) -> Path:
        """Return the worker's result file, its own even where a dead worker left half of one."""
        name = device.replace(":", "-").replace("/", "-")
        return self._paths[shard].with_suffix(f".{name}.npz")


def _read_raw(path: Path, device: str) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Read a worker's result file, whose arrays carry checksums."""
    try:
        with path.open("rb") as stream:
            return read_results(stream)
    except Exception as error:  # a damaged archive raises whatever it likes
        raise WorkerError(
            f"its results cannot be read back: {error}", where=device, fix="have the disk checked"
        ) from error


def read_results(stream: BinaryIO) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Read what a worker wrote of a shard: best classes and their scores, both [images, 5].

    Raises:
        Exception: whatever a damaged archive raises.
    """
    with np.load(stream, allow_pickle=False) as arrays:
        return arrays["top_index"], arrays["top_score"]
