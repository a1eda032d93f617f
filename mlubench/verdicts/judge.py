"""Judging a finished run: by another run, by published figures, or by itself.

``judge`` is all that ``mlubench compare`` and a nightly flow need; what it returns can be shown
(:mod:`mlubench.verdicts.table`) and written as JUnit XML (:mod:`mlubench.verdicts.junit`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from mlubench.errors import ConfigError
from mlubench.evaluate.finished_runs import EvaluatedRun, read_evaluation
from mlubench.networks.changed_weights import changed_layers
from mlubench.runs.baselines import PUBLISHED
from mlubench.runs.bench_record import BenchRecord
from mlubench.runs.parquet import read_parquet
from mlubench.runs.record import RunRecord
from mlubench.runs.schemas import ACCURACY
from mlubench.runs.verdict import Gate, Judged
from mlubench.store import Store
from mlubench.verdicts.accuracy_gates import (
    PublishedFigure,
    baseline_gates,
    compile_gates,
    image_gates,
    input_gates,
    model_gate,
    published_gates,
    reference_gates,
)
from mlubench.verdicts.speed_gates import RunsCompared, compare_benchmarks
from mlubench.verdicts.speed_verdicts import speed_gates
from mlubench.verdicts.thresholds import Gates

#: Layers whose weights changed are named so many at most.
_NAMED = 5


def judge(run: Path, baseline: Path, gates: Gates) -> Judged:
    """Judge a run by another one of the same kind, evaluation or benchmark.

    Args:
        run: the folder of the run to judge.
        baseline: the folder of the run that it is judged by.
        gates: the thresholds.

    Raises:
        ConfigError: one is an evaluation and the other a benchmark, or the runs have no
            configuration in common.
        StoreError: a run folder cannot be read.
    """
    kinds = [BenchRecord.is_in(folder) for folder in (run, baseline)]
    if kinds[0] != kinds[1]:
        raise ConfigError(
            f"is {_kind(kinds[0])} and {baseline.name} is {_kind(kinds[1])}",
            where=run.name,
            expected="two runs of one kind",
            fix="name a baseline of the same kind",
        )
    return judge_benchmark(run, baseline, gates) if kinds[0] else _judge_pair(run, baseline, gates)


def judge_alone(run: Path, gates: Gates) -> Judged:
    """Judge an evaluation by what it holds itself: its images, and force_float32.

    Raises:
        StoreError: the run folder cannot be read.
    """
    ours = read_evaluation(run)
    return Judged(ours.record.run_id, "", _own_gates(ours, gates))


def judge_by_published(run: Path, figures: Sequence[PublishedFigure], gates: Gates) -> Judged:
    """Judge an evaluation by itself and by figures that others published.

    Raises:
        ConfigError: there is no figure of any of the run's precisions.
        StoreError: the run folder cannot be read.
    """
    ours = read_evaluation(run)
    rows = read_parquet(run / "accuracy.parquet", ACCURACY).to_pylist()
    accuracies = {row["precision"]: (row["top1"], row["images"]) for row in rows}
    judged = published_gates(accuracies, figures, gates)
    if not judged:
        raise ConfigError(
            f"nothing is published of {ours.record.model.name} in {', '.join(accuracies)}",
            where="published",
            expected="figures in its entry of models.yaml",
            fix="name a run as the baseline",
        )
    return Judged(ours.record.run_id, PUBLISHED, [*_own_gates(ours, gates), *judged])


def judge_benchmark(run: Path, baseline: Path, gates: Gates) -> Judged:
    """Judge a benchmark by another one; see :func:`judge`."""
    compared = compare_benchmarks(run, baseline, gates.min_effect / 100)
    ours, theirs = (BenchRecord.read(folder / "run.json") for folder in (run, baseline))
    model = model_gate(ours.model, theirs.model, gates)
    return Judged(
        ours.run_id,
        theirs.run_id,
        [model, *speed_gates(compared, gates)],
        _but_model(compared),
        compared,
    )


def _judge_pair(run: Path, baseline: Path, gates: Gates) -> Judged:
    ours, theirs = read_evaluation(run), read_evaluation(baseline)
    judged = [
        *_with_layers(input_gates(ours.record, theirs.record, gates), ours, theirs, run),
        *image_gates(ours.record.dataset.images, gates),
        *baseline_gates(ours, theirs, gates),
        *reference_gates(ours, gates),
        *compile_gates(ours.record.compile_seconds, theirs.record.compile_seconds, gates),
    ]
    return Judged(ours.record.run_id, theirs.record.run_id, judged, _remarks(run, baseline))


def _with_layers(
    judged: Sequence[Gate], ours: EvaluatedRun, theirs: EvaluatedRun, run: Path
) -> list[Gate]:
    """Name the layers whose weights changed, in the gate on the network, where it is known."""
    if ours.record.model == theirs.record.model:
        return list(judged)
    store = Store(run.resolve().parent.parent / "cache")
    layers = changed_layers(ours.record.model, theirs.record.model, store) or []
    names = ", ".join(map(str, layers[:_NAMED])) + (
        f" and {len(layers) - _NAMED} more layers" if len(layers) > _NAMED else ""
    )
    return [
        replace(gate, reason=f"{gate.reason}: {names}") if names and gate.name == "model" else gate
        for gate in judged
    ]


def _own_gates(run: EvaluatedRun, gates: Gates) -> list[Gate]:
    return [
        *image_gates(run.record.dataset.images, gates),
        *reference_gates(run, gates),
    ]


def _remarks(run: Path, baseline: Path) -> list[str]:
    """Return what differs between two evaluations besides their inputs and answers."""
    ours, theirs = (RunRecord.read(folder / "run.json") for folder in (run, baseline))
    pairs: dict[str, tuple[object, object]] = {
        "engine": (ours.engine, theirs.engine),
        "engine's version": (ours.engine_version, theirs.engine_version),
        "host": (ours.host, theirs.host),
        "devices": (", ".join(ours.devices), ", ".join(theirs.devices)),
        "batch": (ours.parameters.get("batch_size"), theirs.parameters.get("batch_size")),
        "number of calibration images": (
            ours.dataset.calibration_images,
            theirs.dataset.calibration_images,
        ),
    }
    executed = [_executed(folder) for folder in (run, baseline)]
    for precision in executed[0].keys() & executed[1].keys():
        pairs[f"arithmetic of {precision}"] = (executed[0][precision], executed[1][precision])
    return [
        f"another {what} than the baseline's: {mine} in place of {other}"
        for what, (mine, other) in sorted(pairs.items())
        if mine != other
    ]


def _executed(folder: Path) -> dict[str, str]:
    rows = read_parquet(folder / "accuracy.parquet", ACCURACY).to_pylist()
    return {row["precision"]: row["executed_precision"] for row in rows}


def _but_model(compared: RunsCompared) -> list[str]:
    """Return a comparison's remarks without those on the network, which has a gate."""
    return [line for line in compared.remarks if "another network's" not in line]


def _kind(benchmark: bool) -> str:
    return "a benchmark" if benchmark else "an evaluation"
