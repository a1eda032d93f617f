"""Two benchmark runs, configuration by configuration, and the gates on throughput and memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlubench.errors import ConfigError
from mlubench.metrics.speed import SpeedChange, compare_speed
from mlubench.metrics.verdict import Verdict, worst
from mlubench.runs.bench_record import BenchRecord
from mlubench.runs.parquet import read_parquet
from mlubench.runs.schemas import THROUGHPUT
from mlubench.runs.verdict import Gate
from mlubench.speed.benchmark.throughput import row_name
from mlubench.verdicts.differences import Difference, differences
from mlubench.verdicts.thresholds import Gates

#: What makes two rows of two runs one configuration.
_KEYS = (
    "model",
    "engine",
    "precision",
    "executed_precision",
    "batch_size",
    "dynamic_shape",
    "devices",
    "threads",
    "infer_depth",
)


@dataclass(frozen=True)
class Comparison:
    """A configuration in both runs.

    Attributes:
        name: of the configuration.
        baseline: images per second, the median of its rounds.
        candidate: likewise.
        change: the candidate against the baseline.
        disturbed: whether either was measured on a disturbed machine.
        memory_kib: of the workers, the baseline's and the candidate's.
    """

    name: str
    baseline: float
    candidate: float
    change: SpeedChange
    disturbed: bool
    memory_kib: tuple[int, int] = (0, 0)


@dataclass(frozen=True)
class Unmatched:
    """A configuration that only one of two runs has.

    Attributes:
        name: of the configuration.
        run_id: the run that has it.
    """

    name: str
    run_id: str


@dataclass(frozen=True)
class RunsCompared:
    """Two runs.

    Attributes:
        comparisons: the configurations that both have.
        unmatched: those that only one has.
        differences: what differs between the runs besides their speed and their network.
    """

    comparisons: Sequence[Comparison]
    unmatched: Sequence[Unmatched]
    differences: Sequence[Difference]

    @property
    def verdict(self) -> Verdict:
        """The worst of all; a configuration that is lacking leaves a doubt."""
        verdicts = [one.change.verdict for one in self.comparisons]
        return worst([*verdicts, *([Verdict.INCONCLUSIVE] if self.unmatched else [])])


def compare_benchmarks(run: Path, baseline: Path, min_effect: float) -> RunsCompared:
    """Compare two benchmark runs.

    Args:
        run: the candidate's run folder.
        baseline: the other's.
        min_effect: the least loss of throughput that fails, as a fraction.

    Raises:
        ConfigError: the runs have no configuration in common.
        StoreError: a run folder cannot be read.
    """
    ours, theirs = _rows(run), _rows(baseline)
    common = [key for key in ours if key in theirs]
    if not common:
        raise ConfigError(
            "has no configuration in common with the baseline",
            where=str(run),
            expected="the same model, engine, precisions, batches and devices",
            fix="run mlubench bench with the same options as the baseline was",
        )
    comparisons = [
        Comparison(
            name=row_name(ours[key]),
            baseline=theirs[key]["throughput"],
            candidate=ours[key]["throughput"],
            change=compare_speed(
                theirs[key]["round_throughput"], ours[key]["round_throughput"], min_effect
            ),
            disturbed=ours[key]["disturbed"] or theirs[key]["disturbed"],
            memory_kib=(theirs[key]["memory_kib"], ours[key]["memory_kib"]),
        )
        for key in common
    ]
    unmatched = [
        Unmatched(row_name(rows[key]), folder.name)
        for rows, others, folder in ((ours, theirs, run), (theirs, ours, baseline))
        for key in rows
        if key not in others
    ]
    return RunsCompared(comparisons, unmatched, _differences(run, baseline))


def _rows(folder: Path) -> dict[tuple[Any, ...], Mapping[str, Any]]:
    table = read_parquet(folder / "throughput.parquet", THROUGHPUT)
    return {
        tuple(tuple(row[key]) if key == "devices" else row[key] for key in _KEYS): row
        for row in table.to_pylist()
    }


def _differences(run: Path, baseline: Path) -> list[Difference]:
    """Return what differs between two runs besides their speed; their network has a gate."""
    ours, theirs = (BenchRecord.read(folder / "run.json") for folder in (run, baseline))
    pairs: dict[str, tuple[object, object]] = {
        "engine's version": (ours.engine_version, theirs.engine_version),
        "host": (ours.host, theirs.host),
        "devices": (ours.devices, theirs.devices),
    }
    return differences(pairs)


def speed_gates(compared: RunsCompared, gates: Gates) -> list[Gate]:
    """Return a gate on speed and one on memory for each configuration of both runs.

    A configuration that only one of them has leaves a doubt.
    """
    found = [gate for one in compared.comparisons for gate in _both(one, gates)]
    for one in compared.unmatched:
        reason = f"only in {one.run_id}"
        found.append(Gate("speed", one.name, Verdict.INCONCLUSIVE, reason))
    return found


def _both(one: Comparison, gates: Gates) -> list[Gate]:
    reason = f"{one.candidate:.5g} images/s, the baseline {one.baseline:.5g}: {one.change.reason}"
    if one.disturbed:
        reason += "; other processes had much of the host meanwhile"
    speed = Gate("speed", one.name, one.change.verdict, reason)
    before, now = one.memory_kib
    if not before or not now:
        return [speed]
    ratio = now / before
    verdict = Verdict.FAIL if ratio > gates.max_memory_ratio else Verdict.PASS
    reason = (
        f"{now / 1024:.0f} MiB, the baseline {before / 1024:.0f}: ratio {ratio:.2f}, limit "
        f"{gates.max_memory_ratio:g}"
    )
    return [speed, Gate("memory", one.name, verdict, reason)]
