"""The whole way: a server, deployments, a worker, runs that pass, fail, alert and are cancelled."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import (
    ArtifactFilter,
    ArtifactFilterKey,
    FlowRunFilter,
    LogFilter,
    TaskRunFilter,
)
from prefect.client.schemas.objects import Artifact, FlowRun
from prefect.exceptions import PrefectHTTPStatusError
from prefect.settings import PREFECT_API_URL, temporary_settings
from prefect.states import Cancelling, Crashed, Failed, Scheduled
from prefect.variables import Variable

from flows.service.alerts import ALERT_URL, deploy_alert
from mlubench.errors import ConfigError
from mlubench.store import entry_damage
from tests.support.long import long
from tests.support.processes import becomes, listening
from tests.support.sample import copy_compiled
from tests.support.service import ROOT, Receiver, Service

SECRET = "a-token-that-nobody-logs"
#: A suite that fails, for which nothing need be compiled.
FAILING = """
description: Digits of which one is there twice, which is not allowed.
evaluations:
  - model: sample
    image_dir: digits
    label_file: digits.txt
    label_file_order: digits
    precision: [force_float32]
    gates: {max_duplicate: 0}
"""


@pytest.fixture(scope="module")
def service(
    tmp_path_factory: pytest.TempPathFactory, prefect_database: Path, compiled_sample: Path
) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("service")
    out = copy_compiled(compiled_sample, folder / "artifacts")
    service = Service(folder, out, prefect_database)
    with service.running(folder):
        yield service
    # Ctrl-C ends all that it began, whatever a test left running.
    assert becomes(lambda: not service.processes()), service.processes()
    assert service.process is not None
    assert service.process.returncode == 0, service.log()


@pytest.fixture
def client(service: Service) -> Iterator[SyncPrefectClient]:
    url = {PREFECT_API_URL: service.environment["PREFECT_API_URL"]}
    with temporary_settings(url), get_client(sync_client=True) as client:
        yield client


@pytest.fixture
def failing(tmp_path: Path, compiled_sample: Path) -> str:
    """The name of the failing suite, of the folder of the test for ``--conf``."""
    suites, digits = tmp_path / "suites", compiled_sample / "data" / "digits"
    (suites / "digits").mkdir(parents=True)
    labels = dict(line.split() for line in (digits / "val.txt").read_text().splitlines()[:8])
    for name in labels:
        shutil.copy(digits / "val" / name, suites / "digits")
    shutil.copy(digits / "val" / name, suites / "digits" / "again.jpg")
    labels["again.jpg"] = labels[name]
    listed = "".join(f"{name} {label}\n" for name, label in labels.items())
    (suites / "digits.txt").write_text(listed)
    (suites / "failing.yaml").write_text(FAILING)
    return "failing"


def _started(client: SyncPrefectClient, **parameters: Any) -> FlowRun:
    """Return a run of the nightly's deployment that the service's worker is to do."""
    deployment = client.read_deployment_by_name("nightly/nightly")
    return client.create_flow_run_from_deployment(
        deployment.id, parameters={"parameters": parameters}
    )


def _latest(client: SyncPrefectClient, suite: str) -> FlowRun:
    runs = client.read_flow_runs(flow_run_filter=FlowRunFilter(name={"like_": f"{suite} 20"}))
    return max(runs, key=lambda run: run.expected_start_time or run.created)


def _artifacts(client: SyncPrefectClient, run: FlowRun) -> dict[str | None, Any]:
    found = client.read_artifacts(artifact_filter=ArtifactFilter(flow_run_id={"any_": [run.id]}))
    return {artifact.key: artifact.data for artifact in found}


def test_the_schedule_yields_runs(client: SyncPrefectClient) -> None:
    """With a wrong version of SQLAlchemy it says that it is active, and no run ever comes."""
    deployment = client.read_deployment_by_name("nightly/nightly")
    scheduled = FlowRunFilter.model_validate(
        {"state": {"type": {"any_": ["SCHEDULED"]}}, "deployment_id": {"any_": [deployment.id]}}
    )
    assert becomes(lambda: bool(client.read_flow_runs(flow_run_filter=scheduled)))
    for run in client.read_flow_runs(flow_run_filter=scheduled):
        assert run.expected_start_time is not None
        there = run.expected_start_time.astimezone(ZoneInfo("Asia/Shanghai"))
        assert (there.hour, there.minute) == (2, 30)
        assert "nightly" in run.tags


def test_nothing_listens_for_other_hosts(service: Service) -> None:
    assert listening(service.processes()) == {"127.0.0.1"}


def test_deployments_run_one_at_a_time_in_this_checkout(client: SyncPrefectClient) -> None:
    assert client.read_work_pool("mlubench").concurrency_limit == 1
    for name in ("evaluate", "benchmark", "nightly"):
        deployment = client.read_deployment_by_name(f"{name}/{name}")
        assert name in deployment.tags
        assert deployment.global_concurrency_limit is not None
        assert deployment.global_concurrency_limit.limit == 1
        (step,) = deployment.pull_steps or ()
        assert step == {"prefect.deployments.steps.set_working_directory": {"directory": str(ROOT)}}


@pytest.mark.parametrize(
    ("name", "model", "field", "bound"),
    [
        ("evaluate", "EvaluateParameters", "max_corrupt", {"minimum": 0}),
        ("benchmark", "BenchParameters", "rounds", {"exclusiveMinimum": 0}),
        ("nightly", "NightlyParameters", "suite", {"minLength": 1}),
    ],
)
def test_the_uis_form_has_names_bounds_and_help(
    client: SyncPrefectClient, name: str, model: str, field: str, bound: dict[str, int]
) -> None:
    deployment = client.read_deployment_by_name(f"{name}/{name}")
    schema: Any = deployment.parameter_openapi_schema
    fields = schema["definitions"][model]["properties"]
    assert bound.items() <= fields[field].items()
    assert next(iter(fields)) in ("model", "suite")  # what matters comes first
    assert all(one.get("description") for one in fields.values())


def test_a_wrong_parameter_is_refused_before_a_run_exists(client: SyncPrefectClient) -> None:
    with pytest.raises(PrefectHTTPStatusError, match="'suit' was unexpected"):
        _started(client, suit="smoke")
    assert not [run for run in client.read_flow_runs() if "suit" in run.parameters["parameters"]]


def test_the_smoke_suite_completes(service: Service, client: SyncPrefectClient) -> None:
    given = json.dumps({"suite": "smoke", "out": str(service.artifacts)})
    # The command of docs/nightly.md.
    done = service.prefect(
        "deployment", "run", "nightly/nightly", "-p", f"parameters={given}", "--watch"
    )
    assert done.returncode == 0, done.stdout + done.stderr + service.log()
    run = _latest(client, "smoke")
    assert run.state is not None
    assert run.state.name == "Completed"
    assert run.state.message == "pass: 1 passed, 1 not judged"
    artifacts = _artifacts(client, run)
    assert set(artifacts) == {
        "smoke-progress",
        "smoke-summary",
        "smoke-verdicts",
        "smoke-page",
        "smoke-report-sample-on-digits",
        "smoke-report-speed-of-sample",
    }
    verdicts = json.loads(artifacts["smoke-verdicts"])
    assert [row["verdict"] for row in verdicts] == ["passed", "not judged"]
    # The link leads to the page, in a browser too.
    address = artifacts["smoke-report-sample-on-digits"].split("(")[1].rstrip(")")
    assert address.startswith("http://127.0.0.1:")
    with urllib.request.urlopen(address, timeout=10) as answer:
        assert "<html" in answer.read().decode()
    # So does the picture that the evaluation's own page in the UI shows, beside its figures.
    folder = address.rsplit("/", 1)[0]
    evaluated = _of_evaluation(client, folder.rsplit("/", 1)[1])
    assert set(evaluated) == {"accuracy", "summary", "report", "plot"}
    for key in ("accuracy", "summary"):
        assert "qint8_mixed_float16" in str(evaluated[key].data)
    picture = evaluated["plot"]
    assert picture.type == "image"
    assert str(picture.data).startswith(folder)
    with urllib.request.urlopen(str(picture.data), timeout=10) as answer:
        assert answer.read(8) == b"\x89PNG\r\n\x1a\n"


def _of_evaluation(client: SyncPrefectClient, run_id: str) -> dict[str | None, Artifact]:
    """Return the artifacts that an evaluation itself has, by their keys."""
    keys = ArtifactFilterKey(any_=["accuracy", "summary", "report", "plot"])
    found = client.read_artifacts(artifact_filter=ArtifactFilter(key=keys), limit=200)
    return {one.key: one for one in found if run_id in str(one.description)}


def test_a_failed_gate_is_red_and_posted(
    service: Service, client: SyncPrefectClient, tmp_path: Path, failing: str
) -> None:
    with Receiver(500, 500).running() as receiver:
        address = f"{receiver.url}/hook/{SECRET}"
        Variable.set("mlubench_alert_url", address, overwrite=True)
        said = subprocess.run(
            [sys.executable, "-m", "flows.service.deploy"],
            cwd=tmp_path,
            env=service.environment,
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        assert "alerts: on" in said
        out = str(service.artifacts)
        given = json.dumps({"suite": failing, "conf": [str(tmp_path)], "out": out})
        done = service.prefect(
            "deployment", "run", "nightly/nightly", "-p", f"parameters={given}", "--watch"
        )
        assert done.returncode == 1, done.stdout + done.stderr + service.log()
        # Told twice that the receiver is in trouble, the server posts a third time. (To ask the
        # server in place of the receiver would keep it busy.)
        assert any(becomes(lambda: len(receiver.got) == 3) for _ in range(6)), service.log()
    run = _latest(client, failing)
    assert run.state is not None
    assert run.state.name == "Failed"
    (kind, body), *more = receiver.got
    assert more == [(kind, body)] * 2
    assert kind == "application/json"
    posted = json.loads(body)
    assert posted["state"] == "Failed"
    assert posted["verdict"] == run.state.message
    assert posted["verdict"].startswith("fail: 1 failed. sample on digits: images, duplicate: ")
    assert posted["run"] == run.name
    assert posted["page"].startswith(f"http://127.0.0.1:{service.port}/")

    logs = client.read_logs(LogFilter.model_validate({"flow_run_id": {"any_": [run.id]}}))
    texts = [said, service.log(), *(log.message for log in logs)]
    texts.append((service.home / "server.log").read_text())
    assert not [text for text in texts if SECRET in text]
    assert logs
    assert not [log.message for log in logs if "Traceback" in log.message]


def test_a_crash_is_posted_and_what_is_no_nightly_is_not(
    client: SyncPrefectClient,
) -> None:
    """The state alone is set: the flow's process has no part in the alert."""
    with Receiver().running() as receiver, temporary_alert(client, f"{receiver.url}/{SECRET}"):
        for name, state in (("evaluate", Failed()), ("nightly", Crashed(message="killed"))):
            deployment = client.read_deployment_by_name(f"{name}/{name}")
            tomorrow = Scheduled(scheduled_time=datetime.now(UTC) + timedelta(days=1))
            run = client.create_flow_run_from_deployment(deployment.id, state=tomorrow)
            client.set_flow_run_state(run.id, state, force=True)
        assert becomes(lambda: bool(receiver.got))
    (posted,) = (json.loads(body) for _, body in receiver.got)
    assert (posted["state"], posted["verdict"], posted["run"]) == ("Crashed", "killed", run.name)
    assert not client.read_automations_by_name("mlubench-nightly-alert")


