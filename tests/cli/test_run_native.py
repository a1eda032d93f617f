"""``mlubench run --native``: the vendor's tool, for which scripts stand in."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from mlubench import cli
from mlubench.speed.mm_run.tool.parse import parse_report
from mlubench.speed.mm_run.tool.results import ShapeGroup, Stage
from mlubench.speed.mm_run.tool.text import to_text
from tests.speed.mm_run.tool.samples import NEW, OLD, with_log
from tests.speed.mm_run.tool.tools import NEW_OPTIONS, OLD_OPTIONS, prints, write_tool

GENERATIONS = pytest.mark.parametrize(
    ("options", "printed"),
    [(OLD_OPTIONS, OLD), (NEW_OPTIONS, with_log())],
    ids=["old", "new"],
)
Native = Callable[..., str]


@pytest.fixture
def native(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Native:
    monkeypatch.setenv("MM_RUN_PATH", str(tmp_path))
    monkeypatch.chdir(tmp_path)

    def run(*words: object, status: int = 0) -> str:
        model = ("--magicmind_model", "some/net_model")
        done = cli.main([*map(str, ("run", "--native", *model, *words))])
        said = capsys.readouterr()
        assert done == status, said.out + said.err
        return said.err if status else said.out

    return run


@GENERATIONS
def test_its_output_in_the_new_form(
    native: Native, tmp_path: Path, options: frozenset[str], printed: str
) -> None:
    write_tool(tmp_path / "mm_run", options, prints(printed))
    assert native() == to_text(parse_report(printed))
    log = tmp_path / "artifacts" / "output" / "net_model" / "mm_run.log"
    assert printed in log.read_text()
    native("--out", tmp_path / "logs")
    assert (tmp_path / "logs" / "mm_run.log").is_file()


@GENERATIONS
def test_its_figures_as_json(
    native: Native, tmp_path: Path, options: frozenset[str], printed: str
) -> None:
    write_tool(tmp_path / "mm_run", options, prints(printed))
    document = json.loads(native("--json", "--batch", 1))
    performance = parse_report(printed).performance
    assert document["measured_by"] == "mm_run"
    assert document["throughput"] == performance.qps
    assert document["iterations"] == performance.iterations
    assert document["command"][0] == str(tmp_path / "mm_run")
    of_compute = [
        one
        for one in document["stages"]
        if (one["group"], one["stage"]) == (0, "compute") and one["clock"] != "interface"
    ]
    (compute,) = of_compute
    spread = performance.groups[0].compute.host or performance.groups[0].compute.dev
    assert spread is not None
    percentiles = {one["name"]: one for one in compute["percentiles"]}
    assert percentiles["p50"]["value"] == spread.median
    assert percentiles["p99"]["value"] == spread.p99
    assert percentiles["p99"]["low"] is None  # it keeps no sample, so there is no interval
    assert percentiles["p99"]["needed"] == 662


@GENERATIONS
def test_its_figures_as_a_table(
    native: Native, tmp_path: Path, options: frozenset[str], printed: str
) -> None:
    write_tool(tmp_path / "mm_run", options, prints(printed))
    said = native("--table")
    performance = parse_report(printed).performance
    assert f"{performance.qps:.6g} images/s" in said
    assert "compute" in said
    assert ("input shape group 1" in said) == (len(performance.groups) > 1)
    assert max(map(len, said.splitlines()[2:])) <= 100


def test_numbers_that_are_none_are_null_in_json(native: Native, tmp_path: Path) -> None:
    printed = NEW.replace("28916.2", "nan")
    assert printed != NEW
    write_tool(tmp_path / "mm_run", NEW_OPTIONS, prints(printed))

    def refuse(constant: str) -> None:
        pytest.fail(f"{constant} is no JSON")

    document = json.loads(native("--json"), parse_constant=refuse)
    assert document["throughput"] is None


def test_the_table_fits_with_every_stage_by_both_clocks(native: Native, tmp_path: Path) -> None:
    report = parse_report(NEW)
    times = report.performance.groups[0].h2d.host
    both = Stage(host=times, dev=times)
    group = ShapeGroup(0, (("data", (1, 3)),), h2d=both, compute=both, d2h=both, total=both)
    report = replace(report, performance=replace(report.performance, groups=(group,)))
    write_tool(tmp_path / "mm_run", NEW_OPTIONS, prints(to_text(report)))
    said = native("--table", "--trace_time", "both")
    assert max(map(len, said.splitlines()[2:])) <= 100
    (means,) = (line.split() for line in said.splitlines() if line.startswith("mean"))
    assert len(means) == 1 + 8
    assert len(set(means[1:])) == 1


def test_a_log_that_cannot_be_written_is_told_before_the_run(
    native: Native, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("no folder")
    write_tool(tmp_path / "mm_run", NEW_OPTIONS, f"touch {tmp_path}/called\n{prints(NEW)}")
    assert "cannot be made" in native("--out", tmp_path / "file", status=2)
    assert not (tmp_path / "called").exists()


def test_options_are_passed_on(native: Native, tmp_path: Path) -> None:
    write_tool(tmp_path / "mm_run", NEW_OPTIONS, prints(NEW))
    native(
        "--kernel_capture", 1, "--perf_path", "perf", "--trace_pmu", "true", "--devices", "mlu:1"
    )
    log = tmp_path / "artifacts" / "output" / "net_model" / "mm_run.log"
    command = log.read_text().splitlines()[0]
    for words in ("--kernel_capture 1", "--perf_path perf", "--trace_pmu 1", "--devices 1"):
        assert words in command
    assert "--native" not in command


def test_where_it_is_not_there_it_is_told_what_was_looked_for(
    native: Native, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("NEUWARE_HOME", raising=False)
    said = " ".join(native(status=2).split())
    assert "--native: the vendor's mm_run was not found" in said
    assert f"{tmp_path}/mm_run (from MM_RUN_PATH)" in said
    assert "NEUWARE_HOME, which is not set" in said


def test_its_failure_is_an_engines(native: Native, tmp_path: Path) -> None:
    write_tool(tmp_path / "mm_run", NEW_OPTIONS, "echo 'out of memory'; exit 3")
    said = native(status=4)
    assert "mm_run ended with status 3: out of memory" in said
    said = native("--datatransfer_opt", 1, status=2)
    assert "the installed mm_run has no such option" in said
