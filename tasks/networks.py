"""Fetch, import and compile networks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State

from mlubench.devices.engine_host import EngineHost
from mlubench.engines.interface import BuildSpec
from mlubench.errors import DownloadError
from mlubench.networks import compile as compiling
from mlubench.networks import importing
from mlubench.networks.calibration import CalibrationImages
from mlubench.networks.choose import Network
from mlubench.networks.compile import Compiled
from mlubench.networks.fetch.download import Downloads
from mlubench.networks.fetch.files import FilesToFetch, fetch_files
from mlubench.networks.importing import ImportedNetwork
from mlubench.store import Store
from tasks.progress import remark, step_progress


def may_pass(_task: object, _task_run: object, state: State[object]) -> bool:
    """Whether a failed fetch is tried again: a server's fault may pass, a wrong file stays."""
    return isinstance(state.result(raise_on_failure=False), DownloadError)


@task(
    task_run_name="fetch {wanted.model}",
    cache_policy=NO_CACHE,
    retries=2,
    retry_delay_seconds=[5, 30],
    retry_condition_fn=may_pass,
)
def fetch_network(wanted: FilesToFetch) -> None:
    """Fetch the network's files that are not there."""
    with step_progress(f"fetch {wanted.model}, kB", "fetch") as progress:
        downloads = Downloads(
            progress=lambda done, total: progress(done // 1000, total // 1000),
            remark=remark,
        )
        fetched = [file.anew for file in fetch_files(wanted, downloads)]
        if not any(fetched):
            progress(1, 1)


@task(task_run_name="import {network.name}", cache_policy=NO_CACHE)
def import_network(network: Network, store: Store, *, ordered: bool = True) -> ImportedNetwork:
    """Turn the Caffe files into ONNX, once."""
    with step_progress(f"import {network.name}", "import") as progress:
        imported = importing.import_network(network, store)
        if ordered:
            importing.check_label_order(imported, network.order)
        progress(1, 1)
    return imported


@task(task_run_name="compile {spec.precision}", cache_policy=NO_CACHE)
def compile_network(
    imported: ImportedNetwork,
    spec: BuildSpec,
    calibration: CalibrationImages | None,
    engine: EngineHost,
    facts: Mapping[str, str],
    store: Store,
    devices: Sequence[str],
) -> Compiled:
    """Compile the network in one precision, once."""
    key = spec.precision.replace("_", "-")
    with step_progress(f"compile {spec.precision}", f"compile-{key}") as progress:
        compiled = compiling.compile_network(
            imported, spec, calibration, engine, facts, store, devices
        )
        progress(1, 1)
    return compiled
