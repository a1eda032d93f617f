"""MLPerf's scenarios on one device: SingleStream, MultiStream, Server, Offline."""

from __future__ import annotations

import math
import os
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mlubench.devices.engine_host import engine_host
from mlubench.devices.host_load import Machine, between, now
from mlubench.engines.traits import traits
from mlubench.errors import ConfigError
from mlubench.metrics.early_stopping import late_allowed, needed_queries
from mlubench.metrics.latency import PERCENTILES, summarise
from mlubench.networks.compiled_file import OfflineModel, read_offline_model
from mlubench.runs.parquet import write_parquet
from mlubench.runs.schemas import QUERIES
from mlubench.speed.measure.session import Measuring, Prepared, WarmedUp
from mlubench.speed.mm_run.options import MULTI_STREAM_SAMPLES, RunParameters
from mlubench.speed.mm_run.options import PERCENTILES as JUDGED
from mlubench.speed.mm_run.run import (
    Bed,
    check_batch,
    make_folders,
    prepare,
    refuse_meaningless,
    run_devices,
)
from mlubench.speed.mm_run.scenario_table import ScenarioResult
from mlubench.speed.mm_run.server_search import bound_holds, highest_rate
from mlubench.speed.mm_run.tool.shapes import shape_groups

_KEY = "scenario"
#: Of the arrivals of the Server scenario.
_SEED = 20_260_101
#: Scenarios whose latency matters more than their throughput, and that so have one stream.
_ONE_STREAM = ("SingleStream", "MultiStream")
#: A run whose bound is broken anyhow is not carried on beyond so many times the late queries.
_EXPECTED_MORE = 1.2
#: No rate is looked for below the Offline throughput over this.
_LEAST = 32
#: Seconds without a query finishing, where some are due, after which a run counts as hung.
_PATIENCE = 300.0
#: Two arrivals of a Poisson process are further apart once in e to the 30th times.
_MEAN_GAPS = 30.0


@dataclass(frozen=True, eq=False)
class Queries:
    """The queries of one run, float64 [queries] each, seconds since its start."""

    scheduled: NDArray[np.float64]
    issued: NDArray[np.float64]
    finished: NDArray[np.float64]
    samples: int
    gave_up: bool

    @property
    def latencies(self) -> NDArray[np.float64]:
        """From when a query was due to its end, seconds."""
        return np.asarray(self.finished - self.scheduled)

    @property
    def seconds(self) -> float:
        """From the first query's being due to the last one's end."""
        return float(self.finished.max() - self.scheduled.min())

    @property
    def throughput(self) -> float:
        """Samples per second."""
        return self.samples * len(self.finished) / self.seconds


@dataclass(frozen=True, eq=False)
class ScenarioRun:
    """A scenario and what it found.

    Attributes:
        bed: on what.
        warmed: the warm-up.
        queries: of the run that is told of.
        machine: what else the host did, over all runs.
        result: what it comes to.
    """

    bed: Bed
    warmed: WarmedUp
    queries: Queries
    machine: Machine
    result: ScenarioResult


