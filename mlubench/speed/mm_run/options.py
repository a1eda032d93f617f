"""What a run was asked to do: mm_run's options, and further ones of ``mlubench run``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from mlubench.errors import ConfigError
from mlubench.speed.mm_run.tool.options import MmRunOptions, Positive

Scenario = Literal["SingleStream", "MultiStream", "Server", "Offline"]
#: The percentile that MLPerf judges in each scenario; Offline has none.
PERCENTILES = {"SingleStream": 90.0, "MultiStream": 99.0, "Server": 99.0, "Offline": 99.0}
#: MLPerf's samples of a MultiStream query; the other scenarios but Offline have one.
MULTI_STREAM_SAMPLES = 8

_OF_SCENARIO = ("samples_per_query", "latency_bound", "percentile", "target_qps")
_OF_SERVER = ("latency_bound", "target_qps")
#: Options of mm_run that say how it loads a device, which a scenario says itself.
_NOT_IN_SCENARIO = (
    *("run_config", "input_files", "output_path", "threads", "host_async", "trace_path"),
    *("debug_path", "perf_path", "trace_time", "avg_runs", "datatransfer_opt"),
)
_NOT_NATIVE = ("streams", "scenario", "conf")
#: Arrivals per second: from one in a quarter of an hour to more than a host can issue.
_LEAST_RATE, _GREATEST_RATE = 0.001, 1e6


class RunParameters(MmRunOptions):
    """Options of ``mlubench run``; field descriptions are the help texts."""

    streams: Positive | None = Field(
        None,
        description="inferences that the device runs side by side, each on its share of the "
        "cores; only on openvino (default: a core each, and no more than are in flight)",
    )
    native: bool = Field(False, description="call the vendor's own mm_run")
    scenario: Scenario | None = Field(
        None, description="measure as MLPerf does: SingleStream, MultiStream, Server, Offline"
    )
    samples_per_query: Positive | None = Field(
        None, description="of MultiStream (default: 8), of Offline (default: the batch)"
    )
    latency_bound: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = Field(
        None, description="milliseconds that few queries of Server may exceed"
    )
    percentile: Annotated[float, Field(gt=0, lt=100)] | None = Field(
        None, description="percent that may not (default: 99; of SingleStream 90, as in MLPerf)"
    )
    target_qps: Annotated[float, Field(ge=_LEAST_RATE, le=_GREATEST_RATE)] | None = Field(
        None, description="arrivals per second of Server (default: the highest that hold the bound)"
    )
    conf: tuple[Path, ...] = Field((), description="folders with an engines.yaml of your own")
    out: Path | None = Field(
        None,
        description="folder for throughput.parquet and latencies.parquet, every request; of a "
        "scenario for queries.parquet; with --native for the tool's log",
    )

    @model_validator(mode="after")
    def _check_together(self) -> Self:
        if self.native:
            self._refuse(_NOT_NATIVE, "is none of mm_run's own", "leave out --native")
        if self.scenario is None:
            self._refuse(_OF_SCENARIO, "says something of a scenario", "give --scenario, too")
        else:
            self._refuse(_NOT_IN_SCENARIO, f"has no meaning in {self.scenario}", "leave it out")
            self._check_scenario(self.scenario)
        if self.disable_data_copy and self.output_path is not None:
            raise _wrong(
                "no outputs are copied out", "--output_path", "no --disable_data_copy beside it"
            )
        return self

    def _check_scenario(self, scenario: Scenario) -> None:
        if scenario != "Server":
            self._refuse(_OF_SERVER, f"has no meaning in {scenario}", "leave it out")
        elif self.latency_bound is None:
            raise _wrong(
                "Server has no bound", "--latency_bound", "milliseconds, in MLPerf 15 for ResNet-50"
            )
        if scenario == "Offline":
            self._refuse(("percentile",), "has no meaning in Offline", "leave it out")
        if scenario in ("SingleStream", "Server") and self.samples_per_query not in (None, 1):
            raise _wrong(f"a query of {scenario} has one sample", "--samples_per_query", "1")
        if len(self.devices) > 1:
            raise _wrong("a scenario is of one device", "--devices", "one")

    def _refuse(self, names: tuple[str, ...], what: str, fix: str) -> None:
        for name in names:
            if name in self.model_fields_set:
                raise ConfigError(what, where=f"--{name}", fix=fix)


def _wrong(what: str, where: str, expected: str) -> ConfigError:
    return ConfigError(what, where=where, expected=expected, fix="see mlubench run --help")
