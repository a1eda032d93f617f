"""The gates of an evaluation: against a baseline, against force_float32, against others' figures.

Where a network runs on the same images twice, an image is its own control: all comparisons but
those with published figures are paired by image.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mlubench.engines.precisions import REFERENCE
from mlubench.evaluate.finished_runs import EvaluatedRun
from mlubench.evaluate.predictions import Pairs, pair_images
from mlubench.metrics.accuracy import wilson_interval
from mlubench.metrics.classes import ClassDrop, class_drops
from mlubench.metrics.figures import in_points
from mlubench.metrics.paired import Paired, equivalence
from mlubench.metrics.verdict import Verdict, judge_drop, judge_loss, judge_share
from mlubench.runs.record import ImageCounts, ModelRecord, RunRecord
from mlubench.runs.verdict import Gate
from mlubench.verdicts.thresholds import Gates

#: Classes that lost are listed so many at most; the reason of the last says how many more.
_CLASSES = 10
_DIGITS = 12


def image_gates(counts: ImageCounts, gates: Gates) -> list[Gate]:
    """Return one gate each on corrupt, missing and duplicate images."""
    found = []
    for subject in ("corrupt", "missing", "duplicate"):
        limit, count = getattr(gates, f"max_{subject}"), getattr(counts, subject)
        over = limit is not None and count > limit
        allowed = "any number is allowed" if limit is None else f"{limit} allowed"
        reason = f"{count} of {counts.expected} images {subject}, {allowed}"
        found.append(Gate("images", subject, Verdict.FAIL if over else Verdict.PASS, reason))
    return found


def input_gates(run: RunRecord, baseline: RunRecord, gates: Gates) -> list[Gate]:
    """Return the gates on what went in: the same network, the same images.

    They come before all figures: where the inputs changed, so may everything else.
    """
    ours, theirs = run.dataset, baseline.dataset
    changed = ours.digest != theirs.digest
    reason = (
        f"the images are not the baseline's: digest {ours.digest[:_DIGITS]} "
        f"({ours.name}, {ours.images.scored} images) in place of {theirs.digest[:_DIGITS]} "
        f"({theirs.name}, {theirs.images.scored}); only those of the same name and class are "
        "compared, and they may have other pixels"
        if changed
        else f"the same {ours.images.expected} images as the baseline's, {ours.digest[:_DIGITS]}"
    )
    verdict = Verdict(gates.changed_dataset) if changed else Verdict.PASS
    return [
        model_gate(run.model, baseline.model, gates),
        Gate("dataset", ours.name, verdict, reason),
    ]


def model_gate(ours: ModelRecord, theirs: ModelRecord, gates: Gates) -> Gate:
    """Return the gate on whether the network is the baseline's."""
    pairs = {
        "text": (ours.prototxt_sha256, theirs.prototxt_sha256),
        "weights": (ours.weights_sha256, theirs.weights_sha256),
    }
    changed = [
        f"the network's {what} changed: {mine[:_DIGITS]} in place of {other[:_DIGITS]}"
        for what, (mine, other) in pairs.items()
        if mine != other
    ]
    if not changed:
        return Gate("model", ours.name, Verdict.PASS, "the same text and weights as the baseline's")
    return Gate("model", ours.name, Verdict(gates.changed_model), "; ".join(changed))


def baseline_gates(run: EvaluatedRun, baseline: EvaluatedRun, gates: Gates) -> list[Gate]:
    """Return the gates of every precision against the same precision of a baseline."""
    found = []
    names = sorted(
        {*run.precisions, *baseline.precisions}, key=lambda name: (name != REFERENCE, name)
    )
    for precision in names:
        lacking = next(
            (
                what
                for what, one in (("the run", run), ("the baseline", baseline))
                if precision not in one.precisions
            ),
            None,
        )
        if lacking is not None:
            reason = f"{lacking} has no {precision}"
            found.append(Gate("accuracy-baseline", precision, Verdict.INCONCLUSIVE, reason))
            continue
        pairs = pair_images(baseline.predictions, run.predictions, precision, precision)
        found.append(_loss_gate(pairs, precision, gates))
        found += _class_gates(pairs, precision, gates)
    return found


def reference_gates(run: EvaluatedRun, gates: Gates) -> list[Gate]:
    """Return the gates of every precision against force_float32 of the same run."""
    if REFERENCE not in run.precisions:
        return []
    found = []
    for precision in run.precisions:
        if precision == REFERENCE:
            continue
        pairs = pair_images(run.predictions, run.predictions, precision, REFERENCE)
        if not len(pairs):
            continue
        paired = pairs.paired()
        limit = gates.max_drop_of.get(precision, gates.max_drop) / 100
        verdict, reason = judge_drop(paired, limit)
        reason += _equivalence_text(paired, limit)
        found.append(Gate("accuracy-float32", precision, verdict, reason))
        found.append(_agreement_gate(pairs, precision, gates))
    return found


