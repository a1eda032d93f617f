"""The nightly flow: it goes on after a run that fails, judges, and shows it in Prefect."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pandas as pd
import pytest
from prefect import tags
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import ArtifactFilter, FlowRunFilter
from prefect.client.schemas.objects import Artifact

from flows.ending import outcome_of
from flows.nightly import nightly
from mlubench.metrics.verdict import Verdict
from mlubench.pipeline.baselines import pin
from mlubench.pipeline.nightly import NightlyOutcome
from mlubench.pipeline.nightly_parameters import NightlyParameters
from mlubench.reports.nightly_json import NightlyRecord
from tests.support.long import long
from tests.support.markup import ParsedPage
from tests.support.planted import SAMPLE_WEIGHTS, disturb, write_failing_suite

SMALL = "{model: sample, precision: [force_float32, force_float16], image_num: 40, %s}"
Nightly = Callable[..., tuple[Any, NightlyOutcome]]


@pytest.fixture
def run_nightly(prefect_server: str, out: Path) -> Nightly:
    def run(suite: str, **options: Any) -> tuple[Any, NightlyOutcome]:
        asked = NightlyParameters.model_validate({"suite": suite, "out": out, **options})
        state = nightly(asked, return_state=True)
        result = outcome_of(state)
        if isinstance(result, BaseException):
            raise result
        return state, result

    return run


def _suite(folder: Path, *entries: str) -> str:
    path = folder / "mine.yaml"
    path.write_text("description: a suite\nevaluations:\n" + "".join(f"  - {e}\n" for e in entries))
    return str(path)


def test_a_suite_goes_on_after_one_breaks_and_one_fails(
    run_nightly: Nightly, tmp_path: Path
) -> None:
    suite = write_failing_suite(tmp_path)
    path = tmp_path / "suites" / f"{suite}.yaml"
    more = [
        SMALL % "name: lost, devices: ['cpu:99']",
        SMALL % "name: doubtful, gates: {max_drop: 0}",
        SMALL % "name: well, gates: {max_drop: 100}",
    ]
    path.write_text(path.read_text() + "".join(f"  - {entry}\n" for entry in more))
    state, outcome = run_nightly(suite, conf=[tmp_path])
    endings = {run.name: (run.verdict, run.exit_status) for run in outcome.record.runs}
    assert endings == {
        "sample on digits": (Verdict.FAIL, 1),
        "lost": (Verdict.NOT_JUDGED, 2),
        "doubtful": (Verdict.INCONCLUSIVE, 3),
        "well": (Verdict.PASS, 0),
    }
    assert "no device cpu:99" in outcome.record.runs[1].error
    assert outcome.exit_status == 1
    assert state.type.value == "FAILED"
    assert state.message == outcome.headline
    assert state.message.startswith("fail: 1 failed, 1 broken, 1 inconclusive, 1 passed. ")
    # Which gate is told first depends on whether an earlier run is there to be compared with.
    assert "sample on digits: accuracy-" in state.message
    failed = {gate.name for gate in outcome.record.runs[0].gates if gate.verdict is Verdict.FAIL}
    assert "accuracy-float32" in failed
    (told,) = outcome.record.runs[0].explained
    assert told.precision == "qint8_mixed_float16"
    assert told.lost > told.won
    assert told.layers[0].snr_db is None or told.layers[0].snr_db < 10
    folder = outcome.folder / "../../runs" / outcome.record.runs[0].run_id
    layers = pd.read_parquet(folder / "explain" / told.precision / "layers.parquet")
    assert [one.layer for one in told.layers] == list(layers.layer[: len(told.layers)])
    assert not any(run.explained for run in outcome.record.runs[1:])
    page = (outcome.folder / "report.html").read_text()
    assert f"<b>{', '.join(told.origins)}</b>" in page
    assert "layers that differ most" in (outcome.folder / "summary.md").read_text()
    assert NightlyRecord.read(outcome.folder / "summary.json") == outcome.record
    for run in outcome.record.runs:
        assert bool(run.run_id) == (not run.error)
        assert not run.run_id or (outcome.folder / "../.." / run.report).is_file()


def test_what_prefect_shows(run_nightly: Nightly, tmp_path: Path) -> None:
    wide = "gates: {max_drop: 100}"
    suite = _suite(tmp_path, SMALL % wide, SMALL % f"name: b, {wide}")
    with tags("nightly"):
        state, outcome = run_nightly(suite)
    assert state.type.value == "COMPLETED"
    assert state.message == "pass: 2 passed"
    with get_client(sync_client=True) as client:
        flow_run = client.read_flow_run(state.state_details.flow_run_id)
        artifacts = client.read_artifacts(
            artifact_filter=ArtifactFilter(flow_run_id={"any_": [flow_run.id]})
        )
        subflows = client.read_flow_runs(
            flow_run_filter=FlowRunFilter(parent_flow_run_id={"any_": [flow_run.id]})
        )
    assert flow_run.name == f"mine {outcome.record.created_utc:%Y-%m-%d %H:%M}"
    assert "nightly" in flow_run.tags
    by_key: dict[str | None, Artifact] = {artifact.key: artifact for artifact in artifacts}
    assert set(by_key) == {
        "mine-progress",
        "mine-summary",
        "mine-page",
        "mine-verdicts",
        "mine-report-sample-on-digits",
        "mine-report-b",
    }
    assert by_key["mine-progress"].data == 100.0
    assert "passed" in str(by_key["mine-verdicts"].data)
    summary = str(by_key["mine-summary"].data)
    assert summary.startswith("# mine: pass")
    page = outcome.folder.parents[1] / outcome.record.runs[0].report
    assert page.resolve().as_uri() in summary
    own = (outcome.folder / "report.html").resolve()
    assert own.is_file()
    assert own.as_uri() in str(by_key["mine-page"].data)
    assert {run.name for run in subflows} == {"sample on digits", "b"}
    assert all({"mine", "evaluation", "sample", "openvino"} <= set(run.tags) for run in subflows)


def test_without_devices_or_images_nothing_is_green(run_nightly: Nightly, tmp_path: Path) -> None:
    needs = "engine: magicmind, devices: ['mlu:0'], skip_without: [devices]"
    suite = _suite(tmp_path, SMALL % needs)
    state, outcome = run_nightly(suite)
    assert outcome.record.runs[0].skipped == "there is no device for magicmind"
    assert (state.type.value, outcome.exit_status) == ("FAILED", 2)


def test_a_night_is_judged_by_the_one_before_and_a_pin_goes_over_it(
    run_nightly: Nightly, tmp_path: Path
) -> None:
    """A network whose weights were disturbed is another network, and worse."""
    digits = "{dataset: digits, precision: [force_float32], %s}"
    first, second = tmp_path / "first", tmp_path / "second"
    for folder in (first, second):
        folder.mkdir()
    own = tmp_path / "artifacts"
    sound = _suite(first, digits % "model: sample")
    spoilt = tmp_path / "disturbed.caffemodel"
    disturb(SAMPLE_WEIGHTS, spoilt, layer="classifier")
    named = f"model: sample, caffemodel: {spoilt}"
    _, night = run_nightly(sound, out=own)
    assert night.record.runs[0].baseline == ""
    assert "there is no baseline yet to judge it by" in night.record.runs[0].notes
    _, again = run_nightly(sound, out=own)
    assert again.record.runs[0].baseline == night.record.runs[0].run_id
    assert again.exit_status == 0
    state, worse = run_nightly(_suite(second, digits % named), out=own)
    assert worse.record.runs[0].baseline == again.record.runs[0].run_id
    assert worse.exit_status == 1
    assert "accuracy-baseline, force_float32: top-1 drop" in state.message
    assert "classifier (weights moved" in state.message
    (told,) = worse.record.runs[0].explained
    assert told.against == again.record.runs[0].run_id
    assert told.origins == ("classifier",)
    page = ParsedPage((worse.folder / "report.html").read_text()).text
    assert page.index("classifier (weights moved") < page.index("Differences begin in classifier")
    assert f"the first bad night; last green on {again.record.created_utc:%Y-%m-%d}" in page
    gates = {gate.name: gate.verdict for gate in worse.record.runs[0].gates}
    assert gates["model"] == Verdict.INCONCLUSIVE
    _, after = run_nightly(sound, out=own)  # what failed is nobody's baseline
    assert after.record.runs[0].baseline == again.record.runs[0].run_id
    pin(night.record.runs[0].run_id, own)
    _, pinned = run_nightly(sound, out=own)
    assert pinned.record.runs[0].baseline == night.record.runs[0].run_id
    tests = ElementTree.parse(worse.folder / "junit.xml").getroot()
    assert int(tests.attrib["failures"]) >= 1


@long
def test_a_suite_may_leave_the_reasons_out(run_nightly: Nightly, tmp_path: Path) -> None:
    suite = write_failing_suite(tmp_path)
    path = tmp_path / "suites" / f"{suite}.yaml"
    path.write_text(f"explain: false\n{path.read_text()}")
    _, outcome = run_nightly(suite, conf=[tmp_path])
    (run,) = outcome.record.runs
    assert run.verdict is Verdict.FAIL
    assert run.explained == ()
