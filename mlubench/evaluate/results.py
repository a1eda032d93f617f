"""Merging, judging, and the run folder."""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mlubench import __version__
from mlubench.devices.names import grouped
from mlubench.engines.precisions import REFERENCE
from mlubench.errors import DepotError
from mlubench.evaluate.accuracy import (
    AccuracyRow,
    Setup,
    accuracy_rows,
    accuracy_table,
    verdict_reasons,
)
from mlubench.evaluate.flips import find_flips
from mlubench.evaluate.images import ChosenImages
from mlubench.evaluate.inference import Inferred
from mlubench.evaluate.label_order_check import WrongOrder, find_wrong_order
from mlubench.evaluate.options import EvaluateParameters
from mlubench.evaluate.predictions import predictions_table
from mlubench.evaluate.shard_files import merge_shards, shards_table
from mlubench.evaluate.thumbnails import write_thumbnails
from mlubench.images.decoding.cache import DecodedImages, ImageRecord
from mlubench.magicmind_sample.files import seed_folder_name, write_seed_files
from mlubench.metrics.verdict import Verdict, worst
from mlubench.networks.choose import Network
from mlubench.networks.importing import ImportedNetwork
from mlubench.runs.folders import RunName, name_run
from mlubench.runs.history import append_accuracy, settle
from mlubench.runs.parquet import write_parquet
from mlubench.runs.record import (
    DatasetRecord,
    DeviceUse,
    ImageCounts,
    ModelRecord,
    PublishedRecord,
    RunRecord,
    TuningRecord,
)
from mlubench.store import atomic_folder, locked

#: Per precision, the best classes of all images: int16 [N, C], best first.
_Answers = Mapping[str, NDArray[np.integer]]

#: Exit status where the input was wrong and the run was written nevertheless.
_WRONG_INPUT = 2
#: How many damaged images are named in a summary; predictions.parquet has all of them.
_NAMED = 10


@dataclass(frozen=True)
class Evaluation:
    """All that was chosen and measured, before it is judged.

    Attributes:
        asked: the options.
        network: the network and its files.
        imported: what it was imported from.
        chosen: the images.
        scored: the decoded images that were inferred.
        calibrated_on: how many images calibrated the quantised precisions.
        unfit: the names of those that were to and could not be decoded.
        inferred: the finished shards, a precision each.
        engine_name: the engine's name, which says where it is simulated.
        engine: what the engine says of itself.
        devices: what it says of each device.
        begun: when the run began.
        seconds: how long each stage took.
        compile_seconds: of each precision that was compiled anew.
        lost: the devices that were lost, by name, and how that began.
        tuning: as in run.json.
    """

    asked: EvaluateParameters
    network: Network
    imported: ImportedNetwork
    chosen: ChosenImages
    scored: DecodedImages
    calibrated_on: int
    unfit: Sequence[str]
    inferred: Sequence[Inferred]
    engine_name: str
    engine: Mapping[str, str]
    devices: Mapping[str, str]
    begun: datetime
    seconds: Mapping[str, float] = field(default_factory=dict)
    compile_seconds: Mapping[str, float] = field(default_factory=dict)
    lost: Mapping[str, str] = field(default_factory=dict)
    tuning: Mapping[str, TuningRecord] = field(default_factory=dict)


