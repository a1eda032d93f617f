"""Why a run of a nightly failed, found unasked: images, classes, layers, since when."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path

from mlubench.engines.precisions import REFERENCE
from mlubench.errors import MlubenchError
from mlubench.evaluate.finished_runs import read_evaluation
from mlubench.evaluate.predictions import pair_images
from mlubench.explain.explain import explain
from mlubench.explain.explanation import Explanation
from mlubench.metrics.verdict import Verdict
from mlubench.nightly.record import (
    Explained,
    ExplainedClass,
    ExplainedImage,
    ExplainedLayer,
    RunEnding,
)
from mlubench.nightly.suite import SuiteRun
from mlubench.report.page import page_again
from mlubench.runs.baselines import PUBLISHED
from mlubench.runs.bench_record import BenchRecord
from mlubench.runs.history import (
    ACCURACY_SERIES,
    THROUGHPUT_SERIES,
    Series,
    accuracy_until,
    find_series,
    throughput_until,
)
from mlubench.runs.lookup import find_run
from mlubench.runs.parquet import read_parquet
from mlubench.runs.record import RunRecord
from mlubench.runs.schemas import ACCURACY, THROUGHPUT
from mlubench.runs.verdict import GateRecord
from mlubench.speed.benchmark.throughput import row_name

Progress = Callable[[int, int], None]

#: Gates that a baseline's answers are asked for, and those that force_float32's are.
_AGAINST_BASELINE = ("accuracy-baseline", "classes")
_AGAINST_REFERENCE = ("accuracy-float32", "agreement", "published")
#: Precisions that are explained, each in seconds to a minute.
_PRECISIONS = 2
#: What of an explanation goes into a summary; all of it is in the run's folder.
_LAYERS, _IMAGES, _CLASSES, _ORIGINS = 10, 10, 5, 5


def needs_explaining(run: SuiteRun, ending: RunEnding) -> bool:
    """Whether a run's accuracy failed, and its suite wants to know why."""
    return run.explain and run.kind == "evaluation" and bool(_questions(ending))


def explain_ending(
    run: SuiteRun, ending: RunEnding, progress: Progress = lambda *_: None
) -> RunEnding:
    """Return the ending of an evaluation with why its gates on accuracy failed.

    What cannot be explained is a note of the ending; nothing is raised.

    Args:
        run: of the suite.
        ending: how it ended.
        progress: called with (images done, images).
    """
    out = run.parameters.out
    found: list[Explained] = []
    notes: list[str] = []
    try:
        for precision, baseline in _worst_first(ending, out)[:_PRECISIONS]:
            told = explain(
                find_run(ending.run_id, out),
                out,
                precision,
                baseline=find_run(baseline, out) if baseline else None,
                progress=progress,
                layers_needed=False,
            )
            found.append(summarised(told))
    except Exception as error:  # a nightly does not end for want of a reason
        notes.append(f"could not be explained: {_what(error)}")
    if found and (trouble := page_again(find_run(ending.run_id, out))):
        notes.append(trouble)
    update = {"explained": tuple(found), "notes": (*ending.notes, *notes)}
    return ending.model_copy(update=update)


def _what(error: Exception) -> str:
    ours = isinstance(error, MlubenchError)
    return str(error) if ours else f"{type(error).__name__}: {error}"


def with_history(run: SuiteRun, ending: RunEnding) -> RunEnding:
    """Return the ending of a run that failed with since which run its figures are what they are.

    What cannot be found out is a note of the ending; nothing is raised.
    """
    failed = [gate for gate in ending.gates if gate.verdict == Verdict.FAIL]
    if not failed or not ending.run_id:
        return ending
    try:
        told = _steps(run, failed, find_run(ending.run_id, run.parameters.out))
    except Exception as error:  # as of explain_ending
        note = f"no history: {_what(error)}"
        return ending.model_copy(update={"notes": (*ending.notes, note)})
    return ending.model_copy(update={"since": tuple(told)})


