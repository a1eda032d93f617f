"""Judging a finished run: by another run, by published figures, or by itself.

``judge`` is all that ``mlubench compare`` and a nightly flow need; what it returns can be shown
(:mod:`mlubench.verdicts.table`) and written as JUnit XML (:mod:`mlubench.verdicts.junit`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from mlubench import catalogue
from mlubench.errors import ConfigError
from mlubench.evaluate.finished_runs import EvaluatedRun, read_evaluation
from mlubench.metrics.verdict import Verdict, worst
from mlubench.networks.changed_weights import changed_layers
from mlubench.runs.baselines import (
    JUDGEMENT_FILE,
    PUBLISHED,
    VerdictRecord,
    find_baseline,
    verdict_path,
)
from mlubench.runs.bench_record import BenchRecord
from mlubench.runs.lookup import find_run, read_facts
from mlubench.runs.parquet import read_parquet
from mlubench.runs.record import RunRecord
from mlubench.runs.schemas import ACCURACY
from mlubench.runs.verdict import Gate, GateRecord
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
from mlubench.verdicts.differences import differences
from mlubench.verdicts.speed_gates import RunsCompared, compare_benchmarks, speed_gates
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
        [str(one) for one in compared.differences],
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
    return [str(one) for one in differences(dict(sorted(pairs.items())))]


def _executed(folder: Path) -> dict[str, str]:
    rows = read_parquet(folder / "accuracy.parquet", ACCURACY).to_pylist()
    return {row["precision"]: row["executed_precision"] for row in rows}


def _kind(benchmark: bool) -> str:
    return "a benchmark" if benchmark else "an evaluation"


def record_verdict(judged: Judged, out: Path) -> Path:
    """Keep what was said of a run, which decides whether it is good; return the file.

    A flow calls it. ``mlubench compare`` does not: a user may compare what he likes.

    Raises:
        StoreError: the folder cannot be written.
    """
    path = verdict_path(judged.run, out)
    _verdict_record(judged).write(path)
    return path


def _verdict_record(judged: Judged) -> VerdictRecord:
    return VerdictRecord(
        run_id=judged.run,
        baseline=judged.baseline,
        verdict=judged.verdict,
        gates=gate_records(judged),
        remarks=tuple(judged.remarks),
    )


def keep_judgement(judged: Judged, folder: Path) -> Path:
    """Keep what ``mlubench compare`` said of a run in its own folder, for its page.

    That makes the run neither good nor bad; see :func:`record_verdict`.

    Raises:
        StoreError: the folder cannot be written.
    """
    path = folder / JUDGEMENT_FILE
    _verdict_record(judged).write(path)
    return path


def judge_by(run: str, baseline: str, gates: Gates, out: Path, conf: Sequence[Path] = ()) -> Judged:
    """Judge a run by a baseline.

    Args:
        run: path or id.
        baseline: likewise; or ``pinned``, ``last-good`` or ``published``.
        gates: the thresholds.
        out: folder of runs and caches.
        conf: further folders of catalogues, for the published figures.

    Raises:
        ConfigError: there is no such run or baseline, or they cannot be compared.
        StoreError: a run cannot be read.
    """
    folder = find_run(run, out)
    if baseline == PUBLISHED:
        return judge_by_published(folder, _published(folder, conf), gates)
    found = find_baseline(folder, baseline, out)
    if found is None:
        facts = read_facts(folder)
        raise ConfigError(
            f"there is no {baseline} baseline",
            where=folder.name,
            expected=f"another {facts.kind} of {facts.model}"
            + (f" on {facts.dataset}" if facts.dataset else "")
            + f" with {facts.engine} in {', '.join(facts.precisions)}",
            fix="mlubench baseline pin RUN, or name a run",
        )
    return judge(folder, found, gates)


def _published(folder: Path, conf: Sequence[Path]) -> list[PublishedFigure]:
    model = read_facts(folder).model
    entry = catalogue.models(conf).get(model)
    figures = entry.published if entry else ()
    return [PublishedFigure(one.source, one.precision, one.top1, one.differs) for one in figures]


@dataclass(frozen=True)
class Judged:
    """A run, judged.

    Attributes:
        run: its id.
        baseline: what it was judged by: another run's id, ``published``, or empty.
        gates: in the order in which they are shown.
        remarks: what else differs from the baseline, a sentence each.
        compared: of a benchmark, the two runs side by side.
    """

    run: str
    baseline: str
    gates: Sequence[Gate]
    remarks: Sequence[str] = ()
    compared: RunsCompared | None = None

    @property
    def verdict(self) -> Verdict:
        """The worst of all gates."""
        return worst(gate.verdict for gate in self.gates)


def gate_records(judged: Judged) -> tuple[GateRecord, ...]:
    """Return a run's gates as they are kept in files."""
    return tuple(GateRecord(**vars(gate)) for gate in judged.gates)
