"""The options of ``mlubench compile`` and ``mlubench infer``."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from mlubench.catalogue.entries import LabelOrderName, Resize
from mlubench.engines.precisions import PRECISIONS, REFERENCE, is_quantised
from mlubench.networks.options import NetworkParameters
from mlubench.options import Count, Positive, wrong


class CompileParameters(NetworkParameters):
    """Options of ``mlubench compile``; field descriptions are the help texts."""

    precision: str = Field(REFERENCE, description="numeric mode")
    magicmind_model: Path | None = Field(
        None,
        description="folder to write (default: "
        "OUT/models/<model>_model_<precision>_<dynamic>[_<batch>])",
    )
    device_id: Count = Field(0, description="device that calibrates")

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.precision not in PRECISIONS:
            raise wrong(
                f"there is no precision {self.precision!r}",
                "--precision",
                "one of " + ", ".join(PRECISIONS),
            )
        self.check_network_group(ordered=False)
        if not is_quantised(self.precision):
            self.refuse_unquantised()
        return self


class InferParameters(BaseModel):
    """Options of ``mlubench infer``, by infer_cpp's names; descriptions are the help texts."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    magicmind_model: Path = Field(description="what mlubench compile wrote")
    image_dir: Path = Field(description="images: a folder, a .tar, or a folder of Parquet shards")
    device_id: Count = Field(0, description="device to run on")
    image_num: Positive | None = Field(None, description="only the first N images")
    name_file: Path | None = Field(
        None,
        description="names of the network's classes, a line each (default: those of its label "
        "order)",
    )
    label_file: Path | None = Field(
        None,
        description="lines of 'name label', only these images are run; not where folders or "
        "names are wnids",
    )
    label_file_order: LabelOrderName | None = Field(
        None, description="how it numbers the classes (default: as the network)"
    )
    result_file: Path | None = Field(None, description="top-5 by name")
    result_label_file: Path | None = Field(None, description="true classes")
    result_top1_file: Path | None = Field(None, description="best class of each image")
    result_top5_file: Path | None = Field(None, description="five best classes of each image")
    batch_size: Positive | None = Field(
        None, description="images in a batch; any that a dynamic network takes"
    )
    conf: tuple[Path, ...] = Field((), description="folders with an engines.yaml of your own")
    resize: Resize | None = Field(None, description="in place of what it was compiled for")
    resize_size: Positive | None = Field(None, description="likewise")
    out: Path = Field(
        Path("artifacts"),
        description="where results go that no option names, and the cache of decoded images",
    )
