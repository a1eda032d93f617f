"""Finished evaluations: their run folder read, and their inputs prepared again from the caches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from mlubench.devices.engine_host import engine_host
from mlubench.devices.pool import DevicePool
from mlubench.engines.precisions import REFERENCE, is_quantised
from mlubench.errors import ConfigError
from mlubench.evaluate.images import ChosenImages, choose_images
from mlubench.evaluate.options import EvaluateParameters, check_parameters
from mlubench.images.decoding.cache import DecodedImages
from mlubench.images.decoding.decoder import decode_images
from mlubench.networks.calibration import CalibrationImages
from mlubench.networks.choose import Network, choose_network
from mlubench.networks.compile import Compiled, build_spec, compile_network
from mlubench.networks.fetch.download import Downloads
from mlubench.networks.fetch.files import fetch_files
from mlubench.networks.importing import ImportedNetwork, check_label_order, import_network
from mlubench.runs.folders import Run
from mlubench.runs.parquet import read_parquet
from mlubench.runs.record import RunRecord
from mlubench.runs.schemas import PREDICTIONS


@dataclass(frozen=True)
class Prepared:
    """What an evaluation runs on.

    Attributes:
        asked: its options.
        run: where it writes.
        network: the network.
        imported: what it was imported from.
        chosen: the images.
        scored: the decoded images.
        calibration: those that calibrate.
        devices: running workers.
    """

    asked: EvaluateParameters
    run: Run
    network: Network
    imported: ImportedNetwork
    chosen: ChosenImages
    scored: DecodedImages
    calibration: CalibrationImages | None
    devices: DevicePool

    def compiled(self, precision: str, keep_float: Sequence[str] = ()) -> Compiled:
        """Return the network in a precision, compiled unless the cache has it.

        Args:
            precision: MagicMind's name of it.
            keep_float: layers that are not quantised, in place of those of the options.

        Raises:
            ConfigError: the engine has not got it.
            DeviceError: the engine failed.
        """
        asked = self.asked
        if keep_float:
            asked = asked.model_copy(update={"keep_float": tuple(keep_float)})
        spec = build_spec(self.network, asked, precision)
        self.devices.check(spec)
        return compile_network(
            self.imported,
            spec,
            self.calibration if is_quantised(precision) else None,
            self.devices.host,
            self.devices.engine,
            self.run.store,
            self.devices.build_addresses(),
        )


@contextmanager
def prepared_again(record: RunRecord, out: Path) -> Iterator[Prepared]:
    """Give a finished evaluation's inputs; what the caches lack is made anew.

    Args:
        record: what its run.json says.
        out: folder of runs and caches.

    Raises:
        ConfigError: the network or the images are not those of the run any more.
        DeviceError: the devices are not there.
    """
    asked = check_parameters(**{**record.parameters, "out": out})
    run = Run(out)
    with run.in_use():
        network = choose_network(asked)
        if network.to_fetch is not None:
            downloads = Downloads(progress=lambda *_: None, remark=lambda _: None)
            for _ in fetch_files(network.to_fetch, downloads):
                pass
        imported = import_network(network, run.store)
        check_label_order(imported, network.order)
        _check_network(record, imported)
        chosen = choose_images(asked, network.order, run.data)
        scored = decode_images(chosen.scored, network.preprocess, run.decoded, lambda *_: None)
        _check_images(record, scored)
        calibration = None
        if chosen.calibration is not None:
            pixels = decode_images(
                chosen.calibration, network.preprocess, run.decoded, lambda *_: None
            )
            calibration = CalibrationImages(pixels, network.preprocess)
        with DevicePool(engine_host(asked.engine, asked.conf), asked.devices) as devices:
            yield Prepared(asked, run, network, imported, chosen, scored, calibration, devices)


def _check_network(record: RunRecord, imported: ImportedNetwork) -> None:
    found = (imported.prototxt_sha256, imported.caffemodel_sha256)
    if found != (record.model.prototxt_sha256, record.model.weights_sha256):
        raise ConfigError(
            "the network's files are not those that the run was made with",
            where=record.run_id,
            expected=f"SHA-256 {record.model.prototxt_sha256} and {record.model.weights_sha256}",
            fix="put the files back, or run mlubench eval again",
        )


def _check_images(record: RunRecord, scored: DecodedImages) -> None:
    if scored.content_digest != record.dataset.digest:
        raise ConfigError(
            "the images are not those that the run was made with",
            where=record.run_id,
            expected=f"digest {record.dataset.digest}",
            fix="put the images back, or run mlubench eval again",
        )


def read_evaluation(folder: Path) -> EvaluatedRun:
    """Read a run folder of an evaluation.

    Raises:
        StoreError: it cannot be read.
    """
    return EvaluatedRun(
        RunRecord.read(folder / "run.json"),
        read_parquet(folder / "predictions.parquet", PREDICTIONS),
    )


@dataclass(frozen=True)
class EvaluatedRun:
    """What a run folder of an evaluation holds, as far as the gates need it."""

    record: RunRecord
    predictions: pa.Table

    @property
    def precisions(self) -> list[str]:
        """Those that were evaluated, force_float32 first, then by name."""
        found: list[str] = pc.unique(self.predictions["precision"]).to_pylist()
        return sorted(found, key=lambda name: (name != REFERENCE, name))
