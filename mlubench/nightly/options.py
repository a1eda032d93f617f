"""What a nightly was asked to do: the options of ``mlubench nightly``, checked."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from mlubench.object_store.option import ARTIFACTS_HELP, ArtifactsAddress
from mlubench.options import Positive, form

DEFAULT_SUITE = "nightly"


class NightlyOptions(BaseModel):
    """Options of a nightly beside its suite; field descriptions are the help texts."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    only: tuple[str, ...] = Field(
        (), description="names of runs, repeatable; without it, all that the suite has"
    )
    image_num: Positive | None = Field(
        None, description="score only the first N images in every evaluation: for trying out"
    )
    conf: tuple[Path, ...] = Field(
        (), description="folders with a models.yaml, datasets.yaml or suites/ of your own"
    )
    artifacts: ArtifactsAddress | None = Field(None, description=ARTIFACTS_HELP)
    out: Path = Field(Path("artifacts"), description="folder of runs and caches")


class NightlyParameters(NightlyOptions):
    """Which suite, with what options."""

    model_config = ConfigDict(
        json_schema_extra=form("A suite of evaluations and benchmarks, run and judged.", "suite")
    )

    suite: str = Field(
        DEFAULT_SUITE,
        min_length=1,
        description="what to run: a file of conf/suites without its .yaml (smoke, seed, nightly), "
        "or a path to one with it",
    )
