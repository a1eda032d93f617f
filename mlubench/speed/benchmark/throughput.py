"""The rows of throughput.parquet and latencies.parquet: how fast each configuration is."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mlubench.engines.precisions import REFERENCE
from mlubench.metrics.latency import Latencies, interval_ranks, summarise
from mlubench.metrics.speed import SpeedChange, compare_speed
from mlubench.runs.schemas import LATENCIES, THROUGHPUT

_MS = 1e3
#: Configurations are measured side by side where all but their precision is equal.
_ALIKE = ("batch_size", "dynamic_shape", "devices", "threads", "infer_depth")


@dataclass(frozen=True)
class Configuration:
    """One way to run a network.

    Attributes:
        precision: MagicMind's name of the numeric mode.
        batch_size: images in a request.
        dynamic_shape: whether the compiled network takes batches of any size.
        devices: at once.
        threads: of the host, on each device.
        infer_depth: requests in flight of each thread.
    """

    precision: str
    batch_size: int
    dynamic_shape: bool
    devices: tuple[str, ...]
    threads: int
    infer_depth: int

    @property
    def name(self) -> str:
        """A name that no other configuration of a run has, for people too."""
        return row_name(dataclasses.asdict(self))


@dataclass(frozen=True, eq=False)
class RequestTimes:
    """The requests of one round, in seconds.

    Attributes:
        device: names, [requests].
        thread: int32 [requests].
        batch_size: int32 [requests].
        start: float64 [requests], since the round began.
        copy_in: float64 [requests].
        compute: float64 [requests], waiting in the device's queue included.
        copy_out: float64 [requests].
        device_seconds: float64 [requests], NaN where the device has no clock of its own.
    """

    device: Sequence[str]
    thread: NDArray[np.int32]
    batch_size: NDArray[np.int32]
    start: NDArray[np.float64]
    copy_in: NDArray[np.float64]
    compute: NDArray[np.float64]
    copy_out: NDArray[np.float64]
    device_seconds: NDArray[np.float64]

    @property
    def latency(self) -> NDArray[np.float64]:
        """All three stages, float64 [requests], seconds."""
        return np.asarray(self.copy_in + self.compute + self.copy_out)


@dataclass(frozen=True, eq=False)
class RoundFigures:
    """One round of one configuration.

    Attributes:
        requests: their times.
        seconds: from the first request's beginning to the last one's end.
        cpu_seconds: processor time of workers and flow.
        memory_kib: of the workers.
        process_threads: of the workers.
        clock_mhz: None where the kernel does not tell.
        load: of the host, the last minute's.
        others: share of the host's cores that other processes had.
        disturbed: whether that was so much that the figures may be theirs.
        warmup_seconds: before it.
        steady: whether that warm-up got steady.
    """

    requests: RequestTimes
    seconds: float
    cpu_seconds: float
    memory_kib: int
    process_threads: int
    clock_mhz: float | None
    load: float
    others: float
    disturbed: bool
    warmup_seconds: float
    steady: bool

    @property
    def throughput(self) -> float:
        """Images per second."""
        return float(self.requests.batch_size.sum()) / self.seconds


@dataclass(frozen=True, eq=False)
class Measured:
    """A configuration and all of its rounds.

    Attributes:
        configuration: it.
        executed_precision: the arithmetic that the device really used.
        rounds: in the order in which they were measured.
        speed_only: whether the network's ranges were made up.
    """

    configuration: Configuration
    executed_precision: str
    rounds: Sequence[RoundFigures]
    speed_only: bool = False

    @property
    def round_throughput(self) -> list[float]:
        """Images per second of each round."""
        return [one.throughput for one in self.rounds]


@dataclass(frozen=True)
class ThroughputRow:
    """One configuration; the columns of throughput.parquet, see there."""

    model: str
    engine: str
    engine_version: str
    configuration: Configuration
    executed_precision: str
    measured: Measured
    latencies: Latencies
    speedup: SpeedChange | None

    @property
    def throughput(self) -> float:
        """Images per second, the median of the rounds."""
        return float(np.median(self.measured.round_throughput))

    @property
    def interval(self) -> tuple[float | None, float | None]:
        """Distribution-free 95 % interval of that median; None is an end that is not known."""
        ordered = sorted(self.measured.round_throughput)
        low, high = interval_ranks(len(ordered), 0.5)
        return (
            None if low is None else ordered[low - 1],
            None if high is None else ordered[high - 1],
        )

    @property
    def disturbed(self) -> bool:
        """Whether half of the rounds or more were disturbed."""
        return 2 * sum(one.disturbed for one in self.measured.rounds) >= len(self.measured.rounds)


def throughput_rows(
    measured: Sequence[Measured], *, model: str, engine: str, engine_version: str
) -> list[ThroughputRow]:
    """Return a row for each configuration, in their order.

    Args:
        measured: the configurations and their rounds.
        model: the network's name.
        engine: the engine's name, which says where it is simulated.
        engine_version: its version.
    """
    references = {
        _alike(one.configuration): one
        for one in measured
        if one.configuration.precision == REFERENCE
    }
    return [
        ThroughputRow(
            model=model,
            engine=engine,
            engine_version=engine_version,
            configuration=one.configuration,
            executed_precision=one.executed_precision,
            measured=one,
            latencies=summarise(
                np.concatenate([part.requests.latency for part in one.rounds]) * _MS
            ),
            speedup=_speedup(references.get(_alike(one.configuration)), one),
        )
        for one in measured
    ]


def throughput_table(rows: Sequence[ThroughputRow]) -> pa.Table:
    """Return the rows as a table of schema :data:`~mlubench.runs.schemas.THROUGHPUT`."""
    return pa.Table.from_pylist([_columns(row) for row in rows], schema=THROUGHPUT)


def latencies_table(rows: Sequence[ThroughputRow]) -> pa.Table:
    """Return every request of the rows, of schema :data:`~mlubench.runs.schemas.LATENCIES`."""
    parts = [
        _requests(place, number, figures.requests)
        for place, row in enumerate(rows)
        for number, figures in enumerate(row.measured.rounds)
    ]
    return pa.concat_tables([LATENCIES.empty_table(), *parts])


def row_name(row: Mapping[str, Any]) -> str:
    """Return the name of a row of throughput.parquet: its :attr:`Configuration.name`."""
    shape = "dynamic" if row["dynamic_shape"] else "static"
    return f"{row['precision']}, batch {row['batch_size']}, {shape}, {' '.join(row['devices'])}"


def speed_notes(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return what a reader must know beside the figures.

    Args:
        rows: of throughput.parquet.
    """
    disturbed = [row_name(row) for row in rows if row["disturbed"]]
    restless = [row_name(row) for row in rows if not row["steady"]]
    made_up = sorted({row["precision"] for row in rows if row["speed_only"]})
    return [
        *_note(
            "other processes had more of the host than is usual, so the figures may be theirs",
            disturbed,
            len(rows),
        ),
        *_note("a warm-up did not get steady", restless, len(rows)),
        *_note("not calibrated, ranges are made up: speed only", made_up, 0),
    ]


