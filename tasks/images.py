"""Choose and decode images."""

from __future__ import annotations

from pathlib import Path

from prefect import task
from prefect.cache_policies import NO_CACHE

from mlubench.images.cache import DecodedImages
from mlubench.images.dataset import Dataset
from mlubench.images.labels import LabelOrder
from mlubench.pipeline import images
from mlubench.pipeline.images import ChosenImages
from mlubench.pipeline.network import Network
from mlubench.pipeline.parameters import EvaluateParameters
from tasks.progress import step_progress


@task(task_run_name="choose images", cache_policy=NO_CACHE)
def choose_images(asked: EvaluateParameters, order: LabelOrder, data: Path) -> ChosenImages:
    """Say which images are scored and which calibrate."""
    return images.choose_images(asked, order, data)


@task(task_run_name="decode {dataset.name}", cache_policy=NO_CACHE)
def decode_images(dataset: Dataset, network: Network, cache: Path, purpose: str) -> DecodedImages:
    """Decode a dataset for the network, once for all precisions."""
    with step_progress(f"decode {purpose} images", f"decode-{purpose}") as progress:
        return images.decode_images(dataset, network.preprocess, cache, progress)