@dataclass(frozen=True)
class Outcome:
    """How a run ended.

    Attributes:
        folder: the run folder.
        record: what run.json says.
        rows: what accuracy.parquet says.
        corrupt: the images that could not be decoded.
        unfit: the names of calibration images that could not be decoded.
        remarks: what is odd about the dataset: images that are missing, unlisted or listed twice.
        reasons: per judged precision, the sentence behind its verdict.
        exit_status: of the command: 0 pass, 1 a gate failed, 2 too many damaged images or a
            wrong label order, 3 inconclusive.
        wrong_order: accuracy near chance, and whether another label order explains it.
        lost: the devices that were lost, by name, and how that began.
        unshared: why it is not on the store that other hosts share; empty where it is, or none is.
    """

    folder: Path
    record: RunRecord
    rows: Sequence[AccuracyRow]
    corrupt: Sequence[ImageRecord]
    unfit: Sequence[str]
    remarks: Sequence[str]
    reasons: Mapping[str, str]
    exit_status: int
    wrong_order: WrongOrder | None = None
    lost: Mapping[str, str] = field(default_factory=dict)
    unshared: str = ""

    def shared(self, unshared: str) -> Outcome:
        """Return the outcome of a run that was to be put on a store.

        Args:
            unshared: why that could not be; empty where it was.
        """
        status = self.exit_status or (DepotError.exit_status if unshared else 0)
        return replace(self, unshared=unshared, exit_status=status)

    def notes(self) -> list[str]:
        """Return what a reader must know beside the table: wrong input, verdicts' reasons."""
        wrong = [str(self.wrong_order)] if self.wrong_order else []
        named = [f"{image.name}: {image.kind}" for image in self.corrupt[:_NAMED]]
        more = [f"and {len(self.corrupt) - _NAMED} more"] if len(self.corrupt) > _NAMED else []
        damaged = [f"damaged, not scored: {'; '.join(named + more)}"] if named else []
        unfit = [f"damaged, not calibrated on: {', '.join(self.unfit)}"] if self.unfit else []
        judged = [
            f"{row.precision}: {self.reasons[row.precision]}"
            for row in self.rows
            if row.verdict != Verdict.NOT_JUDGED
        ]
        gone = [f"{name}: {why}" for name, why in self.lost.items()]
        lost = [f"lost, the others did its work: {one}" for one in grouped(gone)]
        unshared = [self.unshared] if self.unshared else []
        return [*wrong, *damaged, *unfit, *self.remarks, *lost, *judged, *unshared]


def write_run(evaluation: Evaluation, runs: Path, write_page: Callable[[Path], object]) -> Outcome:
    """Merge, judge and write the run folder, which appears when it is complete.

    Args:
        evaluation: what was measured.
        runs: folder of all runs.
        write_page: renders report.html from the other files of the folder.

    Raises:
        DatasetError: no image could be scored.
        StoreError: the folder cannot be written.
    """
    predictions, answers = _merged(evaluation)
    limits = evaluation.asked.limits
    rows = accuracy_rows(predictions, _setup(evaluation), limits)
    corrupt = [evaluation.scored.records[place] for place in evaluation.scored.corrupt]
    wrong_order = _wrong_order(evaluation, answers)
    shards = shards_table([path for part in evaluation.inferred for path in part.shards])

    history = runs.parent / "history"
    with locked(runs / ".lock"):
        settle(history, runs)
        name = name_run(
            runs,
            evaluation.network.name,
            simulated="simulated" in evaluation.engine,
            shared=evaluation.asked.artifacts is not None,
        )
        record = _record(evaluation, name, worst(row.verdict for row in rows), wrong_order)
        with (
            append_accuracy(history, record, accuracy_table(rows)),
            atomic_folder(runs / name.run_id) as folder,
        ):
            record.write(folder / "run.json")
            write_parquet(folder / "predictions.parquet", predictions)
            write_parquet(folder / "accuracy.parquet", accuracy_table(rows))
            write_parquet(folder / "shards.parquet", shards)
            write_thumbnails(folder, find_flips(predictions), evaluation.scored)
            _write_seed_folders(folder, evaluation, answers)
            write_page(folder)
    misnamed = wrong_order is not None and wrong_order.certain
    wrong = misnamed or len(corrupt) > evaluation.asked.max_corrupt
    return Outcome(
        folder=runs / name.run_id,
        record=record,
        rows=rows,
        corrupt=corrupt,
        unfit=evaluation.unfit,
        remarks=evaluation.chosen.remarks(),
        reasons=verdict_reasons(rows, limits),
        exit_status=_WRONG_INPUT if wrong else record.verdict.exit_status,
        wrong_order=wrong_order,
        lost=evaluation.lost,
    )


def _merged(evaluation: Evaluation) -> tuple[pa.Table, _Answers]:
    """Return the table of predictions, and the best classes of all images by precision."""
    images = evaluation.chosen.scored.images
    answers = {
        inferred.precision: merge_shards(inferred.shards, len(images))
        for inferred in evaluation.inferred
    }
    predictions = predictions_table(
        [image.name for image in images],
        [image.class_id for image in images],
        evaluation.chosen.labels,
        set(evaluation.scored.corrupt),
        answers,
    )
    return predictions, {precision: top_index for precision, (top_index, _) in answers.items()}


