"""The benchmark flow on the embedded sample, on cores and on simulated cards."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from mlubench import cli
from mlubench.images.datasets.digits import write_digits
from mlubench.runs.parquet import read_parquet
from mlubench.runs.schemas import LATENCIES, THROUGHPUT
from mlubench.speed.benchmark.options import BenchParameters
from mlubench.speed.benchmark.results import BenchOutcome
from mlubench.speed.measure import tuning
from tests.support.long import long
from tests.support.plain_flow import plainly
from tests.support.simulated_sdk import environment

Bench = Callable[..., BenchOutcome]
QUICK = {"rounds": 2, "duration": 20, "warmup": 10, "iterations": 3}


@pytest.fixture(scope="module")
def bench(out: Path) -> Bench:
    """Measures without Prefect."""

    def bench(**options: Any) -> BenchOutcome:
        from flows.benchmark import benchmark

        parameters = BenchParameters(**{"out": out, **QUICK, **options})
        result = plainly(benchmark, parameters)
        assert isinstance(result, BenchOutcome)
        return result

    return bench


@pytest.fixture
def prefect_bench(prefect_server: str, out: Path) -> Bench:
    """Measures through Prefect."""

    def bench(**options: Any) -> BenchOutcome:
        from flows.benchmark import benchmark

        parameters = BenchParameters(**{"out": out, **QUICK, **options})
        result: Any = benchmark(parameters, return_state=True).result()
        assert isinstance(result, BenchOutcome)
        return result

    return bench


@pytest.fixture(scope="module")
def usual(
    bench: Bench, fitted: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> BenchOutcome:
    """A benchmark of two precisions and two batches; it is read only."""
    return bench(
        **_network(fitted),
        precision=("force_float32", "qint8_mixed_float16"),
        batch_size=(1, 4),
        calibration_dir=write_digits(tmp_path_factory.mktemp("digits")).train,
        calibration_num=24,
    )


def _network(options: dict[str, Any]) -> dict[str, Any]:
    """Return the options that a benchmark has too."""
    return {name: value for name, value in options.items() if name in BenchParameters.model_fields}


def test_the_run_folder(usual: BenchOutcome) -> None:
    names = {path.name for path in usual.folder.iterdir()}
    assert names == {
        "run.json",
        "throughput.parquet",
        "latencies.parquet",
        "report.html",
        "plot.png",
    }
    record = json.loads((usual.folder / "run.json").read_text())
    assert record["kind"] == "benchmark"
    assert record["parameters"]["batch_size"] == [1, 4]
    assert set(record["seconds"]) == {"import", "decode", "compile", "measure"}


def test_the_rows_of_a_benchmark(usual: BenchOutcome) -> None:
    rows = read_parquet(usual.folder / "throughput.parquet", THROUGHPUT).to_pandas()
    assert list(zip(rows.precision, rows.batch_size, strict=True)) == [
        ("force_float32", 1),
        ("force_float32", 4),
        ("qint8_mixed_float16", 1),
        ("qint8_mixed_float16", 4),
    ]
    assert rows.executed_precision[2].startswith("int8 + ")
    assert not rows.speed_only.any()
    latencies = read_parquet(usual.folder / "latencies.parquet", LATENCIES).to_pandas()
    counts = latencies.groupby("configuration").size()
    assert (counts == rows.requests).all()
    assert (rows.requests * rows.batch_size == rows.images).all()
    assert (counts >= 2 * 3).all()  # rounds, iterations


def test_prefect_shows_the_plot_and_links_to_the_page(
    prefect_bench: Bench, fitted: dict[str, Any], out: Path
) -> None:
    """A browser follows no link, and shows no picture, from a server's page to a file."""
    from prefect.variables import Variable

    from tasks.pages import PAGES

    options = {**_network(fitted), "precision": ("force_float32",), "batch_size": (1,)}
    folder = prefect_bench(**options).folder
    assert "throughput-plot" not in _artifacts(folder.name)
    link = _artifacts(folder.name)["benchmark-report"]
    assert (folder / "report.html").resolve().as_uri() in link
    served = {"address": "http://127.0.0.1:4201", "folder": str(out.resolve())}
    Variable.set(PAGES, served, overwrite=True)
    try:
        folder = prefect_bench(**options).folder
    finally:
        Variable.unset(PAGES)
    artifacts = _artifacts(folder.name)
    place = f"http://127.0.0.1:4201/runs/{folder.name}"
    assert artifacts["throughput-plot"] == f"{place}/plot.png"
    assert f"({place}/report.html)" in artifacts["benchmark-report"]


