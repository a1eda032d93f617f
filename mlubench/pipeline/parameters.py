"""What an evaluation was asked to do: the options of ``mlubench eval``, checked."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
    model_validator,
)

from mlubench.catalogue.entries import Channels, LabelOrderName, Resize, Variances
from mlubench.engines.precisions import PRECISIONS, REFERENCE, is_quantised
from mlubench.errors import ConfigError

DEFAULT_PRECISIONS = (REFERENCE, "force_float16", "qint8_mixed_float16")
_FILES = ("prototxt", "caffemodel", "input_size", "label_order")
_ONNX_FILES = ("onnx", "input_size", "label_order")
_IMAGES = ("image_dir", "label_file", "label_file_order")
_LABELS = _IMAGES[1:]

Count = Annotated[int, Field(ge=0)]
Positive = Annotated[int, Field(gt=0)]
#: A bool that is no mere flag on the command line: the seed writes --dynamic_shape true.
Flag = Annotated[Literal[True, False], BeforeValidator(TypeAdapter(bool).validate_python)]


class EvaluateParameters(BaseModel):
    """Options of an evaluation; field descriptions are the help texts.

    A network is named (``model``) or given by its files; so are the images (``dataset``).
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: str | None = Field(None, description="network of conf/models.yaml (default: sample)")
    dataset: str | None = Field(
        None, description="images of conf/datasets.yaml (default: digits with the sample)"
    )
    prototxt: Path | None = Field(None, description="Caffe's text of a network in no catalogue")
    caffemodel: Path | None = Field(None, description="its weights")
    onnx: Path | None = Field(None, description="a network in no catalogue as ONNX")
    input_size: Positive | None = Field(
        None, description="height and width of its input, in pixels"
    )
    means: Channels | None = Field(None, description="B G R, subtracted (default: 0 0 0)")
    vars: Variances | None = Field(
        None, description="B G R, divided by their square root (default: 1 1 1)"
    )
    resize: Resize | None = Field(
        None, description="short side, exact square or none, before the crop (default: short)"
    )
    resize_size: Positive | None = Field(None, description="pixels of that (default: 256)")
    label_order: LabelOrderName | None = Field(
        None, description="how the network numbers its classes"
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
    calibration_dir: Path | None = Field(
        None,
        description="folder of images to calibrate on; without it, some of the scored "
        "images are held out",
    )
    calibration_num: Positive = Field(300, description="images to calibrate on, at most")
    precision: tuple[str, ...] = Field(
        DEFAULT_PRECISIONS, description="numeric mode, repeatable (default: the seed's three)"
    )
    batch_size: Positive = Field(8, description="images in a batch")
    dynamic_shape: Flag = Field(False, description="compile for batches of any size")
    image_num: Positive | None = Field(None, description="score only the first N images")
    devices: tuple[str, ...] = Field(
        ("cpu:0",), description="cpu:0 is all cores; cpu:0 cpu:1 are two halves, and so on"
    )
    engine: str = Field("openvino", description="what compiles and runs the network")
    shards: Positive | None = Field(
        None, description="shards per precision (default: about 256 images each)"
    )
    max_corrupt: Count = Field(0, description="damaged images that are no error")
    max_drop: Annotated[float, Field(ge=0, le=100)] | None = Field(
        None, description="gate: points of top-1 that a precision may lose to force_float32"
    )
    conf: tuple[Path, ...] = Field(
        (), description="folders with a models.yaml or datasets.yaml of your own"
    )
    out: Path = Field(Path("artifacts"), description="folder of runs and caches")

    @model_validator(mode="after")
    def _check(self) -> Self:
        for name in self.precision:
            if name not in PRECISIONS:
                raise _wrong(
                    f"there is no precision {name!r}",
                    "--precision",
                    "one or more of " + ", ".join(PRECISIONS),
                )
        for option, values in (("--precision", self.precision), ("--devices", self.devices)):
            if not values or len(set(values)) < len(values):
                raise _wrong("names nothing, or one thing twice", option, "each name once")
        if self.onnx is not None and (self.prototxt or self.caffemodel):
            raise _wrong("--onnx and Caffe's files are both given", "--onnx", "one of the two")
        files = _FILES if self.onnx is None else _ONNX_FILES
        self._check_group("model", files, allowed_beside_name=_FILES[1:])
        self._check_group("dataset", self._images_asked(), allowed_beside_name=())
        if self.max_drop is not None and REFERENCE not in self.precision:
            raise _wrong(
                f"there is no {REFERENCE} to compare with", "--precision", f"{REFERENCE} among them"
            )
        return self

    def _images_asked(self) -> tuple[str, ...]:
        """Return the options that name images; those that tell their classes need no list."""
        listed = any(getattr(self, field) is not None for field in _LABELS)
        return _IMAGES if listed else _IMAGES[:1]

    def _check_group(
        self, name: str, files: tuple[str, ...], allowed_beside_name: tuple[str, ...]
    ) -> None:
        """A thing is named in a catalogue, or all of its files are given."""
        given = [field for field in files if getattr(self, field) is not None]
        named = getattr(self, name) is not None
        if named and (clash := [field for field in given if field not in allowed_beside_name]):
            raise _wrong(f"--{name} and --{clash[0]} are both given", f"--{name}", "one of the two")
        lacking = [field for field in files if field not in given]
        if given and lacking and not named:
            raise _wrong(
                f"--{given[0]} is given without " + ", ".join(f"--{field}" for field in lacking),
                f"--{lacking[0]}",
                "all of " + ", ".join(f"--{field}" for field in files),
            )

    @property
    def name(self) -> str:
        """What is judged on what, in a few words; the name of its runs in Prefect's UI."""
        file = self.onnx or self.prototxt
        network = file.stem if file else self.model or "sample"
        images = self.image_dir.name if self.image_dir else self.dataset or "digits"
        return f"{network} on {images}"

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
            f"{first['msg']} (got {first['input']!r})",
            where="--" + str(first["loc"][0]),
            fix="see mlubench eval --help",
        ) from error


def _wrong(what: str, option: str, expected: str) -> ConfigError:
    return ConfigError(what, where=option, expected=expected, fix="see mlubench eval --help")
