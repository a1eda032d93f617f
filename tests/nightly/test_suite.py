"""A suite's runs: their options, their names, what a host may lack."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from mlubench.engines.precisions import PRECISIONS
from mlubench.errors import ConfigError
from mlubench.evaluate.options import EvaluateParameters
from mlubench.nightly.options import NightlyParameters
from mlubench.nightly.suite import Suite, read_suite
from mlubench.nightly.suite_file import SuiteEntry, SuiteFile, suite_files
from mlubench.speed.benchmark.options import BenchParameters

SEED_PRECISIONS = ("force_float32", "force_float16", "qint8_mixed_float16")


ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "nightly.md").read_text(encoding="utf-8")


def _suite(folder: Path, body: str, **options: object) -> Suite:
    path = folder / "mine.yaml"
    path.write_text("description: a suite\n" + body)
    return read_suite(NightlyParameters.model_validate({"suite": str(path), **options}))


@pytest.mark.parametrize("name", sorted(suite_files()))
def test_the_projects_own_suites_are_right(name: str) -> None:
    suite = read_suite(NightlyParameters(suite=name))
    assert {run.kind for run in suite.runs} == {"evaluation", "benchmark"}


def test_the_seeds_table_is_the_seeds() -> None:
    runs = read_suite(NightlyParameters(suite="seed")).runs
    evaluation, benchmark = (run.parameters for run in runs)
    assert isinstance(evaluation, EvaluateParameters)
    assert isinstance(benchmark, BenchParameters)
    assert evaluation.model == benchmark.model == "senet50"
    assert evaluation.precision == benchmark.precision == SEED_PRECISIONS
    assert evaluation.image_num == 1000
    assert benchmark.batch_size == (1, 4, 8)


def test_what_a_host_lacks_is_told_of_each_run(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("ILSVRC2012_DATASETS_PATH", raising=False)
    absent = {run.name: run.absent for run in read_suite(NightlyParameters()).runs}
    assert absent["sample on digits"] == ""
    assert absent["senet50 on imagenet_val"] == ("ILSVRC2012_DATASETS_PATH is not set")
    monkeypatch.setenv("ILSVRC2012_DATASETS_PATH", str(tmp_path))
    absent = {run.name: run.absent for run in read_suite(NightlyParameters()).runs}
    # A folder that is named and empty is a fault, not an absence.
    assert absent["senet50 on imagenet_val"] == ""


def test_nothing_may_be_lacking_where_the_suite_does_not_say_so(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("ILSVRC2012_DATASETS_PATH", raising=False)
    (run,) = _suite(tmp_path, "evaluations: [{model: senet50, dataset: imagenet_val}]").runs
    assert run.absent == ""


def test_names_have_what_the_matrix_varies_and_are_unique(tmp_path: Path) -> None:
    body = """
evaluations:
  - matrix: {model: [sample, senet50], batch_size: [1, 8], devices: [[cpu:0, cpu:1]]}
    dataset: digits
"""
    names = [run.name for run in _suite(tmp_path, body).runs]
    assert names[0] == "sample on digits, batch_size 1, devices cpu:0 cpu:1"
    assert len(set(names)) == 4
    twice = "evaluations: [{model: sample}, {model: sample, batch_size: 1}]"
    with pytest.raises(ConfigError, match=r"evaluations\.1: two runs are called 'sample on"):
        _suite(tmp_path, twice)


def test_only_some_of_the_runs(tmp_path: Path) -> None:
    body = "evaluations: [{name: a, model: sample}, {name: b, model: sample}]"
    assert [run.name for run in _suite(tmp_path, body, only=["b"]).runs] == ["b"]
    with pytest.raises(ConfigError, match="expected: one of a; b"):
        _suite(tmp_path, body, only=["c"])


def test_the_nightlys_options_reach_every_run(tmp_path: Path) -> None:
    body = "evaluations: [{model: sample}]\nbenchmarks: [{model: sample}]"
    evaluation, benchmark = (
        run.parameters for run in _suite(tmp_path, body, out=tmp_path / "o", image_num=5).runs
    )
    assert isinstance(evaluation, EvaluateParameters)
    assert evaluation.image_num == 5
    assert evaluation.out == benchmark.out == tmp_path / "o"


def test_gates_and_baselines_of_an_entry_go_over_the_suites(tmp_path: Path) -> None:
    body = """
