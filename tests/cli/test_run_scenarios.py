"""``mlubench run --scenario``: MLPerf's scenarios, on cores and on simulated cards."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mlubench.runs.parquet import read_parquet
from mlubench.runs.schemas import QUERIES
from tests.cli.conftest import Run

_QUICK = ("--iterations", 24)


class Scenario:
    """Runs a scenario, and keeps what was said."""

    def __init__(self, run: Run) -> None:
        self._run = run

    def __call__(self, *options: object, model: str = "dynamic of 4", status: int = 0) -> str:
        quick = () if "--iterations" in options else _QUICK
        return self._run("--scenario", *options, *quick, model=model, status=status)

    @property
    def err(self) -> str:
        return self._run.err

    @property
    def engine(self) -> str:
        return self._run.engine


@pytest.fixture(name="run")
def scenario(run: Run) -> Scenario:
    return Scenario(run)


@pytest.mark.parametrize(
    ("options", "model", "samples", "batch"),
    [
        (("SingleStream",), "dynamic of 4", 1, 1),
        (("MultiStream",), "dynamic of 4", 8, 8),
        (("MultiStream", "--samples_per_query", 6, "--batch_size", 2), "dynamic of 4", 6, 2),
        (("MultiStream",), "static of 4", 8, 4),
        (("Offline",), "dynamic of 4", 4, 4),
        (("Offline", "--samples_per_query", 12), "static of 4", 12, 4),
        (("Server", "--latency_bound", 60000, "--target_qps", 500), "dynamic of 4", 1, 1),
    ],
    ids=str,
)
def test_queries_and_requests(
    run: Scenario, tmp_path: Path, options: Any, model: str, samples: int, batch: int
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


def test_single_stream_is_one_after_the_other(run: Scenario, tmp_path: Path) -> None:
    run("SingleStream", "--out", tmp_path)
    rows = read_parquet(tmp_path / "queries.parquet", QUERIES).to_pandas()
    assert (rows.scheduled_ms.to_numpy()[1:] >= rows.finished_ms.to_numpy()[:-1]).all()


def test_what_it_prints(run: Scenario) -> None:
    said = run("SingleStream", "--iterations", 70, "--percentile", 80)
    assert "scenario:          SingleStream" in said
    assert "queries:           70 of 1 samples each" in said
    assert "p80 by MLPerf:" in said
    assert "70 of 662, not enough" in said
    assert max(map(len, said.splitlines())) <= 100
    assert "note: p99: not enough samples (70 of 662)" in run.err


def test_a_percentile_with_too_few_samples_has_no_estimate(run: Scenario) -> None:
    said = run("SingleStream", "--iterations", 20)
    assert "p90 by MLPerf:     not enough samples (20 of 64)" in said


def test_a_bound_that_nothing_holds_is_a_failed_gate(run: Scenario) -> None:
    said = run(*("Server", "--latency_bound", 0.001, "--target_qps", 2000, "--json"), status=1)
    document = json.loads(said)
    assert document["bound_held"] is False
    assert "given up after" in run.err
    assert document["queries"] < 662


def test_the_highest_rate_is_searched_for(run: Scenario) -> None:
    # In less time a fast device would answer all queries within the bound at whatever rate.
    options = ("--latency_bound", 100, "--duration", 250)
    document = json.loads(run("Server", *options, "--json"))
    search = document["search"]
    held = [trial["rate"] for trial in search["trials"] if trial["held"]]
    assert search["rate"] == max(held) == document["arrivals_per_second"]
    assert search["broken"] > search["rate"]
    assert document["bound_held"] is True


def test_a_search_that_finds_none_ends(run: Scenario) -> None:
    said = run("Server", "--latency_bound", 0.001, status=1)
    assert "none held down to" in said
    assert "does not hold" in said


@pytest.mark.parametrize(
    ("options", "model", "said"),
    [
        (("Server",), "dynamic of 4", "--latency_bound: Server has no bound"),
        (("Offline", "--latency_bound", 5), "dynamic of 4", "--latency_bound: has no meaning"),
        (("SingleStream", "--target_qps", 5), "dynamic of 4", "--target_qps: has no meaning"),
        (("SingleStream", "--samples_per_query", 2), "dynamic of 4", "has one sample"),
        (("SingleStream",), "static of 4", "a query has 1 samples, a request to this network 4"),
        (("MultiStream", "--samples_per_query", 6), "static of 4", "a whole number of requests"),
        (("Offline", "--threads", 2), "dynamic of 4", "--threads: has no meaning in Offline"),
        (("Offline", "--devices", 0, 1), "dynamic of 4", "a scenario is of one device"),
        (("Offline", "--percentile", 100), "dynamic of 4", "--percentile"),
        (
            ("Offline", "--percentile", 90),
            "dynamic of 4",
            "--percentile: has no meaning in Offline",
        ),
        (("Server", "--latency_bound", "inf"), "dynamic of 4", "--latency_bound"),
        (("Server", "--latency_bound", 5, "--target_qps", "inf"), "dynamic of 4", "--target_qps"),
        (("Server", "--latency_bound", 5, "--target_qps", 1e9), "dynamic of 4", "--target_qps"),
        (("Server", "--latency_bound", 5, "--target_qps", 1e-9), "dynamic of 4", "--target_qps"),
        (("Sprint",), "dynamic of 4", "--scenario"),
    ],
    ids=str,
)
def test_what_is_wrong_is_told(run: Scenario, options: Any, model: str, said: str) -> None:
    assert run(*options, model=model, status=2) == ""
    assert said in " ".join(run.err.split())
