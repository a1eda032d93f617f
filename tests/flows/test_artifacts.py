"""Flows with ``artifacts``: a second host goes on from the first, and nobody learns of a key."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from mlubench.errors import ConfigError
from mlubench.images.decoding import decoder
from mlubench.metrics.verdict import Verdict
from mlubench.networks import caffe
from mlubench.networks import compile as compiling
from mlubench.nightly.options import NightlyParameters
from mlubench.nightly.results import NightlyOutcome
from mlubench.runs.history import read_accuracy_history
from tests.flows.conftest import Evaluate
from tests.support.depots import Bucket

SUITE = """
description: a suite
evaluations:
  - {model: sample, precision: [force_float32], image_num: 40, gates: {max_loss: 100}}
"""
SECRET = "wJalrXUtnFEMI/K7MDENG"


@pytest.fixture
def night(prefect_server: str, bucket: Bucket, tmp_path: Path) -> Callable[[str], NightlyOutcome]:
    """Runs a night on a host, which has a folder of its own and the bucket."""
    (tmp_path / "mine.yaml").write_text(SUITE)

    from flows.ending import outcome_of
    from flows.nightly import nightly

    def run(host: str) -> NightlyOutcome:
        asked = NightlyParameters(
            suite=str(tmp_path / "mine.yaml"), out=tmp_path / host, artifacts=bucket.address
        )
        result = outcome_of(nightly(asked, return_state=True))
        assert isinstance(result, NightlyOutcome)
        return result

    return run


def _never(*_: object, **__: object) -> Any:
    raise AssertionError("was done again")


def test_a_second_host_does_nothing_again_and_is_judged_by_the_first(
    night: Callable[[str], NightlyOutcome],
    bucket: Bucket,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    first = night("first")
    assert first.exit_status == 0
    (begun,) = first.record.runs
    assert "there is no baseline yet to judge it by" in begun.notes

    monkeypatch.setattr(caffe, "import_caffe", _never)
    monkeypatch.setattr(compiling, "_build", _never)
    monkeypatch.setattr(decoder, "_decode_block", _never)
    second = night("second")
    (run,) = second.record.runs
    assert (run.error, run.verdict, run.baseline) == ("", Verdict.PASS, begun.run_id)
    assert second.exit_status == 0

    def predictions(host: str, run_id: str) -> bytes:
        return (tmp_path / host / "runs" / run_id / "predictions.parquet").read_bytes()

    assert predictions("second", run.run_id) == predictions("first", begun.run_id)
    assert predictions("second", begun.run_id) == predictions("first", begun.run_id)
    history = read_accuracy_history(tmp_path / "second" / "history")
    assert set(history["run_id"].to_pylist()) == {begun.run_id, run.run_id}
    # The page of the second night shows the first.
    assert (tmp_path / "second" / "nightly" / first.record.run_id / "summary.json").is_file()
    assert bucket.entries("verdicts") == sorted([begun.run_id, run.run_id])
    assert bucket.entries("nightly") == sorted([first.record.run_id, second.record.run_id])
    _assert_nobody_knows(bucket, tmp_path, capfd)


def _assert_nobody_knows(bucket: Bucket, folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Check that the key is in no file, object, artifact, parameter or line of output."""
    from prefect.client.orchestration import get_client

    key = bucket.server.key
    with get_client(sync_client=True) as client:
        told = repr(client.read_artifacts()) + repr(client.read_flow_runs())
    assert bucket.address in told
    printed = capfd.readouterr()
    texts = [told.encode(), printed.out.encode(), printed.err.encode()]
    files = [path.read_bytes() for path in folder.rglob("*") if path.is_file()]
    assert any(bucket.address.encode() in data for data in files)
    for secret in (key.secret.encode(), key.name.encode()):
        for data in [*texts, *files, *bucket.objects().values()]:
            assert secret not in data


def test_a_store_that_ends_meanwhile_costs_no_result(
    run: Evaluate, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was there when the run began; then it is gone."""
    from mlubench.runs import sharing

    gone = f"s3://{bucket.name}/p?endpoint_override=127.0.0.1:9&scheme=http"
    push = sharing.push_run
    monkeypatch.setattr(sharing, "push_run", lambda _depot, *rest: push(bucket.open(gone), *rest))
    options = {"precision": ("force_float32",), "image_num": 20, "artifacts": bucket.address}
    outcome = run(**options)
    assert outcome.exit_status == 4
    assert (outcome.folder / "predictions.parquet").is_file()
    note = outcome.notes()[-1]
    assert "no server answers; nothing is lost" in note
    assert str(outcome.folder) in note
    assert bucket.entries("runs") == []
    monkeypatch.undo()
    with pytest.MonkeyPatch.context() as again:
        for name, value in bucket.server.key.environment(bucket.server.url).items():
            again.setenv(name, value)
        after = run(**options)
    assert after.exit_status == 0
    assert bucket.entries("runs") == sorted([outcome.record.run_id, after.record.run_id])


def test_a_deployment_is_told_at_once(run: Evaluate, bucket: Bucket) -> None:
    with pytest.raises(ConfigError, match="there is no bucket no-such-bucket"):
        run(artifacts="s3://no-such-bucket")


@pytest.mark.parametrize("name", ["evaluate", "benchmark", "nightly"])
def test_prefects_server_refuses_a_key_before_it_keeps_it(name: str) -> None:
    from prefect.utilities.callables import parameter_schema
    from prefect.utilities.schema_tools import validate

    flow = getattr(import_module(f"flows.{name}"), name)
    schema = parameter_schema(flow).model_dump_for_openapi()

    def faults(address: str | None) -> list[Any]:
        return validate({"parameters": {"artifacts": address}}, schema)

    assert faults("s3://bucket/prefix") == []
    assert faults("s3://bucket/prefix?endpoint_override=10.0.0.1:9000&scheme=http") == []
    assert faults(None) == []
    assert faults(f"s3://AKIAEXAMPLE:{SECRET}@bucket/p")
