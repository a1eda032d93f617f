"""The run folder of a benchmark."""

from __future__ import annotations

import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mlubench.errors import DepotError
from mlubench.networks.choose import Network
from mlubench.networks.importing import ImportedNetwork
from mlubench.runs.bench_record import BenchRecord
from mlubench.runs.folders import RunName, name_run
from mlubench.runs.history import append_throughput, settle
from mlubench.runs.parquet import write_parquet
from mlubench.runs.record import ModelRecord, TuningRecord
from mlubench.speed.benchmark.options import BenchParameters
from mlubench.speed.benchmark.page import write_bench_page
from mlubench.speed.benchmark.throughput import (
    Measured,
    ThroughputRow,
    latencies_table,
    speed_notes,
    throughput_rows,
    throughput_table,
)
from mlubench.store import atomic_folder, locked


@dataclass(frozen=True)
class Benchmark:
    """All that was chosen and measured.

    Attributes:
        asked: the options.
        network: the network.
        imported: what it was imported from.
        measured: every configuration and its rounds.
        engine_name: the engine's name, which says where it is simulated.
        engine: what the engine says of itself.
        devices: what it says of each device.
        seconds: how long each stage took.
        tuning: per network and batch, how devices were kept busy, where that was searched for.
    """

    asked: BenchParameters
    network: Network
    imported: ImportedNetwork
    measured: Sequence[Measured]
    engine_name: str
    engine: Mapping[str, str]
    devices: Mapping[str, str]
    seconds: Mapping[str, float]
    tuning: Mapping[str, TuningRecord] = field(default_factory=dict)


@dataclass(frozen=True)
class BenchOutcome:
    """How a benchmark ended.

    Attributes:
        folder: the run folder.
        record: what run.json says.
        rows: what throughput.parquet says.
        unshared: why it is not on the store that other hosts share; empty where it is, or none is.
    """

    folder: Path
    record: BenchRecord
    rows: Sequence[ThroughputRow]
    unshared: str = ""

    @property
    def exit_status(self) -> int:
        """The exit status of the command."""
        return DepotError.exit_status if self.unshared else 0

    @property
    def card(self) -> str:
        """What ran it, in a few words: the devices' descriptions without their names."""
        what = dict.fromkeys(device.partition(": ")[2] for device in self.record.devices)
        return ", ".join(what)

    def notes(self) -> list[str]:
        """Return what a reader must know beside the table."""
        unshared = [self.unshared] if self.unshared else []
        return [*speed_notes(throughput_table(self.rows).to_pylist()), *unshared]


def write_benchmark(benchmark: Benchmark, runs: Path) -> BenchOutcome:
    """Write the run folder, which appears when it is complete.

    Args:
        benchmark: what was measured.
        runs: folder of all runs.

    Raises:
        StoreError: the folder cannot be written.
    """
    rows = throughput_rows(
        benchmark.measured,
        model=benchmark.network.name,
        engine=benchmark.engine_name,
        engine_version=benchmark.engine["version"],
    )
    history = runs.parent / "history"
    with locked(runs / ".lock"):
        settle(history, runs)
        name = name_run(
            runs,
            f"{benchmark.network.name}-bench",
            simulated="simulated" in benchmark.engine,
            shared=benchmark.asked.artifacts is not None,
        )
        record = _record(benchmark, name, rows)
        with (
            append_throughput(history, record, throughput_table(rows)),
            atomic_folder(runs / name.run_id) as folder,
        ):
            record.write(folder / "run.json")
            write_parquet(folder / "throughput.parquet", throughput_table(rows))
            write_parquet(folder / "latencies.parquet", latencies_table(rows))
            write_bench_page(folder)
    return BenchOutcome(runs / name.run_id, record, rows)


def _record(benchmark: Benchmark, name: RunName, rows: Sequence[ThroughputRow]) -> BenchRecord:
    return BenchRecord(
        run_id=name.run_id,
        created_utc=name.written,
        parameters=benchmark.asked.model_dump(mode="json"),
        model=ModelRecord(
            name=benchmark.network.name,
            prototxt_sha256=benchmark.imported.prototxt_sha256,
            weights_sha256=benchmark.imported.caffemodel_sha256,
        ),
        engine=benchmark.engine_name,
        engine_version=benchmark.engine["version"],
        engine_facts=dict(benchmark.engine),
        devices=[f"{name}: {what}" for name, what in benchmark.devices.items()],
        host=socket.gethostname(),
        seconds={stage: round(seconds, 3) for stage, seconds in benchmark.seconds.items()},
        tuning=dict(benchmark.tuning),
        disturbed=any(row.disturbed for row in rows),
    )