def published_gates(
    accuracies: Mapping[str, tuple[float, int]],
    published: Sequence[PublishedFigure],
    gates: Gates,
) -> list[Gate]:
    """Return the gates against figures that others published.

    Nothing pairs the images, so that the interval is Wilson's of the run's own accuracy, and the
    published figure counts as exact.

    Args:
        accuracies: per precision, top-1 as a fraction and the number of images.
        published: the figures.
        gates: the thresholds.
    """
    found = []
    for figure in published:
        if figure.precision not in accuracies:
            continue
        top1, images = accuracies[figure.precision]
        low, high = wilson_interval(round(top1 * images), images)
        least = figure.top1 - gates.max_below_published / 100
        reason = (
            f"top-1 {in_points(top1)} %, 95 % interval {in_points(low)} to {in_points(high)}, "
            f"at least {in_points(least)}: published {in_points(figure.top1)} by {figure.source}"
        )
        if figure.differs:
            reason += f" (which differs: {figure.differs})"
        found.append(Gate("published", figure.precision, judge_share((low, high), least), reason))
    return found


@dataclass(frozen=True)
class PublishedFigure:
    """An accuracy that somebody else measured; see the catalogue's ``published``."""

    source: str
    precision: str
    top1: float
    differs: str = ""


def compile_gates(
    ours: Mapping[str, float], theirs: Mapping[str, float], gates: Gates
) -> list[Gate]:
    """Return a gate for each precision that both runs compiled anew.

    Args:
        ours: seconds by precision; a network that was kept from an earlier run has none.
        theirs: the baseline's.
        gates: the thresholds.
    """
    found = []
    for precision in sorted(ours.keys() & theirs.keys()):
        now, before = ours[precision], theirs[precision]
        ratio = now / before if before else 1.0
        over = ratio > gates.max_compile_ratio and now - before > gates.min_compile_growth
        reason = (
            f"compiled in {now:.1f} s, the baseline in {before:.1f} s: ratio {ratio:.2f}, limit "
            f"{gates.max_compile_ratio:g} where it grew by more than {gates.min_compile_growth:g} s"
        )
        verdict = Verdict.FAIL if over else Verdict.PASS
        found.append(Gate("compile-time", precision, verdict, reason))
    return found


def _loss_gate(pairs: Pairs, precision: str, gates: Gates) -> Gate:
    name = "accuracy-baseline"
    if not len(pairs):
        reason = f"no image is in both runs ({pairs.alone} are in one)"
        return Gate(name, precision, Verdict.INCONCLUSIVE, reason)
    alone = f"; {pairs.alone} images are in one run only" if pairs.alone else ""
    if pairs.identical:
        reason = f"all answers and scores of {len(pairs)} images are the baseline's{alone}"
        return Gate(name, precision, Verdict.PASS, reason)
    paired, limit = pairs.paired(), gates.max_loss / 100
    verdict, reason = judge_loss(paired, limit, gates.loss_level)
    return Gate(name, precision, verdict, reason + _equivalence_text(paired, limit) + alone)


def _equivalence_text(paired: Paired, limit: float) -> str:
    if not 0 < limit < 1:
        return ""
    tests = equivalence(paired.lost, paired.won, paired.images, limit)
    return f"; not inferior at p {tests.p_worse:.2g}, equivalent (TOST) at p {tests.p:.2g}"


def _class_gates(pairs: Pairs, precision: str, gates: Gates) -> list[Gate]:
    """Return a failed gate for each class that lost, or one that says that none did."""
    drops = class_drops(pairs.class_ids, pairs.reference_right, pairs.candidate_right)
    if not drops:
        return []
    lost = [drop for drop in drops if drop.p_holm <= gates.class_level]
    if not lost:
        first = drops[0]
        reason = (
            f"none of {len(drops)} classes shows a loss at level {gates.class_level:g} (Holm); "
            f"the nearest is {_class_text(first)}"
        )
        return [Gate("classes", precision, Verdict.PASS, reason)]
    more = f"; and {len(lost) - _CLASSES} more classes lost" if len(lost) > _CLASSES else ""
    shown = lost[:_CLASSES]
    return [
        Gate(
            "classes",
            f"{precision}, class {drop.class_id}",
            Verdict.FAIL,
            _class_text(drop) + (more if drop is shown[-1] else ""),
        )
        for drop in shown
    ]


def _class_text(drop: ClassDrop) -> str:
    return (
        f"{drop.class_id}: {drop.lost} lost and {drop.won} won of {drop.images} images, "
        f"p {drop.p_holm:.2g} with Holm's correction"
    )


def _agreement_gate(pairs: Pairs, precision: str, gates: Gates) -> Gate:
    agreeing = round(pairs.agreement * len(pairs))
    interval = wilson_interval(agreeing, len(pairs))
    reason = (
        f"{in_points(pairs.agreement)} % of {len(pairs)} images have the best class of "
        f"{REFERENCE}, 95 % interval {in_points(interval[0])} to {in_points(interval[1])}, "
        f"at least {gates.min_agreement:g}"
    )
    return Gate("agreement", precision, judge_share(interval, gates.min_agreement / 100), reason)