def _wrong_order(evaluation: Evaluation, answers: _Answers) -> WrongOrder | None:
    """Ask whether the reference (or the first precision) scores as if an order were wrong."""
    first = evaluation.inferred[0].precision
    top_index = answers[REFERENCE if REFERENCE in answers else first]
    images = evaluation.chosen.scored.images
    scored = np.setdiff1d(np.arange(len(images)), evaluation.scored.corrupt)
    return find_wrong_order(
        [images[place].class_id for place in scored],
        top_index[scored, 0],
        evaluation.network.order,
        evaluation.asked.label_file_order,
        _published(evaluation.network),
    )


def _published(network: Network) -> float | None:
    """Return the best top-1 that is published of a network."""
    return max((figure.top1 for figure in network.published), default=None)


def _setup(evaluation: Evaluation) -> Setup:
    return Setup(
        model=evaluation.network.name,
        dataset=evaluation.chosen.scored.name,
        engine=evaluation.engine_name,
        engine_version=evaluation.engine["version"],
        batch_size=evaluation.asked.batch_size,
        dynamic_shape=evaluation.asked.dynamic_shape,
        executed_precision={
            inferred.precision: inferred.executed_precision for inferred in evaluation.inferred
        },
    )


def _record(
    evaluation: Evaluation, name: RunName, verdict: Verdict, wrong_order: WrongOrder | None
) -> RunRecord:
    images = evaluation.chosen.scored
    records = evaluation.scored.records
    damaged = [records[place] for place in records.corrupt]
    return RunRecord(
        run_id=name.run_id,
        begun_utc=evaluation.begun,
        created_utc=name.written,
        parameters=evaluation.asked.model_dump(mode="json"),
        model=ModelRecord(
            name=evaluation.network.name,
            prototxt_sha256=evaluation.imported.prototxt_sha256,
            weights_sha256=evaluation.imported.caffemodel_sha256,
        ),
        dataset=DatasetRecord(
            name=images.name,
            digest=evaluation.scored.content_digest,
            images=ImageCounts(
                expected=len(images.images) + len(images.missing),
                scored=len(images.images) - len(damaged),
                corrupt=len(damaged),
                missing=len(images.missing),
                duplicate=records.copies() + len(images.duplicates),
                present=len(images.images),
                unlisted=len(images.unlisted),
            ),
            calibration_images=evaluation.calibrated_on,
        ),
        engine=evaluation.engine_name,
        engine_version=evaluation.engine["version"],
        devices=[f"{name}: {what}" for name, what in evaluation.devices.items()],
        host=socket.gethostname(),
        device_use={
            part.precision: {name: DeviceUse(**asdict(one)) for name, one in part.use.items()}
            for part in evaluation.inferred
            if part.use
        },
        seconds={stage: round(seconds, 3) for stage, seconds in evaluation.seconds.items()},
        compile_seconds={
            precision: round(seconds, 3)
            for precision, seconds in evaluation.compile_seconds.items()
        },
        label_order=evaluation.network.order.name,
        damage={record.name: record.kind for record in damaged},
        tuning=dict(evaluation.tuning),
        provenance=_provenance(evaluation, wrong_order),
        published=tuple(
            PublishedRecord(**figure.model_dump()) for figure in evaluation.network.published
        ),
        verdict=verdict,
    )


def _provenance(evaluation: Evaluation, wrong_order: WrongOrder | None) -> dict[str, str]:
    """Return what else the figures hang on: versions, the host's arithmetic, networks' keys."""
    return {
        "mlubench": __version__,
        **{f"engine's {name}": fact for name, fact in evaluation.engine.items()},
        **{f"{part.precision}, key": part.network_key for part in evaluation.inferred},
        **({"label order": str(wrong_order)} if wrong_order else {}),
    }


def _write_seed_folders(folder: Path, evaluation: Evaluation, answers: _Answers) -> None:
    """Write the text files that the seed's own scripts read, for each precision."""
    images = evaluation.chosen.scored.images
    scored = np.setdiff1d(np.arange(len(images)), evaluation.scored.corrupt)
    names = [images[place].name for place in scored]
    labels = evaluation.chosen.labels[scored]
    for precision, top_index in answers.items():
        write_seed_files(
            folder
            / seed_folder_name(
                evaluation.network.name,
                precision,
                evaluation.asked.dynamic_shape,
                evaluation.asked.batch_size,
            ),
            names,
            labels,
            top_index[scored],
            evaluation.network.order.names,
        )