def _artifacts(run_id: str) -> dict[str | None, str]:
    """Return what Prefect shows of a run, by key."""
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.sorting import ArtifactSort

    with get_client(sync_client=True) as client:
        found = client.read_artifacts(sort=ArtifactSort.CREATED_DESC)
    return {one.key: str(one.data) for one in found if run_id in (one.description or "")}


def test_devices_are_measured_alone_and_together(bench: Bench, fitted: dict[str, Any]) -> None:
    options = {"precision": ("force_float32",), "batch_size": (4,)}
    outcome = bench(**_network(fitted), **options, devices=("cpu:0", "cpu:1"))
    rows = read_parquet(outcome.folder / "throughput.parquet", THROUGHPUT).to_pandas()
    assert [list(devices) for devices in rows.devices] == [["cpu:0", "cpu:1"], ["cpu:0"]]
    latencies = pd.read_parquet(outcome.folder / "latencies.parquet")
    assert set(latencies[latencies.configuration == 0].device) == {"cpu:0", "cpu:1"}
    assert set(latencies[latencies.configuration == 1].device) == {"cpu:0"}


def test_on_simulated_cards_everything_says_so(
    bench: Bench, fitted: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment(tmp_path, cards=2).items():
        monkeypatch.setenv(name, value)
    options = {"precision": ("force_float32",), "batch_size": (4,)}
    outcome = bench(**_network(fitted), **options, engine="magicmind", devices=("0", "1"))
    rows = pd.read_parquet(outcome.folder / "throughput.parquet")
    assert set(rows.engine) == {"magicmind (simulated)"}
    assert rows.executed_precision[0] == "float32 (simulated)"
    latencies = pd.read_parquet(outcome.folder / "latencies.parquet")
    assert set(latencies.device) == {"mlu:0 (simulated)", "mlu:1 (simulated)"}
    assert outcome.folder.name.endswith("-simulated")
    assert "simulated" in outcome.record.engine


def test_without_images_int8_is_for_speed_only(bench: Bench, fitted: dict[str, Any]) -> None:
    outcome = bench(**_network(fitted), precision=("qint8_mixed_float16",), batch_size=(1,))
    assert outcome.rows[0].measured.speed_only
    assert any("speed only: qint8_mixed_float16" in note for note in outcome.notes())


def test_a_run_is_compared_with_another(
    bench: Bench, fitted: dict[str, Any], capsys: pytest.CaptureFixture[str], out: Path
) -> None:
    options = {**_network(fitted), "precision": ("force_float32",)}
    first, second = (bench(**options, batch_size=batches).folder for batches in ((1, 4), (1,)))
    assert cli.main(["compare", str(second), str(first)]) == 3
    said = capsys.readouterr().out
    assert "force_float32, batch 1, static, cpu:0" in said
    assert f"force_float32, batch 4, static, cpu:0: only in {first.name}" in said
    assert max(map(len, said.splitlines()[:6])) <= 100
    assert "the smallest loss that 2 and 2 rounds could have shown is none" in said
    assert "only in" in (second / "report.html").read_text()
    assert cli.main(["compare", str(out), str(first)]) == 2
    assert "is no run" in capsys.readouterr().err
    assert cli.main(["compare", str(second), str(first), "--min_effect", "100"]) == 2


@long
def test_what_is_tuned_is_measured_and_recorded(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tuning, "_SECONDS", 0.01)
    outcome = bench(precision=("force_float32",), batch_size=(1, 4), tune=True)
    assert set(outcome.record.tuning) == {
        "force_float32, batch 1, static",
        "force_float32, batch 4, static",
    }
    rows = read_parquet(outcome.folder / "throughput.parquet", THROUGHPUT).to_pandas()
    for batch, depth in zip(rows.batch_size, rows.infer_depth, strict=True):
        search = outcome.record.tuning[f"force_float32, batch {batch}, static"]
        assert depth == search.best.requests
    assert set(outcome.record.seconds) == {"import", "compile", "tune", "measure"}


@pytest.mark.parametrize("option", ["--threads", "--infer_depth"])
def test_what_is_given_is_not_tuned(capsys: pytest.CaptureFixture[str], option: str) -> None:
    assert cli.main(["bench", "--tune", "true", option, "2"]) == 2
    assert f"--tune and {option} are both given" in capsys.readouterr().err
