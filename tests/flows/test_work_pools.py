"""Work pools per kind of host: each run is done by the worker of its own queue."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.client.schemas.objects import FlowRun
from prefect.settings import PREFECT_API_URL
from prefect.workers.process import ProcessWorker

from flows.evaluate import evaluate
from tests.support.long import long
from tests.support.processes import becomes
from tests.support.service import ROOT
from tests.support.simulated_sdk import environment, misuses

#: The queue of each pool: those of docs/operations.md.
QUEUES = {"mlu370": "nightly", "cpu": "quick"}
FEW = {"precision": ["force_float32"], "image_num": 48}


def _deployed(client: SyncPrefectClient, pool: str) -> UUID:
    """Return a deployment of the flow for a queue of a new pool."""
    template = ProcessWorker.get_default_base_job_template()
    client.create_work_pool(
        WorkPoolCreate(name=pool, type=ProcessWorker.type, base_job_template=template)
    )
    client.create_work_queue(QUEUES[pool], work_pool_name=pool)
    return client.create_deployment(
        flow_id=client.create_flow(evaluate),
        name=f"on-{pool}",
        entrypoint="flows/evaluate.py:evaluate",
        work_pool_name=pool,
        work_queue_name=QUEUES[pool],
        pull_steps=[{"prefect.deployments.steps.set_working_directory": {"directory": str(ROOT)}}],
    )


@contextmanager
def _worker(folder: Path, pool: str, more: Mapping[str, str]) -> Iterator[Path]:
    """Start the worker of a pool's queue; give what it says."""
    log = folder / f"{pool}.log"
    words = ["worker", "start", "--pool", pool, "--work-queue", QUEUES[pool], "--type", "process"]
    given = {"PREFECT_API_URL": str(PREFECT_API_URL.value()), "PREFECT_WORKER_QUERY_SECONDS": "1"}
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "prefect", *words],
            env={**os.environ, "PREFECT_HOME": str(folder / pool), **given, **more},
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        yield log
    finally:
        process.terminate()
        try:
            process.wait(60)
        finally:
            process.kill()
            process.wait()


def _ended(client: SyncPrefectClient, run: FlowRun) -> FlowRun:
    """Return a run once it has ended."""
    current = run

    def over() -> bool:
        nonlocal current
        current = client.read_flow_run(run.id)
        return current.state is not None and current.state.is_final()

    assert any(becomes(over) for _ in range(6)), current.state
    return current


@long
def test_each_run_is_done_by_the_worker_of_its_own_queue(
    prefect_server: None, tmp_path: Path
) -> None:
    sdk = environment(tmp_path, cards=2)
    asked: dict[str, dict[str, Any]] = {
        "mlu370": {"engine": "magicmind", "devices": ["mlu:0", "mlu:1"]},
        "cpu": {},
    }
    runs = {}
    with get_client(sync_client=True) as client, ExitStack() as workers:
        for pool, options in asked.items():
            parameters = {**FEW, **options, "out": str(tmp_path / f"out-{pool}")}
            runs[pool] = client.create_flow_run_from_deployment(
                _deployed(client, pool), parameters={"parameters": parameters}
            )
        logs = {
            pool: workers.enter_context(_worker(tmp_path, pool, sdk if pool == "mlu370" else {}))
            for pool in asked
        }
        for pool, run in runs.items():
            ended = _ended(client, run)
            said = logs[pool].read_text(encoding="utf-8")
            assert ended.state is not None
            assert ended.state.is_completed(), said
            assert (ended.work_pool_name, ended.work_queue_name) == (pool, QUEUES[pool])
            assert str(run.id) in said
            assert not [one for one in runs.values() if one is not run and str(one.id) in said]
    engines = {}
    for pool in asked:
        (record,) = (tmp_path / f"out-{pool}" / "runs").glob("[!.]*/run.json")
        engines[pool] = json.loads(record.read_text())["engine"]
    assert engines == {"mlu370": "magicmind (simulated)", "cpu": "openvino"}
    assert misuses(sdk) == []