@contextmanager
def temporary_alert(client: SyncPrefectClient, address: str) -> Iterator[None]:
    Variable.set(ALERT_URL, address, overwrite=True)
    assert "on" in deploy_alert(client)
    yield
    Variable.unset(ALERT_URL)
    assert "off" in deploy_alert(client)


def test_an_address_that_is_none_is_refused_and_not_told(client: SyncPrefectClient) -> None:
    Variable.set(ALERT_URL, f"hooks.example.org/{SECRET}", overwrite=True)
    with pytest.raises(ConfigError, match="mlubench_alert_url") as caught:
        deploy_alert(client)
    assert SECRET not in str(caught.value)
    Variable.unset(ALERT_URL)


@long
def test_a_cancelled_run_leaves_nothing_behind(
    service: Service, client: SyncPrefectClient, tmp_path: Path
) -> None:
    """Cancelled while int8 is calibrated: no process, no half file, no compiled network."""
    run = _started(client, suite="smoke", out=str(tmp_path))
    cache = tmp_path / "cache" / "compiled"
    compiling = TaskRunFilter.model_validate(
        {"state": {"type": {"any_": ["RUNNING"]}}, "name": {"like_": "compile qint8"}}
    )
    assert becomes(lambda: bool(client.read_task_runs(task_run_filter=compiling))), service.log()
    assert becomes(lambda: bool(list(cache.glob(".tmp-*"))))
    client.set_flow_run_state(run.id, Cancelling())

    def over() -> bool:
        state = client.read_flow_run(run.id).state
        return state is not None and state.is_cancelled()

    assert becomes(over) or becomes(over), service.log()
    ours = ("prefect.engine", "mlubench.worker")
    assert becomes(
        lambda: not [c for c in service.processes().values() if any(our in c for our in ours)]
    )
    assert not list(tmp_path.rglob(".tmp-*"))
    assert not (tmp_path / "runs").exists()
    assert not (tmp_path / "nightly").exists()
    entries = [path for path in cache.iterdir() if path.is_dir()]
    assert len(entries) == 2  # the float precisions, which were whole before
    assert all(entry_damage(entry) is None for entry in entries)
    assert run.expected_start_time is not None
    assert client.read_flow_run(run.id).total_run_time < timedelta(minutes=5)
