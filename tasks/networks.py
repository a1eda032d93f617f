"""Import and compile networks."""

from __future__ import annotations

from collections.abc import Mapping

from prefect import task
from prefect.cache_policies import NO_CACHE

from mlubench.engines.interface import BuildSpec
from mlubench.pipeline import compile as compiling
from mlubench.pipeline import network as networks
from mlubench.pipeline.compile import CalibrationImages, Compiled
from mlubench.pipeline.network import ImportedNetwork, Network
from mlubench.store import Store
from tasks.progress import step_progress


@task(task_run_name="import {network.name}", cache_policy=NO_CACHE)
def import_network(network: Network, store: Store) -> ImportedNetwork:
    """Turn the Caffe files into ONNX, once."""
    with step_progress(f"import {network.name}", "import") as progress:
        imported = networks.import_network(network, store)
        progress(1, 1)
    return imported


@task(task_run_name="compile {spec.precision}", cache_policy=NO_CACHE)
def compile_network(
    imported: ImportedNetwork,
    spec: BuildSpec,
    calibration: CalibrationImages | None,
    engine: str,
    facts: Mapping[str, str],
    store: Store,
) -> Compiled:
    """Compile the network in one precision, once."""
    key = spec.precision.replace("_", "-")
    with step_progress(f"compile {spec.precision}", f"compile-{key}") as progress:
        compiled = compiling.compile_network(imported, spec, calibration, engine, facts, store)
        progress(1, 1)
    return compiled