gates: {max_drop: 2, max_corrupt: 3}
baseline: published
evaluations: [{name: a}, {name: b, gates: {max_drop: 1}, baseline: pinned}]
benchmarks: [{gates: {min_effect: 9}}]
"""
    a, b, c = _suite(tmp_path, body).runs
    assert (a.gates.max_drop, b.gates.max_drop, c.gates.min_effect) == (2, 1, 9)
    assert (a.baseline, b.baseline) == ("published", "pinned")
    # A run's own page says what the nightly says.
    assert isinstance(b.parameters, EvaluateParameters)
    assert (b.parameters.max_drop, b.parameters.max_corrupt) == (1, 3)


def test_files_are_relative_to_the_suite(tmp_path: Path) -> None:
    body = """
evaluations:
  - {prototxt: net/a.prototxt, caffemodel: net/a.caffemodel, input_size: 8, label_order: 2012,
     image_dir: images, label_file: val.txt, label_file_order: 2012, calibration_dir: more}
"""
    (tmp_path / "net").mkdir()
    for name in ("a.prototxt", "a.caffemodel"):
        (tmp_path / "net" / name).touch()
    (run,) = _suite(tmp_path, body).runs
    assert isinstance(run.parameters, EvaluateParameters)
    assert run.parameters.prototxt == tmp_path / "net" / "a.prototxt"
    assert run.parameters.image_dir == tmp_path / "images"
    assert run.parameters.calibration_dir == tmp_path / "more"


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ("{model: sample, precison: [force_float32]}", "evaluations.0.precison"),
        ("{model: sample, precision: [int4]}", "evaluations.0.precision: there is no precision"),
        ("{model: sampel}", "evaluations.0.model: there is no 'sampel' in the catalogue"),
        ("{model: sample, dataset: digit}", "evaluations.0.dataset: there is no 'digit'"),
        ("{model: sample, engine: tvm}", "evaluations.0.engine: there is no engine"),
        ("{model: sample, batch_size: 0}", "evaluations.0.batch_size"),
        ("{model: sample, gates: {top1: 0.5}}", "evaluations.0.gates.top1: Extra inputs"),
        ("{model: sample, gates: {max_drop: -1}}", "evaluations.0.gates.max_drop"),
        ("{model: sample, max_drop: 0.5}", "evaluations.0.max_drop: is a threshold"),
        ("{model: sample, out: x}", "evaluations.0.out: is no option of a suite"),
        ("{model: sample, conf: [x]}", "mlubench nightly --conf"),
    ],
)
def test_a_wrong_option_is_told_with_file_and_key(tmp_path: Path, entry: str, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        _suite(tmp_path, f"evaluations: [{entry}]")
    assert words in str(caught.value)
    assert str(tmp_path / "mine.yaml") in str(caught.value)


def test_the_matrix_of_the_nightly_has_every_kind() -> None:
    runs = read_suite(NightlyParameters()).runs
    assert {run.parameters.engine for run in runs} == {"openvino", "magicmind"}
    assert {run.parameters.model for run in runs} >= {"sample", "senet50", "squeezenet_v1_1"}
    judged = [run.parameters for run in runs if isinstance(run.parameters, EvaluateParameters)]
    assert {run.gates.max_drop_of.get("qint8_mixed_float16") for run in runs} == {None, 1.5}
    assert {name for one in judged for name in one.precision} <= set(PRECISIONS)


def test_the_pages_example_is_right(tmp_path: Path) -> None:
    """With the networks and images of the README's examples."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for text in re.findall(r"^```yaml\n(.*?)^```$", readme + PAGE, re.DOTALL | re.MULTILINE):
        (place,) = re.findall(r"^# (team/\S+\.yaml)", text)
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / place).write_text(text)
    suite = read_suite(NightlyParameters(suite="ours", conf=(tmp_path / "team",)))
    assert [run.name for run in suite.runs] == [
        "mine on ours, engine openvino",
        "mine on ours, engine magicmind",
        "squeezenet_v1_1 on ours, engine openvino",
        "squeezenet_v1_1 on ours, engine magicmind",
        "mine, cpu:0",
    ]
    assert {run.gates.max_loss for run in suite.runs} == {0.3}


def test_the_pages_tables_have_every_key_and_every_suite() -> None:
    table = PAGE.split("| key | what |")[1].split("\n\n")[0]
    keys = {*SuiteFile.model_fields, *SuiteEntry.model_fields}
    assert set(re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)) == keys
    table = PAGE.split("| suite | what |")[1].split("\n\n")[0]
    assert set(re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)) == set(suite_files())
