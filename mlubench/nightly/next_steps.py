"""What a nightly says of a run that is not green: since when, why, and what to do next."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass

from mlubench.engines.precisions import REFERENCE, is_quantised
from mlubench.metrics.verdict import Verdict
from mlubench.nightly.record import Explained, ExplainedLayer, NightlyRecord, RunEnding

_SHOWN = 5
#: What a search for layers to keep in float aims at where no limit of points is known.
_BUDGET = "0.5"


@dataclass(frozen=True)
class PastNight:
    """An earlier night of a suite.

    Attributes:
        record: what its summary.json says.
        page: whether it has a page.
    """

    record: NightlyRecord
    page: bool


@dataclass(frozen=True)
class Step:
    """Something to do next.

    Attributes:
        what: it is for, in a few words.
        command: to run.
    """

    what: str
    command: str


def why_lines(run: RunEnding) -> list[str]:
    """Return why a run failed and since when, a sentence each; nothing of one that did not."""
    return [
        *(line for told in run.explained for line in explained_lines(told)),
        *(f"changed: {text}" for text in run.since),
    ]


def explained_lines(told: Explained) -> list[str]:
    """Return an explanation in sentences: layers first, then images and classes."""
    name = f"{told.precision} against {told.against}"
    layers = f"{name}: layers were not compared: {told.no_layers}"
    if not told.no_layers:
        worst = ", ".join(map(layer_text, told.layers[:_SHOWN])) or "none"
        begins = f"; differences begin in {', '.join(told.origins)}" if told.origins else ""
        layers = f"{name}: layers that differ most: {worst}{begins}"
    images = ", ".join(one.image for one in told.lost_images[:_SHOWN])
    classes = ", ".join(
        f"{one.class_id} ({one.lost} of {one.images})" for one in told.classes[:_SHOWN]
    )
    lost = f"{name}: {told.lost} lost and {told.won} won of {told.images} images"
    return [
        layers,
        lost + (f"; lost are {images}" if images else ""),
        *([f"{name}: classes that lost: {classes}"] if classes else []),
    ]


def layer_text(one: ExplainedLayer) -> str:
    """Return a layer and how far its output lies from the other network's."""
    ratio = "no signal left" if one.snr_db is None else f"SNR {one.snr_db:.1f} dB"
    return f"{one.layer} ({ratio})"


def bad_since(run: RunEnding, past: Sequence[PastNight]) -> str:
    """Return since which night a run has not been green; nothing of one that is.

    Args:
        run: of the night that is told of.
        past: the nights before, the newest first.
    """
    if not run.exit_status:
        return ""
    bad = 1
    for night in past:
        before = [one for one in night.record.runs if one.name == run.name]
        if not before or before[0].skipped:
            continue
        if not before[0].exit_status:
            when = f"{night.record.created_utc:%Y-%m-%d %H:%M}"
            nights = "the first bad night" if bad == 1 else f"bad for {bad} nights"
            return f"{nights}; last green on {when} UTC, in {before[0].run_id}"
        bad += 1
    if bad == 1:
        return "its first night, as far as is known"
    return f"bad for {bad} nights; no green one is known"


def next_steps(run: RunEnding, record: NightlyRecord) -> list[Step]:
    """Return what to run to learn more of a run that is not green."""
    if not run.exit_status:
        return []
    again = ["nightly", str(record.parameters.get("suite", record.suite)), "--only", run.name]
    steps = []
    if run.run_id and run.baseline not in ("", "published"):
        step = ["compare", run.run_id, run.baseline]
        steps.append(Step("all gates against the baseline", _command(step, record)))
    if run.kind == "evaluation" and run.verdict == Verdict.FAIL:
        steps += [_explain(run, told, record) for told in run.explained] or [
            Step("what changed", _command(["explain", run.run_id], record))
        ]
        steps += _fallbacks(run, record)
    steps.append(Step("this run alone, once more", _command(again, record, conf=True)))
    if run.run_id and run.verdict == Verdict.FAIL:
        step = ["baseline", "pin", run.run_id]
        steps.append(Step("if the change is meant", _command(step, record)))
    return steps


def _explain(run: RunEnding, told: Explained, record: NightlyRecord) -> Step:
    words = ["explain", run.run_id, "--precision", told.precision]
    if told.against != REFERENCE:
        words += ["--baseline", told.against]
    return Step(f"all layers, images and classes of {told.precision}", _command(words, record))


def _fallbacks(run: RunEnding, record: NightlyRecord) -> list[Step]:
    """Return the searches for layers to keep in float, of what lost to float."""
    lost = {
        gate.subject
        for gate in run.gates
        if gate.name == "accuracy-float32" and gate.verdict == Verdict.FAIL
    }
    if not run.engine.startswith("openvino"):
        return []
    return [
        Step(
            f"layers of {precision} to keep in float",
            _command(
                ["explain", run.run_id, "--precision", precision, "--budget", _BUDGET], record
            ),
        )
        for precision in run.precisions
        if precision in lost and is_quantised(precision)
    ]


def _command(words: Sequence[str], record: NightlyRecord, *, conf: bool = False) -> str:
    """Return a command line with the nightly's own folders, where they are not the usual ones."""
    more = []
    folders = record.parameters.get("conf")
    if conf and isinstance(folders, list):
        more += [word for folder in folders for word in ("--conf", str(folder))]
    out = str(record.parameters.get("out", "artifacts"))
    if out != "artifacts":
        more += ["--out", out]
    return shlex.join(["mlubench", *words, *more])
