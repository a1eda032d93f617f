"""The options of an evaluation."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import ConfigDict, Field, ValidationError, model_validator

from mlubench.catalogue.entries import LabelOrderName
from mlubench.engines.precisions import PRECISIONS, REFERENCE, is_quantised
from mlubench.engines.traits import device_names
from mlubench.errors import ConfigError
from mlubench.networks.options import DEFAULT_ENGINE, DEFAULT_PRECISIONS, NetworkParameters
from mlubench.object_store.option import ARTIFACTS_HELP, ArtifactsAddress
from mlubench.options import Count, Flag, Positive, form, wrong
from mlubench.validation import fault_text

_IMAGES = ("image_dir", "label_file", "label_file_order")

_LABELS = _IMAGES[1:]

_SCHEDULER = re.compile(r"(tcp|tls)://[^\s/:]+:[0-9]{1,5}")


class EvaluateParameters(NetworkParameters):
    """Options of an evaluation; field descriptions are the help texts.

    A network is named (``model``) or given by its files; so are the images (``dataset``).
    """

    model_config = ConfigDict(
        json_schema_extra=form(
            "Options of mlubench eval; what is left alone has its default.",
            "model",
            "dataset",
            "precision",
            "devices",
            "engine",
            "image_num",
            "batch_size",
            "max_drop",
        )
    )

    dataset: str | None = Field(
        None, description="images of conf/datasets.yaml (default: digits with the sample)"
    )
    image_dir: Path | None = Field(
        None,
        description="images in no catalogue: a folder, a .tar, or a folder of Parquet shards",
    )
    label_file: Path | None = Field(
        None,
        description="their labels, lines of 'name label'; not where folders or names are wnids",
    )
    label_file_order: LabelOrderName | None = Field(
        None, description="how the label file numbers the classes"
    )
    precision: tuple[str, ...] = Field(
        DEFAULT_PRECISIONS, description="numeric mode, repeatable (default: the seed's three)"
    )
    image_num: Positive | None = Field(None, description="score only the first N images")
    devices: tuple[str, ...] = Field(
        ("cpu:0",),
        description="cpu:0 is all cores; cpu:0 cpu:1 are two halves, and so on; cards are mlu:0 "
        "mlu:1 ... (default: the engine's first)",
    )
    shards: Positive | None = Field(
        None, description="shards per precision (default: about 512 images each)"
    )
    runner: Literal["local", "dask"] = Field(
        "local", description="where shards are inferred: on --devices, or by a Dask cluster"
    )
    scheduler: str | None = Field(
        None, description="with --runner dask: its scheduler, tcp://HOST:PORT"
    )
    tune: Flag = Field(
        False,
        description="first measure which batch (unless --batch_size or --dynamic_shape is given), "
        "how many streams and requests in flight are fastest; minutes the first time, then kept",
    )
    artifacts: ArtifactsAddress | None = Field(None, description=ARTIFACTS_HELP)
    max_corrupt: Count = Field(0, description="damaged images that are no error")
    max_drop: Annotated[float, Field(ge=0, le=100)] | None = Field(
        None, description="gate: points of top-1 that a precision may lose to force_float32"
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        for name in self.precision:
            if name not in PRECISIONS:
                raise wrong(
                    f"there is no precision {name!r}",
                    "--precision",
                    "one or more of " + ", ".join(PRECISIONS),
                )
        for option, values in (("--precision", self.precision), ("--devices", self.devices)):
            if not values or len(set(values)) < len(values):
                raise wrong("names nothing, or one thing twice", option, "each name once")
        self.check_network_group()
        self.check_group("dataset", self._images_asked(), allowed_beside_name=())
        if self.random_calib_range is not None:
            raise wrong(
                "a network with made-up ranges has no accuracy; it is for measuring speed",
                "--random_calib_range",
                "only mlubench compile",
            )
        if not self.calibrated:
            self.refuse_unquantised()
        self._check_runner()
        if self.max_drop is not None and REFERENCE not in self.precision:
            raise wrong(
                f"there is no {REFERENCE} to compare with", "--precision", f"{REFERENCE} among them"
            )
        return self

    def _check_runner(self) -> None:
        """Check that a scheduler is named where one is needed, and nowhere else."""
        if (self.runner == "dask") != (self.scheduler is not None):
            raise wrong(
                "--runner dask and --scheduler go together", "--scheduler", "both or neither"
            )
        if self.scheduler is not None and not _SCHEDULER.fullmatch(self.scheduler):
            raise wrong(f"{self.scheduler!r} is no address", "--scheduler", "tcp://HOST:PORT")
        if self.runner == "dask" and self.tune:
            raise wrong(
                "what is measured here says nothing of other hosts", "--tune", "--runner local"
            )

    @model_validator(mode="before")
    @classmethod
    def _name_devices(cls, given: Any) -> Any:
        """Take ``--device_id 0`` for the engine's own ``mlu:0`` or ``cpu:0``; 0 is the default."""
        if not isinstance(given, Mapping):
            return given
        devices = given.get("devices", ("0",))
        if not isinstance(devices, (list, tuple)):
            return given
        engine = str(given.get("engine", DEFAULT_ENGINE))
        return {**given, "devices": device_names(engine, tuple(map(str, devices)))}

    def _images_asked(self) -> tuple[str, ...]:
        """Return the options that must name images; those that tell their classes need no list.

        Whether an order without its list, or the other way round, is one option too many or one
        too few, the images say.
        """
        listed = any(getattr(self, field) is not None for field in _LABELS)
        return _IMAGES if listed and self.image_dir is None else _IMAGES[:1]

    @property
    def limits(self) -> dict[str, float]:
        """The largest drop allowed, as a fraction, of each precision that has a limit."""
        if self.max_drop is None:
            return {}
        return {name: self.max_drop / 100 for name in self.precision if name != REFERENCE}

    @property
    def name(self) -> str:
        """What is judged on what, in a few words; the name of its runs in Prefect's UI."""
        file = self.onnx or self.prototxt
        network = file.stem if file else self.model or "sample"
        images = self.image_dir.name if self.image_dir else self.dataset or "digits"
        return f"{network} on {images}"

    @property
    def batch_open(self) -> bool:
        """Whether the batch is for ``--tune`` to choose."""
        return self.tune and not self.dynamic_shape and "batch_size" not in self.model_fields_set

    @property
    def calibrated(self) -> bool:
        """Whether any precision is calibrated on images."""
        return any(is_quantised(name) for name in self.precision)


def check_parameters(**options: object) -> EvaluateParameters:
    """Return the parameters that these options make.

    Raises:
        ConfigError: an option is unknown or has a wrong value; names it.
    """
    try:
        return EvaluateParameters.model_validate(options)
    except ValidationError as error:
        first = error.errors()[0]
        raise ConfigError(
            fault_text(first),
            where="--" + str(first["loc"][0]),
            fix="see mlubench eval --help",
        ) from error
