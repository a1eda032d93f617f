"""MLPerf's LoadGen driving a network through the same lanes as this project's own scenarios."""

from __future__ import annotations

import re
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlperf_loadgen as lg
import numpy as np
from numpy.typing import NDArray

from mlubench.metrics.latency import nearest_rank
from mlubench.worker.measure.loadgen import Limits, Load, arrivals, offline, single_stream
from mlubench.worker.measure.scenarios import LaneSystem

PERCENTILES = (50.0, 90.0, 99.0)
#: Samples that LoadGen may choose from; every one is the same to the lanes.
_SAMPLES = 1024
#: At least so many queries: a p99 of a hundred is the one longest. Of 401 no percentile's rank is a
#: whole number, where LoadGen takes the next sample and nearest rank does not.
_QUERIES = 401
_PERCENTILE = re.compile(r"^([\d.]+) percentile latency \(ns\)\s*: (\d+)", re.MULTILINE)
_RATES = {
    "SingleStream": "QPS w/ loadgen overhead",
    "Server": "Completed samples per second",
    "Offline": "Samples per second",
}


@dataclass(frozen=True)
class Plan:
    """A scenario, how long, and the rate that LoadGen is told to expect or to make, per second."""

    scenario: str
    seconds: float
    rate: float


@dataclass(frozen=True)
class Figures:
    """What a run came to: queries per second, latencies in ms by percentile."""

    rate: float
    latencies: dict[float, float]


@dataclass(frozen=True)
class LoadGenRun:
    """A run of LoadGen: what its summary says, and what this project makes of the same queries.

    Attributes:
        told: by LoadGen.
        seen: from each query's being due to its end, by this project's clock and statistics.
        due: float64 [queries], seconds since the first.
    """

    told: Figures
    seen: Figures
    due: NDArray[np.float64]


def by_loadgen(system: LaneSystem, plan: Plan) -> LoadGenRun:
    """Let LoadGen carry out a scenario."""
    ids: list[int] = []
    begun: list[float] = []
    ended: dict[int, float] = {}
    failures: list[BaseException] = []

    def issue(samples: Any) -> None:
        for sample in samples:
            ids.append(sample.id)
            begun.append(time.perf_counter())
            system.start(len(ids) - 1, 1)

    def finished(query: int) -> None:
        ended[query] = time.perf_counter()
        lg.QuerySamplesComplete([lg.QuerySampleResponse(ids[query], 0, 0)])

    system.finished, system.failed = finished, failures.append
    told = _carry_out(plan, issue)
    if failures:
        raise failures[0]
    issued, end = np.array(begun), np.array([ended[query] for query in range(len(ids))])
    due = _due(plan, issued)
    rate = len(ids) / float(end.max() - due[0])
    return LoadGenRun(told, Figures(rate, _percentiles(end - due)), due - due[0])


def _due(plan: Plan, issued: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return when LoadGen's queries were due, on the clock of when it issued them."""
    if plan.scenario == "SingleStream":
        return issued
    if plan.scenario == "Offline":
        return np.full_like(issued, issued[0])  # one query of LoadGen's
    schedule = server_schedule(plan.rate, len(issued))
    return schedule + float((issued - schedule).min())  # the least late one was in time


def server_schedule(rate: float, queries: int) -> NDArray[np.float64]:
    """Return LoadGen's arrivals of the Server scenario, seconds since the first.

    They are exponential variates of ``std::mt19937`` with its default seed, 0, as GCC's
    ``std::exponential_distribution`` makes them: two draws of 32 bits for each.
    """
    twister = np.random.MT19937()
    twister._legacy_seeding(0)  # as std::mt19937 takes a seed
    draws = twister.random_raw(2 * queries).astype(np.float64)
    uniform = (draws[0::2] + draws[1::2] * 2.0**32) / 2.0**64
    return np.concatenate([[0.0], np.cumsum(-np.log1p(-uniform) / rate)[:-1]])


def _carry_out(plan: Plan, issue: Any) -> Figures:
    sut = lg.ConstructSUT(issue, lambda: None)
    qsl = lg.ConstructQSL(_SAMPLES, _SAMPLES, lambda _: None, lambda _: None)
    with tempfile.TemporaryDirectory() as folder:
        output = lg.LogOutputSettings()
        output.outdir, output.copy_summary_to_stdout = folder, False
        logging = lg.LogSettings()
        logging.log_output, logging.enable_trace = output, False
        try:
            lg.StartTestWithLogSettings(sut, qsl, _settings(plan), logging, "audit.config")
        finally:
            lg.DestroyQSL(qsl)
            lg.DestroySUT(sut)
        return _read(plan.scenario, Path(folder, "mlperf_log_summary.txt").read_text())


def _settings(plan: Plan) -> Any:
    settings = lg.TestSettings()
    settings.scenario = getattr(lg.TestScenario, plan.scenario)
    settings.mode = lg.TestMode.PerformanceOnly
    settings.min_duration_ms = int(1e3 * plan.seconds)
    settings.min_query_count = _QUERIES
    settings.single_stream_expected_latency_ns = int(1e9 / plan.rate)
    settings.server_target_qps = plan.rate
    settings.server_target_latency_ns = 10**9
    settings.offline_expected_qps = plan.rate
    return settings


def _read(scenario: str, summary: str) -> Figures:
    (rate,) = re.findall(rf"^{re.escape(_RATES[scenario])}\s*: ([\d.]+)", summary, re.MULTILINE)
    found = {float(name): float(value) / 1e6 for name, value in _PERCENTILE.findall(summary)}
    return Figures(float(rate), {name: found[name] for name in PERCENTILES})


def by_own(system: LaneSystem, plan: Plan, due: NDArray[np.float64]) -> Figures:
    """Carry out the same scenario by this project's own generator.

    Args:
        system: what is measured.
        plan: the scenario.
        due: when queries are due in Server; in Offline there are as many.
    """
    load = _load(system, plan, due)
    return Figures(load.throughput, _percentiles(load.latencies))


def _load(system: LaneSystem, plan: Plan, due: NDArray[np.float64]) -> Load:
    if plan.scenario == "SingleStream":
        return single_stream(system, Limits(_QUERIES, plan.seconds))
    if plan.scenario == "Server":
        return arrivals(system, [float(moment) for moment in due])
    return offline(system, 1, len(due))


def _percentiles(seconds: NDArray[np.float64]) -> dict[float, float]:
    ordered = 1e3 * np.sort(seconds)
    return {
        name: float(ordered[nearest_rank(len(ordered), name / 100) - 1]) for name in PERCENTILES
    }
