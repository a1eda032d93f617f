"""Infer images on the hosts of a Dask cluster: a task for each shard."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, cast

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.settings import PREFECT_API_URL

from mlubench.devices.pool import DevicePool
from mlubench.devices.shards import Shard
from mlubench.evaluate.cluster import dask_worker
from mlubench.evaluate.cluster import inference as spread
from mlubench.evaluate.cluster.hosts import Hosts, Pending
from mlubench.evaluate.cluster.messages import PackedNetwork, ShardAnswer, ShardOrder
from mlubench.evaluate.cluster.preflight import no_scheduler, require_dask
from mlubench.evaluate.inference import Inferred
from mlubench.evaluate.options import EvaluateParameters
from mlubench.evaluate.shard_files import Workspace
from mlubench.images.datasets.labels import LabelOrder
from mlubench.images.decoding.cache import DecodedImages
from mlubench.images.decoding.decoder import Decoding
from mlubench.networks.choose import check_classes
from mlubench.networks.compile import Compiled
from tasks.progress import step_progress

_CONNECT_SECONDS = 10


@task(
    task_run_name="infer {order.precision}, {order.images}",
    cache_policy=NO_CACHE,
    persist_result=False,
)
def infer_shard(order: ShardOrder, network: PackedNetwork | None) -> ShardAnswer:
    """Infer a shard on the host of a Dask worker."""
    return dask_worker.infer_shard(order, network)


@contextmanager
def dask_hosts(
    asked: EvaluateParameters, devices: DevicePool, answers: Callable[[str], bool]
) -> Iterator[Hosts | None]:
    """Give the hosts of the Dask cluster that was asked for; None where none was.

    Args:
        asked: the options.
        devices: those of the flow's host, which built the networks.
        answers: whether Prefect's server answers at an address; asked on every host, for tasks
            tell it how they go.

    Raises:
        ConfigError: there is no scheduler, no host with the resource, or one that is not as this.
    """
    if asked.scheduler is None:
        yield None
        return
    require_dask(asked.scheduler)
    from prefect_dask.task_runners import DaskTaskRunner

    with DaskTaskRunner(
        address=asked.scheduler, client_kwargs={"timeout": _CONNECT_SECONDS}
    ) as runner:
        try:
            client = runner.client
        except OSError as error:
            raise no_scheduler(asked.scheduler) from error

        def submit(order: ShardOrder, network: Any) -> Pending:
            parameters = {"order": order, "network": network}
            return cast(Pending, runner.submit(infer_shard, parameters))

        found = Hosts(client, submit, asked.engine, devices.engine)
        found.check_reach(answers, str(PREFECT_API_URL.value()))
        try:
            yield found
        finally:
            found.close()


def infer_on_hosts(
    found: Hosts,
    devices: DevicePool,
    compiled: Compiled,
    images: DecodedImages | Decoding,
    shards: Sequence[Shard],
    order: LabelOrder,
    kept: Workspace,
) -> Inferred:
    """Infer every image in one precision; in the flow itself, that shards are tasks of its own."""
    loaded = devices.load(compiled.folder)
    check_classes(loaded.classes, order)
    inference = spread.Inference(compiled, images, loaded.executed_precision, devices.label)
    key = compiled.precision.replace("_", "-")
    with step_progress(f"infer {compiled.precision}", f"infer-{key}") as progress:
        return spread.infer_on_hosts(found, inference, shards, kept, progress)
