"""The thresholds that a run is judged by, for the command line and for suites."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from mlubench.metrics.levels import CLASS_LEVEL, LOSS_LEVEL

Points = Annotated[float, Field(ge=0, le=100)]
Level = Annotated[float, Field(gt=0, lt=0.5)]
Ratio = Annotated[float, Field(ge=1)]
Count = Annotated[int, Field(ge=0)]
Changed = Literal["pass", "inconclusive", "fail"]


class Gates(BaseModel):
    """Thresholds of a comparison; field descriptions are the help texts.

    All gates are one-sided: an improvement never fails.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    max_loss: Points = Field(
        0.5, description="points of top-1 that may be lost to the baseline, to pass"
    )
    loss_level: Level = Field(
        LOSS_LEVEL,
        description="level of the exact test that fails any loss to the baseline, however small",
    )
    max_drop: Points = Field(
        0.5, description="points of top-1 that a precision may lose to force_float32"
    )
    max_drop_of: dict[str, Points] = Field(
        {}, description="likewise of single precisions, in place of max_drop"
    )
    min_agreement: Points = Field(
        90.0, description="percent of the images with the same best class as in force_float32"
    )
    class_level: Level = Field(
        CLASS_LEVEL, description="level, for all classes together, of the test that a class lost"
    )
    max_below_published: Points = Field(
        0.5, description="points of top-1 that a run may lie below a published figure"
    )
    max_corrupt: Count = Field(0, description="images that could not be decoded")
    max_missing: Count = Field(0, description="images of the list that are not there")
    max_duplicate: Count | None = Field(
        None, description="images that are there twice; any number where it is not given"
    )
    changed_model: Changed = Field(
        "inconclusive", description="verdict where the network's files are not the baseline's"
    )
    changed_dataset: Changed = Field(
        "inconclusive", description="verdict where the images are not the baseline's"
    )
    min_effect: Annotated[float, Field(ge=0, lt=100)] = Field(
        3.0, description="percent of throughput that may be lost"
    )
    max_compile_ratio: Ratio = Field(1.5, description="seconds of compiling over the baseline's")
    min_compile_growth: Annotated[float, Field(ge=0)] = Field(
        10.0, description="seconds by which compiling must have grown to fail"
    )
    max_memory_ratio: Ratio = Field(1.2, description="memory of the workers over the baseline's")
