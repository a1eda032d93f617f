"""An evaluation's steps: tune, infer, write the run folder, show it in Prefect's UI."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from prefect import task
from prefect.artifacts import create_markdown_artifact, create_table_artifact
from prefect.cache_policies import NO_CACHE

from mlubench.devices.pool import DevicePool
from mlubench.devices.shards import Shard
from mlubench.evaluate import inference, results
from mlubench.evaluate.inference import Inferred
from mlubench.evaluate.results import Evaluation, Outcome
from mlubench.evaluate.shard_files import Workspace
from mlubench.evaluate.table import accuracy_cells, accuracy_markdown, summary_lines
from mlubench.images.datasets.labels import LabelOrder
from mlubench.images.decoding.cache import DecodedImages
from mlubench.images.decoding.decoder import Decoding
from mlubench.networks.compile import Compiled
from mlubench.report.page import write_page
from mlubench.runs.record import TuningRecord
from mlubench.speed.measure import batch_tuning, tuning
from mlubench.store import Store
from tasks.pages import link_page
from tasks.progress import step_progress


@task(task_run_name="tune", cache_policy=NO_CACHE)
def tune_networks(
    devices: DevicePool, compiled: Sequence[Compiled], batch_size: int, store: Store
) -> dict[str, TuningRecord]:
    """Search how the devices are best kept busy, per precision."""
    with step_progress("tune", "tune") as progress:
        return tuning.tune_networks(devices, compiled, batch_size, store, progress)


@task(task_run_name="tune batch", cache_policy=NO_CACHE)
def search_batch(
    devices: DevicePool, compiled: Mapping[int, Sequence[Compiled]], store: Store
) -> tuple[int, dict[str, TuningRecord]]:
    """Search which batch gets the images through all precisions soonest."""
    with step_progress("tune batch", "tune-batch") as progress:
        return batch_tuning.search_batch(devices, compiled, store, progress)


@task(task_run_name="infer {compiled.precision}", cache_policy=NO_CACHE)
def infer_images(
    devices: DevicePool,
    compiled: Compiled,
    images: DecodedImages | Decoding,
    shards: Sequence[Shard],
    order: LabelOrder,
    kept: Workspace,
    tuned: Mapping[str, TuningRecord],
) -> Inferred:
    """Infer every image in one precision, shard by shard, each as soon as it is decoded."""
    key = compiled.precision.replace("_", "-")
    with step_progress(f"infer {compiled.precision}", f"infer-{key}") as progress:
        concurrency = tuning.concurrency_of(tuned.get(compiled.precision))
        return inference.infer_images(
            devices, compiled, images, shards, order, kept, progress, concurrency
        )


@task(task_run_name="judge", cache_policy=NO_CACHE)
def write_run(evaluation: Evaluation, runs: Path) -> Outcome:
    """Merge the shards, judge every precision, write the run folder."""
    return results.write_run(evaluation, runs, write_page)


@task(task_run_name="publish", cache_policy=NO_CACHE)
def publish(written: Outcome) -> None:
    """Show the table, a summary, the main picture and a link to the page in Prefect's UI."""
    create_table_artifact(
        key="accuracy",
        table=accuracy_cells(written.rows),
        description=f"Accuracy per precision, run {written.record.run_id}",
    )
    create_markdown_artifact(
        key="summary",
        markdown=_summary(written),
        description=f"How run {written.record.run_id} ended",
    )
    link_page(written.folder, "report", "plot", "Accuracy per precision")


def _summary(written: Outcome) -> str:
    lines = "\n".join(f"- {line}" for line in [*summary_lines(written.record), *written.notes()])
    return f"{lines}\n\n{accuracy_markdown(written.rows)}"