@dataclass(frozen=True)
class _Plan:
    """How the queries of a scenario become requests."""

    scenario: str
    shape: tuple[tuple[int, ...], ...]
    samples: int
    lanes: int

    @property
    def batch(self) -> int:
        return self.shape[0][0]

    @property
    def in_flight(self) -> int:
        """Queries at once while it warms up."""
        if self.scenario in _ONE_STREAM:
            return 1
        return max(1, self.lanes * self.batch // self.samples)


def run_scenario(asked: RunParameters) -> ScenarioRun:
    """Carry out a scenario on a compiled network.

    Raises:
        ConfigError: an option is wrong, or the scenario does not fit the network.
        DeviceError: the device failed.
    """
    model = read_offline_model(asked.magicmind_model)
    refuse_meaningless(asked, model.engine)
    make_folders(asked)
    names = run_devices(asked, model)
    with Measuring(engine_host(model.engine, asked.conf), names) as measuring:
        lanes = _lanes(asked, measuring)
        streams = int(asked.scenario in _ONE_STREAM and traits(model.engine).family == "cpu")
        bed = prepare(measuring, _KEY, asked, model, requests=lanes, streams=streams)
        plan = _plan(asked, model, bed.prepared, lanes)
        bench = _Bench(measuring, asked, plan)
        before, own = now(), bench.cpu_seconds()
        warmed = bench.warm_up()
        queries, result = _found(bench)
        machine = between(before, now(), bench.cpu_seconds() - own, os.cpu_count() or 1)
    return ScenarioRun(bed, warmed, queries, machine, result)


def _lanes(asked: RunParameters, measuring: Measuring) -> int:
    """Return how many requests may be in flight."""
    if "infer_depth" in asked.model_fields_set:
        return asked.infer_depth
    if asked.scenario == "SingleStream":
        return 1
    return asked.infer_depth if asked.scenario == "MultiStream" else measuring.infer_depth


def _plan(asked: RunParameters, model: OfflineModel, prepared: Prepared, lanes: int) -> _Plan:
    """Return how queries become requests.

    Raises:
        ConfigError: a query is no whole number of the network's batches.
    """
    scenario = str(asked.scenario)
    samples = asked.samples_per_query
    if scenario == "MultiStream":
        samples = samples or MULTI_STREAM_SAMPLES
    if scenario in ("SingleStream", "Server"):
        samples = 1
    if asked.input_dims or asked.batch_size or not model.spec.dynamic_shape:
        inputs = [(one.name, one.dims) for one in prepared.inputs]
        shape = tuple(dims for _, dims in shape_groups(asked, inputs)[0])
    else:
        shape = prepared.default_shapes(samples or model.spec.batch_size)
    batch = shape[0][0]
    check_batch(model, batch)
    samples = samples or batch
    if samples % batch:
        raise ConfigError(
            f"a query has {samples} samples, a request to this network {batch}",
            where=f"--scenario {scenario}",
            expected="a whole number of requests",
            fix="compile it with --dynamic_shape true, or with another --batch_size",
        )
    return _Plan(scenario, shape, samples, lanes)


class _Bench:
    """Carries out runs of one scenario."""

    def __init__(self, measuring: Measuring, asked: RunParameters, plan: _Plan) -> None:
        self.asked, self.plan = asked, plan
        self._measuring = measuring
        self._worker_cpu = 0.0
        self.percentile = (asked.percentile or JUDGED[plan.scenario]) / 100

    def warm_up(self) -> WarmedUp:
        warmup = self.asked.warmup / 1e3
        answer = self._ask(
            {
                "do": "serve",
                "shape": self.plan.shape,
                "lanes": self.plan.lanes,
                "in_flight": self.plan.in_flight,
                "samples": self.plan.samples,
                "buffer_depth": self.asked.buffer_depth,
                "copy": not self.asked.disable_data_copy,
                "warmup": warmup,
            },
            warmup,
        )
        return WarmedUp(answer["warmup_seconds"], answer["steady"])

    def cpu_seconds(self) -> float:
        """Processor time of this process and, in runs, of the worker."""
        return time.process_time() + self._worker_cpu

    def run(self, scenario: str = "", **more: Any) -> Queries:
        """Carry out one run."""
        with tempfile.TemporaryDirectory() as scratch:
            out = Path(scratch) / "queries.npz"
            request = {
                "do": "scenario",
                "scenario": scenario or self.plan.scenario,
                "samples": self.plan.samples,
                "queries": self.asked.iterations,
                "seconds": self.asked.duration / 1e3,
                "out": str(out),
                **more,
            }
            answer = self._ask(request, _longest_gap(request))
            columns = dict(np.load(out, allow_pickle=False))
        self._worker_cpu += (
            answer["usage_after"]["cpu_seconds"] - answer["usage_before"]["cpu_seconds"]
        )
        return Queries(**columns, samples=answer["samples"], gave_up=answer["gave_up"])

    def serve(self, rate: float) -> tuple[Queries, bool]:
        """Carry out one run of Server, and judge whether its bound held."""
        bound = float(self.asked.latency_bound or 0.0) / 1e3
        least = max(self.asked.iterations, needed_queries(1, self.percentile))
        expected = max(least, math.ceil(_EXPECTED_MORE * rate * self.asked.duration / 1e3))
        queries = self.run(
            queries=least,
            rate=rate,
            seed=_SEED,
            bound=bound,
            late_allowed=late_allowed(expected, self.percentile) or 0,
        )
        if queries.gave_up:
            return queries, False
        return queries, bound_holds(queries.latencies, bound, self.percentile)

    def _ask(self, request: dict[str, Any], seconds: float) -> dict[str, Any]:
        request = {"key": _KEY, **request}
        return self._measuring.ask(request, None, seconds + _PATIENCE)[0]


def _longest_gap(request: Mapping[str, Any]) -> float:
    """Return seconds within which a query arrives: rarely are two so many mean gaps apart."""
    return _MEAN_GAPS / float(request["rate"]) if "rate" in request else 0.0


def _found(bench: _Bench) -> tuple[Queries, ScenarioResult]:
    if bench.plan.scenario == "Server":
        return _server(bench)
    queries = bench.run()
    return queries, _result(bench, queries)


def _server(bench: _Bench) -> tuple[Queries, ScenarioResult]:
    """Run at the rate that was given, or search for the highest that holds the bound."""
    bound = bench.asked.latency_bound
    if bench.asked.target_qps is not None:
        queries, held = bench.serve(bench.asked.target_qps)
        result = _result(bench, queries)
        return queries, replace(result, bound=bound, rate=bench.asked.target_qps, held=held)
    tried: dict[float, Queries] = {}

    def holds(rate: float) -> bool:
        tried[rate], held = bench.serve(rate)
        return held

    start = bench.run("Offline").throughput
    search = highest_rate(holds, start, least=start / _LEAST)
    rate = search.rate if search.rate is not None else search.trials[-1].rate
    result = _result(bench, tried[rate])
    held = search.rate is not None
    return tried[rate], replace(result, bound=bound, rate=rate, held=held, search=search)


def _result(bench: _Bench, queries: Queries) -> ScenarioResult:
    plan = bench.plan
    offline = plan.scenario == "Offline"
    percentiles = sorted({*PERCENTILES, bench.percentile})
    return ScenarioResult(
        scenario=plan.scenario,
        samples_per_query=queries.samples,
        batch_size=plan.batch,
        in_flight=plan.lanes,
        queries=len(queries.finished),
        seconds=queries.seconds,
        throughput=queries.throughput,
        latencies=None if offline else summarise(1e3 * queries.latencies, percentiles),
        percentile=None if offline else bench.percentile,
    )


def write_queries(run: ScenarioRun) -> dict[str, Path]:
    """Write queries.parquet where a folder is named; return it by its option.

    Raises:
        StoreError: it cannot be written.
    """
    folder = run.bed.asked.out
    if folder is None:
        return {}
    queries = run.queries
    count = len(queries.finished)
    columns = {
        "query": pa.array(np.arange(count, dtype=np.int32)),
        "samples": pa.array(np.full(count, queries.samples, np.int32)),
        "scheduled_ms": pa.array(1e3 * queries.scheduled),
        "issued_ms": pa.array(1e3 * queries.issued),
        "finished_ms": pa.array(1e3 * queries.finished),
        "latency_ms": pa.array(1e3 * queries.latencies),
    }
    write_parquet(folder / "queries.parquet", pa.Table.from_pydict(columns, schema=QUERIES))
    return {"out": folder / "queries.parquet"}
