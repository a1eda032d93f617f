"""Infer images on the devices."""

from __future__ import annotations

from collections.abc import Sequence

from prefect import task
from prefect.cache_policies import NO_CACHE

from mlubench.images.cache import DecodedImages
from mlubench.images.labels import LabelOrder
from mlubench.pipeline import infer
from mlubench.pipeline.compile import Compiled
from mlubench.pipeline.dispatch import DevicePool
from mlubench.pipeline.infer import Inferred
from mlubench.pipeline.shards import Shard
from mlubench.pipeline.workspace import Workspace
from tasks.progress import step_progress


@task(task_run_name="infer {compiled.precision}", cache_policy=NO_CACHE)
def infer_images(
    devices: DevicePool,
    compiled: Compiled,
    images: DecodedImages,
    shards: Sequence[Shard],
    order: LabelOrder,
    kept: Workspace,
) -> Inferred:
    """Infer every image in one precision, shard by shard."""
    key = compiled.precision.replace("_", "-")
    with step_progress(f"infer {compiled.precision}", f"infer-{key}") as progress:
        return infer.infer_images(devices, compiled, images, shards, order, kept, progress)
