"""run.json: what a run was, with what, on what, and how it ended."""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import (
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    ValidationError,
)

from mlubench.errors import StoreError
from mlubench.metrics.verdict import Verdict
from mlubench.store import write_json
from mlubench.validation import fault_lines

_Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class Record(BaseModel):
    """A part of a run.json, or a whole one."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    def write(self, path: Path) -> None:
        """Write the record as JSON, atomically.

        Raises:
            StoreError: the folder cannot be written.
        """
        write_json(path, self.model_dump(mode="json"))

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a record that :meth:`write` wrote.

        Raises:
            StoreError: the file cannot be read, or a key is absent, unknown or wrong.
        """
        try:
            return cls.model_validate_json(path.read_bytes())
        except OSError as error:
            raise StoreError(
                f"cannot be read: {error.strerror}", where=str(path), fix="name the folder of a run"
            ) from error
        except ValidationError as error:
            raise StoreError(
                "; ".join(fault_lines(error)),
                where=str(path),
                expected="run.json of a run, version 1",
                fix="see whether another version wrote it, or run it again",
            ) from error


class ModelRecord(Record):
    """The network.

    Attributes:
        name: as in the catalogue, or the prototxt's file name.
        prototxt_sha256: 64 hex digits.
        weights_sha256: 64 hex digits, of the caffemodel; of an ONNX file both are its own.
    """

    name: str
    prototxt_sha256: _Sha256
    weights_sha256: _Sha256


class ImageCounts(Record):
    """What became of the images.

    Attributes:
        expected: how many the run was to score.
        scored: how many it did score.
        present: how many of the expected were found; None in records of before it was told.
        corrupt: found, but not decoded whole.
        missing: listed, but not found.
        duplicate: listed or found more than once.
        unlisted: found, but not listed, and so not expected; None in records of before it was
            counted.
    """

    expected: NonNegativeInt
    scored: NonNegativeInt
    corrupt: NonNegativeInt
    missing: NonNegativeInt
    duplicate: NonNegativeInt
    present: NonNegativeInt | None = None
    unlisted: NonNegativeInt | None = None


class DatasetRecord(Record):
    """The images.

    Attributes:
        name: as in the catalogue, or the folder's name.
        digest: of the names, labels and bytes of the images.
        images: see :class:`ImageCounts`.
        calibration_images: how many calibrated the quantised precisions.
    """

    name: str
    digest: str
    images: ImageCounts
    calibration_images: NonNegativeInt


class DeviceUse(Record):
    """What a card reported while it inferred; None where it does not report.

    Attributes:
        samples: how often it was asked.
        power_mean_w: in watts; the mean of the samples.
        power_max_w: in watts.
        utilisation_mean_percent: 0 to 100.
        utilisation_max_percent: 0 to 100.
    """

    samples: NonNegativeInt
    power_mean_w: NonNegativeFloat | None
    power_max_w: NonNegativeFloat | None
    utilisation_mean_percent: NonNegativeFloat | None
    utilisation_max_percent: NonNegativeFloat | None


class PublishedRecord(Record):
    """An accuracy of the network that somebody else measured, as the catalogue had it.

    Attributes:
        source: who, on what.
        precision: MagicMind's name of the numeric mode.
        top1: a fraction.
        top5: a fraction.
        differs: in what that measurement differs from the catalogue's entry; empty if in nothing
            that is known.
    """

    source: str
    precision: str
    top1: NonNegativeFloat
    top5: NonNegativeFloat
    differs: str = ""


class TriedRecord(Record):
    """One way to keep a device busy, measured.

    Attributes:
        batch_size: images of a batch; 0 in records from before it was searched for.
        streams: inferences side by side, on one thread each; 0 where a device has none.
        requests: batches in flight, of each thread of the host.
        threads: of the host, on each device.
        images_per_second: of each round.
        p_faster: one-sided p of Mann-Whitney's test that it is faster than the engine's usual
            way, which is the first; 1 for that itself.
    """

    batch_size: NonNegativeInt = 0
    streams: NonNegativeInt
    requests: NonNegativeInt
    threads: NonNegativeInt
    images_per_second: list[PositiveFloat]
    p_faster: float

    @property
    def median(self) -> float:
        """Images per second, the median of the rounds."""
        return statistics.median(self.images_per_second)


class TuningRecord(Record):
    """A search: what was tried, the engine's usual way first, and which was chosen.

    Attributes:
        tried: every way, in the order in which they are listed.
        chosen: the place of the chosen one in it; 0 where no other is surely faster.
        disturbed: whether other processes had so much of the host in half of the measurements, or
            more, that the search is not kept for later runs.
    """

    tried: list[TriedRecord]
    chosen: NonNegativeInt
    disturbed: bool = False

    @property
    def best(self) -> TriedRecord:
        """The chosen way."""
        return self.tried[self.chosen]


class RunRecord(Record):
    """run.json, version 1.

    Attributes:
        schema_version: 1.
        run_id: the name of the run's folder.
        begun_utc: when the run began; none in records from before that was noted.
        created_utc: when the run folder was written; runs were published in this order.
        parameters: the options that it was given.
        model: the network.
        dataset: the images.
        engine: the engine's name.
        engine_version: its version.
        devices: those that inferred.
        device_use: per precision and device, power and utilisation, where devices report them.
        host: where the run was started.
        seconds: per stage, in the order of the stages' names.
        compile_seconds: per precision that was compiled anew.
        label_order: how the network numbers its classes: 2012, 2015 or digits.
        damage: per corrupt image, what is wrong with it.
        tuning: per precision, how devices are kept busy, where that was searched for; under
            ``PRECISION, batch`` the search for the batch, whose choice all precisions share.
        provenance: further versions, digests and remarks that the figures hang on, by name.
        published: what others measured of the network.
        verdict: the worst of the precisions'.
    """

    schema_version: Literal[1] = 1
    run_id: str
    begun_utc: AwareDatetime | None = None
    created_utc: AwareDatetime
    parameters: dict[str, JsonValue]
    model: ModelRecord
    dataset: DatasetRecord
    engine: str
    engine_version: str
    devices: list[str]
    device_use: dict[str, dict[str, DeviceUse]] = {}
    host: str
    seconds: dict[str, NonNegativeFloat]
    compile_seconds: dict[str, NonNegativeFloat] = {}
    label_order: str = ""
    damage: dict[str, str] = {}
    tuning: dict[str, TuningRecord] = {}
    provenance: dict[str, str] = {}
    published: tuple[PublishedRecord, ...] = ()
    verdict: Verdict
