"""Choose and decode images."""

from __future__ import annotations

from pathlib import Path

from prefect import task
from prefect.cache_policies import NO_CACHE

from mlubench.evaluate import images
from mlubench.evaluate.images import ChosenImages
from mlubench.evaluate.options import EvaluateParameters
from mlubench.images.datasets.labels import LabelOrder
from mlubench.images.decoding import decoder
from mlubench.images.decoding.cache import DecodedImages
from mlubench.images.decoding.decoder import Decoding
from tasks.progress import step_progress


@task(task_run_name="choose images", cache_policy=NO_CACHE)
def choose_images(asked: EvaluateParameters, order: LabelOrder, data: Path) -> ChosenImages:
    """Say which images are scored and which calibrate."""
    return images.choose_images(asked, order, data)


@task(task_run_name="decode {decoding.dataset.name}", cache_policy=NO_CACHE)
def decode_images(decoding: Decoding, purpose: str) -> DecodedImages:
    """Decode a dataset, once for all precisions."""
    with step_progress(f"decode {purpose} images", f"decode-{purpose}") as progress:
        return decoder.finish_decoding(decoding, progress)
