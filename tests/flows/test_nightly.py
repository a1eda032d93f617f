"""The nightly flow: it goes on after a run that fails, judges, and shows it in Prefect."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from mlubench.metrics.verdict import Verdict
from mlubench.nightly.options import NightlyParameters
from mlubench.nightly.record import NightlyRecord
from mlubench.nightly.results import NightlyOutcome
from mlubench.runs.baselines import pin
from tests.support.fitted import write_fitted_network
from tests.support.long import long
from tests.support.markup import ParsedPage
from tests.support.plain_flow import plain_flows
from tests.support.planted import disturb, write_failing_suite

SMALL = "{model: sample, precision: [force_float32, force_float16], image_num: 40, %s}"
Nightly = Callable[..., tuple[Any, NightlyOutcome]]


@pytest.fixture(scope="module")
def run_nightly(out: Path) -> Nightly:
    """Runs a night without Prefect; gives the state in which it ended, and its outcome."""

    def run(suite: str, **options: Any) -> tuple[Any, NightlyOutcome]:
        from flows.nightly import nightly

        asked = NightlyParameters.model_validate({"suite": suite, "out": out, **options})
        with plain_flows():
            state: Any = nightly.fn(asked)
        return state, _outcome(state)

    return run


def _outcome(state: Any) -> NightlyOutcome:
    from flows.ending import outcome_of

    result = outcome_of(state)
    if isinstance(result, BaseException):
        raise result
    assert isinstance(result, NightlyOutcome)
    return result


def _suite(folder: Path, *entries: str) -> str:
    path = folder / "mine.yaml"
    path.write_text("description: a suite\nevaluations:\n" + "".join(f"  - {e}\n" for e in entries))
    return str(path)


@pytest.fixture(scope="module")
def mixed(
    run_nightly: Nightly, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Any, NightlyOutcome]:
    """A night of which one run fails, one breaks, one cannot be decided and one passes."""
    folder = tmp_path_factory.mktemp("mixed")
    network = _words(write_fitted_network(folder, outlier=True))
    spoilt = "precision: [force_float32, qint8_mixed_float16], calibration_num: 24"
    suite = _suite(
        folder,
        f"{{name: spoilt, {spoilt}, {network}, gates: {{max_drop: 1.0}}}}",
        SMALL % "name: lost, devices: ['cpu:99']",
        SMALL % "name: doubtful, gates: {max_drop: 0}",
        SMALL % "name: well, gates: {max_drop: 100}",
    )
    return run_nightly(suite)


def _words(options: dict[str, Any]) -> str:
    """Return the options of a network as a suite has them, with the digits."""
    lists = {"means": list(options["means"]), "dataset": "digits"}
    return ", ".join(f"{name}: {value}" for name, value in {**options, **lists}.items())


def test_a_suite_goes_on_after_one_breaks_and_one_fails(mixed: tuple[Any, NightlyOutcome]) -> None:
    state, outcome = mixed
    endings = {run.name: (run.verdict, run.exit_status) for run in outcome.record.runs}
    assert endings == {
        "spoilt": (Verdict.FAIL, 1),
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
    assert "spoilt: accuracy-" in state.message
    failed = {gate.name for gate in outcome.record.runs[0].gates if gate.verdict is Verdict.FAIL}
    assert "accuracy-float32" in failed


def test_a_failure_is_explained_by_its_layers(mixed: tuple[Any, NightlyOutcome]) -> None:
    import pandas as pd

    _, outcome = mixed
    (explained,) = outcome.record.runs[0].explained
    assert explained.precision == "qint8_mixed_float16"
    assert explained.lost > explained.won
    assert explained.layers[0].snr_db is None or explained.layers[0].snr_db < 10
    folder = outcome.folder / "../../runs" / outcome.record.runs[0].run_id
    layers = pd.read_parquet(folder / "explain" / explained.precision / "layers.parquet")
    names = [layer.layer for layer in explained.layers]
    assert names == list(layers.layer[: len(explained.layers)])
    assert not any(run.explained for run in outcome.record.runs[1:])


def test_a_night_leaves_a_page_and_summaries(mixed: tuple[Any, NightlyOutcome]) -> None:
    _, outcome = mixed
    (explained,) = outcome.record.runs[0].explained
    page = (outcome.folder / "report.html").read_text()
    assert f"<b>{', '.join(explained.origins)}</b>" in page
    assert "layers that differ most" in (outcome.folder / "summary.md").read_text()
    assert NightlyRecord.read(outcome.folder / "summary.json") == outcome.record
    for run in outcome.record.runs:
        assert bool(run.run_id) == (not run.error)
        assert not run.run_id or (outcome.folder / "../.." / run.report).is_file()


def test_what_prefect_shows(prefect_server: str, out: Path, tmp_path: Path) -> None:
    from prefect import tags
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import ArtifactFilter, FlowRunFilter
    from prefect.client.schemas.objects import Artifact

    from flows.nightly import nightly

    wide = "gates: {max_drop: 100}"
    suite = _suite(tmp_path, SMALL % wide, SMALL % f"name: b, {wide}")
    with tags("nightly"):
        state: Any = nightly(NightlyParameters(suite=suite, out=out), return_state=True)
    outcome = _outcome(state)
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
    run_nightly: Nightly, fitted: dict[str, Any], tmp_path: Path
) -> None:
    """A network whose weights were disturbed is another network, and worse."""
    entry = "{name: digits, precision: [force_float32], image_num: 100, %s}"
    first, second = tmp_path / "first", tmp_path / "second"
    for folder in (first, second):
        folder.mkdir()
    own = tmp_path / "artifacts"
    sound = _suite(first, entry % _words(fitted))
    spoilt = tmp_path / "disturbed.caffemodel"
    disturb(fitted["caffemodel"], spoilt, layer="fc")
    worsened = _suite(second, entry % _words({**fitted, "caffemodel": spoilt}))
    _, night = run_nightly(sound, out=own)
    assert night.record.runs[0].baseline == ""
    assert "there is no baseline yet to judge it by" in night.record.runs[0].notes
    _, again = run_nightly(sound, out=own)
    assert again.record.runs[0].baseline == night.record.runs[0].run_id
    assert again.exit_status == 0
    state, worse = run_nightly(worsened, out=own)
    assert worse.record.runs[0].baseline == again.record.runs[0].run_id
    assert worse.exit_status == 1
    assert "accuracy-baseline, force_float32: top-1 drop" in state.message
    assert "fc (weights moved" in state.message
    (told,) = worse.record.runs[0].explained
    assert told.against == again.record.runs[0].run_id
    assert told.origins == ("fc",)
    page = ParsedPage((worse.folder / "report.html").read_text()).text
    assert page.index("fc (weights moved") < page.index("Differences begin in fc")
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