def _steps(run: SuiteRun, failed: Sequence[GateRecord], folder: Path) -> list[str]:
    """Return the last step of each figure that a failed gate is on, where there is one."""
    history = run.parameters.out / "history"
    subjects = {_precision(gate) for gate in failed}
    if run.kind == "benchmark":
        bench = BenchRecord.read(folder / "run.json")
        rows = read_parquet(folder / "throughput.parquet", THROUGHPUT)
        speeds = find_series(
            throughput_until(history, bench, rows), THROUGHPUT_SERIES, "throughput"
        )
        changed = [(row_name(one.key), one) for one in speeds if _has_changed(one, bench.run_id)]
        return [f"{n}: {one.steps[-1].throughput_text}" for n, one in changed if n in subjects]
    record = RunRecord.read(folder / "run.json")
    rows = read_parquet(folder / "accuracy.parquet", ACCURACY)
    accuracies = find_series(accuracy_until(history, record, rows), ACCURACY_SERIES, "top1")
    changed = [(one.key["precision"], one) for one in accuracies if _has_changed(one, folder.name)]
    return [f"{n}: top-1 {one.steps[-1].accuracy_text}" for n, one in changed if n in subjects]


def _has_changed(series: Series, run_id: str) -> bool:
    return bool(series.steps) and series.points[-1].run_id == run_id


def _precision(gate: GateRecord) -> str:
    """Return what a gate is on, of a class the precision."""
    return gate.subject.partition(", class ")[0]


def _questions(ending: RunEnding) -> dict[str, str]:
    """Return the precisions whose accuracy failed, and the baseline to compare each with.

    An empty baseline is force_float32 of the same run. What was lost since the baseline is asked
    before what is lost to force_float32: that may have been so before.
    """
    failed = [gate for gate in ending.gates if gate.verdict == Verdict.FAIL]
    baseline = "" if ending.baseline == PUBLISHED else ending.baseline
    questions: dict[str, str] = {}
    for names, against in ((_AGAINST_BASELINE, baseline), (_AGAINST_REFERENCE, "")):
        for gate in failed:
            precision = _precision(gate)
            if gate.name in names and (against or precision != REFERENCE):
                questions.setdefault(precision, against)
    return questions


def _worst_first(ending: RunEnding, out: Path) -> list[tuple[str, str]]:
    """Return the precisions to explain and their baselines, the largest drop first."""
    questions = _questions(ending)
    ours = read_evaluation(find_run(ending.run_id, out)).predictions
    drops = {}
    for precision, baseline in questions.items():
        theirs = read_evaluation(find_run(baseline, out)).predictions if baseline else ours
        pairs = pair_images(theirs, ours, precision, precision if baseline else REFERENCE)
        drops[precision] = pairs.paired().drop if len(pairs) else 0.0
    return sorted(questions.items(), key=lambda one: -drops[one[0]])


def summarised(told: Explanation) -> Explained:
    """Return the worst of an explanation."""
    names = told.class_names
    return Explained(
        precision=told.precision,
        against=told.against,
        images=told.paired.images,
        lost=told.paired.lost,
        won=told.paired.won,
        layers=tuple(
            ExplainedLayer(
                layer=one.layer,
                kind=one.kind,
                snr_db=one.snr_db if math.isfinite(one.snr_db) else None,
                begins=one.begins,
            )
            for one in told.layers[:_LAYERS]
            if one.snr_db < math.inf
        ),
        layer_images=told.images,
        origins=tuple(one.layer for one in told.origins[:_ORIGINS]),
        no_layers=told.no_layers,
        lost_images=tuple(
            ExplainedImage(
                image=flip.image,
                true=names[flip.label],
                before=names[flip.reference_index],
                after=names[flip.index],
            )
            for flip in told.flips[:_IMAGES]
            if not flip.won
        ),
        classes=tuple(
            ExplainedClass(class_id=one.class_id, lost=one.lost, won=one.won, images=one.images)
            for one in told.classes[:_CLASSES]
            if one.lost > one.won
        ),
    )