def _note(what: str, names: Sequence[str], of: int) -> list[str]:
    """Return a note on some of the configurations; on all of them without their names."""
    if not names:
        return []
    return [what if len(names) == of else f"{what}: {'; '.join(names)}"]


def _alike(configuration: Configuration) -> tuple[Any, ...]:
    return tuple(getattr(configuration, name) for name in _ALIKE)


def _speedup(reference: Measured | None, one: Measured) -> SpeedChange | None:
    if reference is None or reference is one:
        return None
    return compare_speed(reference.round_throughput, one.round_throughput)


def _columns(row: ThroughputRow) -> dict[str, Any]:
    rounds = row.measured.rounds
    low, high = row.interval
    clocks = [one.clock_mhz for one in rounds if one.clock_mhz is not None]
    stages = ("copy_in", "compute", "copy_out")
    return {
        "model": row.model,
        "engine": row.engine,
        "engine_version": row.engine_version,
        "executed_precision": row.executed_precision,
        **dataclasses.asdict(row.configuration),
        "rounds": len(rounds),
        "requests": sum(len(one.requests.start) for one in rounds),
        "images": sum(int(one.requests.batch_size.sum()) for one in rounds),
        "seconds": sum(one.seconds for one in rounds),
        "throughput": row.throughput,
        "throughput_low": low,
        "throughput_high": high,
        "round_throughput": row.measured.round_throughput,
        **_speedup_columns(row.speedup),
        "latency_mean_ms": row.latencies.mean,
        **_percentile_columns(row.latencies),
        **{
            f"{stage}_ms": _MS
            * float(np.median(np.concatenate([getattr(one.requests, stage) for one in rounds])))
            for stage in stages
        },
        "warmup_seconds": sum(one.warmup_seconds for one in rounds),
        "steady": all(one.steady for one in rounds),
        "cpu_seconds": sum(one.cpu_seconds for one in rounds),
        "memory_kib": max(one.memory_kib for one in rounds),
        "process_threads": max(one.process_threads for one in rounds),
        "clock_mhz": float(np.mean(clocks)) if clocks else None,
        "load": float(np.mean([one.load for one in rounds])),
        "others": float(np.mean([one.others for one in rounds])),
        "disturbed": row.disturbed,
        "speed_only": row.measured.speed_only,
    }


def _speedup_columns(speedup: SpeedChange | None) -> Mapping[str, float | None]:
    if speedup is None:
        return dict.fromkeys(("speedup", "speedup_low", "speedup_high"))
    bounded = np.isfinite(speedup.high)
    return {
        "speedup": speedup.ratio,
        "speedup_low": speedup.low if bounded else None,
        "speedup_high": speedup.high if bounded else None,
    }


def _percentile_columns(latencies: Latencies) -> Mapping[str, float | int | None]:
    columns: dict[str, float | int | None] = {}
    for one in latencies.percentiles:
        name = one.name.replace(".", "")
        columns[f"{name}_ms"] = one.value
        columns[f"{name}_low_ms"] = one.low
        columns[f"{name}_high_ms"] = one.high
        columns[f"{name}_needed"] = one.needed
    return columns


def _requests(place: int, number: int, times: RequestTimes) -> pa.Table:
    count = len(times.start)
    order = np.argsort(times.start, kind="stable")
    columns = {
        "configuration": pa.array(np.full(count, place, np.int32)),
        "round": pa.array(np.full(count, number, np.int32)),
        "device": pa.array(np.asarray(times.device, object)[order], pa.string()),
        "thread": pa.array(times.thread[order], pa.int32()),
        "batch_size": pa.array(times.batch_size[order], pa.int32()),
        "start_ms": pa.array(times.start[order] * _MS),
        "latency_ms": pa.array(times.latency[order] * _MS),
        "copy_in_ms": pa.array(times.copy_in[order] * _MS),
        "compute_ms": pa.array(times.compute[order] * _MS),
        "copy_out_ms": pa.array(times.copy_out[order] * _MS),
        "device_ms": pa.array(times.device_seconds[order] * _MS, from_pandas=True),
    }
    return pa.Table.from_pydict(columns, schema=LATENCIES)
