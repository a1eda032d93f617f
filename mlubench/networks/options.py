"""The options that name a network and say how it is compiled, checked."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from pydantic import Field, model_validator

from mlubench.catalogue.entries import Channels, LabelOrderName, Resize, Variances
from mlubench.engines.precisions import REFERENCE
from mlubench.networks.flags import CompileFlags
from mlubench.options import Flag, Positive, wrong

DEFAULT_ENGINE = "openvino"
DEFAULT_PRECISIONS = (REFERENCE, "force_float16", "qint8_mixed_float16")
_FILES = ("prototxt", "caffemodel", "input_size", "label_order")
_ONNX_FILES = ("onnx", "input_size", "label_order")


class NetworkSource(CompileFlags):
    """Which network, from its files on, in whatever precision and batch."""

    model: str | None = Field(None, description="network of conf/models.yaml (default: sample)")
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
    calibration_dir: Path | None = Field(
        None,
        description="images to calibrate on, in any form; without them, some of the scored "
        "images are held out",
    )
    calibration_num: Positive = Field(300, description="images to calibrate on, at most")
    engine: str = Field(
        DEFAULT_ENGINE, description="what compiles and runs the network: openvino, magicmind"
    )
    conf: tuple[Path, ...] = Field(
        (), description="folders with a models.yaml, datasets.yaml or engines.yaml of your own"
    )
    out: Path = Field(Path("artifacts"), description="folder of runs and caches")

    @model_validator(mode="after")
    def _check_list(self) -> Self:
        if self.file_list is not None and self.calibration_dir is None:
            raise wrong(
                "--file_list is given without --calibration_dir",
                "--calibration_dir",
                "the folder of the listed images",
            )
        return self

    def check_network_group(self, *, ordered: bool = True) -> None:
        """Check that a network is named in a catalogue, or all of its files are given.

        Args:
            ordered: whether its label order is needed too.

        Raises:
            ConfigError: it is both, or files are lacking.
        """
        if self.onnx is not None and (self.prototxt or self.caffemodel):
            raise wrong("--onnx and Caffe's files are both given", "--onnx", "one of the two")
        files = _FILES if self.onnx is None else _ONNX_FILES
        self.check_group("model", files if ordered else files[:-1], allowed_beside_name=_FILES[1:])

    def check_group(
        self, name: str, files: tuple[str, ...], allowed_beside_name: tuple[str, ...]
    ) -> None:
        """Check that a thing is named in a catalogue, or all of its files are given.

        Raises:
            ConfigError: it is both, or files are lacking.
        """
        given = [field for field in files if getattr(self, field) is not None]
        named = getattr(self, name) is not None
        if named and (clash := [field for field in given if field not in allowed_beside_name]):
            raise wrong(f"--{name} and --{clash[0]} are both given", f"--{name}", "one of the two")
        lacking = [field for field in files if field not in given]
        if given and lacking and not named:
            raise wrong(
                f"--{given[0]} is given without " + ", ".join(f"--{field}" for field in lacking),
                f"--{lacking[0]}",
                "all of " + ", ".join(f"--{field}" for field in files),
            )


class NetworkParameters(NetworkSource):
    """Which network, compiled for which batches."""

    batch_size: Positive = Field(8, description="images in a batch")
    dynamic_shape: Flag = Field(False, description="compile for batches of any size")
