"""``mlubench run --scenario``: MLPerf's scenarios, on cores and on simulated cards."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mlubench import cli
from mlubench.pipeline.offline import compile_offline
from mlubench.pipeline.parameters import CompileParameters
from mlubench.reports.schemas import QUERIES, read_parquet
from tests.support.simulated_sdk import environment, misuses

ENGINES = ("openvino", "magicmind")
QUICK = {"--warmup": 10, "--duration": 0, "--iterations": 24}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], Path]:
    folder = tmp_path_factory.mktemp("models")
    found = {}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment(folder).items():
            patch.setenv(name, value)
        for engine in ENGINES:
            for name, dynamic, batch in (("dynamic", True, 4), ("static", False, 4)):
                asked = CompileParameters(
                    engine=engine,
                    dynamic_shape=dynamic,
                    batch_size=batch,
                    out=folder,
                    magicmind_model=folder / f"{engine}_{name}",
                )
                found[engine, name] = compile_offline(asked, lambda *_: None).path
    return found


class Run:
    def __init__(
        self,
        engine: str,
        models: dict[tuple[str, str], Path],
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        self.engine = engine
        self._models, self._capsys = models, capsys
        self.err = ""

    def __call__(self, *options: object, model: str = "dynamic", status: int = 0) -> str:
        usual = {"--magicmind_model": self._models[self.engine, model], **QUICK}
        words = ["run", "--scenario", *options]
        for name, value in usual.items():
            words += [] if name in options else [name, value]
        done = cli.main([str(word) for word in words])
        said = self._capsys.readouterr()
        self.err = said.err
        assert done == status, said.out + said.err
        return said.out


@pytest.fixture(params=ENGINES)
def run(
    request: pytest.FixtureRequest,
    models: dict[tuple[str, str], Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Iterator[Run]:
    variables = environment(tmp_path / "sdk")
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    yield Run(request.param, models, capsys)
    assert misuses(variables) == []


@pytest.mark.parametrize(
    ("options", "model", "samples", "batch"),
    [
        (("SingleStream",), "dynamic", 1, 1),
        (("MultiStream",), "dynamic", 8, 8),
        (("MultiStream", "--samples_per_query", 6, "--batch_size", 2), "dynamic", 6, 2),
        (("MultiStream",), "static", 8, 4),
        (("Offline",), "dynamic", 4, 4),
        (("Offline", "--samples_per_query", 12), "static", 12, 4),
        (("Server", "--latency_bound", 60000, "--target_qps", 500), "dynamic", 1, 1),
    ],
    ids=str,
)
def test_queries_and_requests(
    run: Run, tmp_path: Path, options: Any, model: str, samples: int, batch: int
) -> None:
    document = json.loads(run(*options, "--json", "--out", tmp_path, model=model))
    assert document["scenario"] == options[0]
    assert (document["samples_per_query"], document["batch_size"]) == (samples, batch)
    queries = document["queries"]
    assert queries >= (662 if options[0] == "Server" else 24)
    assert document["throughput"] == pytest.approx(samples * queries / document["seconds"])
    rows = read_parquet(tmp_path / "queries.parquet", QUERIES).to_pandas()
    assert rows["query"].tolist() == list(range(queries))
    assert (rows.samples == samples).all()
    assert (rows.latency_ms >= 0).all()
    np.testing.assert_allclose(rows.latency_ms, rows.finished_ms - rows.scheduled_ms, atol=1e-6)
    if options[0] == "Offline":
        assert document["latency"] is None
        assert not rows.scheduled_ms.any()
        return
    assert document["latency"]["samples"] == queries
    judged = {"SingleStream": 0.9, "MultiStream": 0.99, "Server": 0.99}[options[0]]
    assert document["percentile"] == judged
    names = [one["name"] for one in document["latency"]["percentiles"]]
    assert names == ["p50", "p90", "p95", "p99", "p99.9"]
    assert document["bound_held"] == (True if options[0] == "Server" else None)


def test_single_stream_is_one_after_the_other(run: Run, tmp_path: Path) -> None:
    run("SingleStream", "--out", tmp_path)
    rows = read_parquet(tmp_path / "queries.parquet", QUERIES).to_pandas()
    assert (rows.scheduled_ms.to_numpy()[1:] >= rows.finished_ms.to_numpy()[:-1]).all()


def test_what_it_prints(run: Run) -> None:
    said = run("SingleStream", "--iterations", 70, "--percentile", 80)
    assert "scenario:          SingleStream" in said
    assert "queries:           70 of 1 samples each" in said
    assert "p80 by MLPerf:" in said
    assert "70 of 662, not enough" in said
    assert max(map(len, said.splitlines())) <= 100
    assert "note: p99: not enough samples (70 of 662)" in run.err


def test_a_percentile_with_too_few_samples_has_no_estimate(run: Run) -> None:
    said = run("SingleStream", "--iterations", 20)
    assert "p90 by MLPerf:     not enough samples (20 of 64)" in said


def test_a_bound_that_nothing_holds_is_a_failed_gate(run: Run) -> None:
    said = run(*("Server", "--latency_bound", 0.001, "--target_qps", 2000, "--json"), status=1)
    document = json.loads(said)
    assert document["bound_held"] is False
    assert "given up after" in run.err
    assert document["queries"] < 662


def test_the_highest_rate_is_searched_for(run: Run) -> None:
    document = json.loads(run("Server", "--latency_bound", 100, "--json"))
    search = document["search"]
    held = [trial["rate"] for trial in search["trials"] if trial["held"]]
    assert search["rate"] == max(held) == document["arrivals_per_second"]
    assert search["broken"] > search["rate"]
    assert document["bound_held"] is True


def test_a_search_that_finds_none_ends(run: Run) -> None:
    said = run("Server", "--latency_bound", 0.001, status=1)
    assert "none held down to" in said
    assert "does not hold" in said


@pytest.mark.parametrize(
    ("options", "model", "said"),
    [
        (("Server",), "dynamic", "--latency_bound: Server has no bound"),
        (("Offline", "--latency_bound", 5), "dynamic", "--latency_bound: has no meaning"),
        (("SingleStream", "--target_qps", 5), "dynamic", "--target_qps: has no meaning"),
        (("SingleStream", "--samples_per_query", 2), "dynamic", "has one sample"),
        (("SingleStream",), "static", "a query has 1 samples, a request to this network 4"),
        (("MultiStream", "--samples_per_query", 6), "static", "a whole number of requests"),
        (("Offline", "--threads", 2), "dynamic", "--threads: has no meaning in Offline"),
        (("Offline", "--devices", 0, 1), "dynamic", "a scenario is of one device"),
        (("Offline", "--percentile", 100), "dynamic", "--percentile"),
        (("Offline", "--percentile", 90), "dynamic", "--percentile: has no meaning in Offline"),
        (("Server", "--latency_bound", "inf"), "dynamic", "--latency_bound"),
        (("Server", "--latency_bound", 5, "--target_qps", "inf"), "dynamic", "--target_qps"),
        (("Server", "--latency_bound", 5, "--target_qps", 1e9), "dynamic", "--target_qps"),
        (("Server", "--latency_bound", 5, "--target_qps", 1e-9), "dynamic", "--target_qps"),
        (("Sprint",), "dynamic", "--scenario"),
    ],
    ids=str,
)
def test_what_is_wrong_is_told(run: Run, options: Any, model: str, said: str) -> None:
    assert run(*options, model=model, status=2) == ""
    assert said in " ".join(run.err.split())
