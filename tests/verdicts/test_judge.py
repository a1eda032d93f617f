"""A run judged by another one, gate by gate, from the files of the two."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from mlubench.errors import ConfigError, StoreError
from mlubench.metrics.verdict import Verdict
from mlubench.runs.verdict import Gate
from mlubench.verdicts.accuracy_gates import PublishedFigure
from mlubench.verdicts.judge import Judged, judge, judge_alone, judge_by_published
from mlubench.verdicts.thresholds import Gates
from tests.support.runs import (
    CLASSES,
    answers,
    right_ones,
    write_benchmark,
    write_evaluation,
)

INT8 = "qint8_mixed_float16"
IMAGES = 20_000


def _gate(judged: Judged, name: str, subject: str = INT8) -> Gate:
    (gate,) = [one for one in judged.gates if (one.name, one.subject) == (name, subject)]
    return gate


def _lossy(lost: int, won: int = 0) -> dict[str, np.ndarray]:
    """Return answers of which int8 loses and wins so many against the usual ones."""
    right = right_ones(IMAGES)
    int8 = answers(IMAGES, right[:lost])
    wrong = np.flatnonzero(int8 != np.arange(IMAGES) % CLASSES)
    gained = np.setdiff1d(wrong, right)[:won]
    int8[gained] = gained % CLASSES
    return {"force_float32": answers(IMAGES), INT8: int8}


def test_the_same_run_again_passes_whole(tmp_path: Path) -> None:
    runs = [write_evaluation(tmp_path, night, images=600) for night in (0, 1)]
    judged = judge(runs[1], runs[0], Gates(max_drop=2))
    assert judged.verdict is Verdict.PASS
    assert (judged.run, judged.baseline) == (runs[1].name, runs[0].name)
    assert judged.remarks == []
    assert "all answers and scores of 600 images" in _gate(judged, "accuracy-baseline").reason
    assert [(gate.name, gate.subject) for gate in judged.gates] == [
        ("model", "tiny"),
        ("dataset", "pictures"),
        ("images", "corrupt"),
        ("images", "missing"),
        ("images", "duplicate"),
        ("accuracy-baseline", "force_float32"),
        ("classes", "force_float32"),
        ("accuracy-baseline", INT8),
        ("classes", INT8),
        ("accuracy-float32", INT8),
        ("agreement", INT8),
    ]


def test_a_loss_fails_and_a_gain_does_not(tmp_path: Path) -> None:
    before = write_evaluation(tmp_path, 0, images=IMAGES)
    worse = write_evaluation(tmp_path, 1, _lossy(120, 20), images=IMAGES)
    judged = judge(worse, before, Gates())
    assert judged.verdict is Verdict.FAIL
    gate = _gate(judged, "accuracy-baseline")
    assert gate.verdict is Verdict.FAIL
    assert gate.reason.startswith("top-1 drop 0.50 points, 95 % interval 0.39 to 0.62")
    assert "the smallest drop that these 20000 images could have shown is" in gate.reason
    assert "(TOST)" in gate.reason
    assert _gate(judged, "accuracy-baseline", "force_float32").verdict is Verdict.PASS
    better = judge(before, worse, Gates())
    assert _gate(better, "accuracy-baseline").verdict is Verdict.PASS
    assert better.verdict is Verdict.PASS


def test_few_images_cannot_tell(tmp_path: Path) -> None:
    before = write_evaluation(tmp_path, 0, images=1000)
    right = right_ones(1000)
    changed = {"force_float32": answers(1000), INT8: answers(1000, right[:4])}
    gate = _gate(judge(write_evaluation(tmp_path, 1, changed, images=1000), before, Gates()),
                 "accuracy-baseline")  # fmt: skip
    assert gate.verdict is Verdict.INCONCLUSIVE


def test_one_class_that_is_lost_is_named(tmp_path: Path) -> None:
    """Its 40 images of 20,000 are 0.2 points: of the whole, the loss alone would be 40 to 0."""
    labels = np.arange(IMAGES) % CLASSES
    lost = [place for place in right_ones(IMAGES) if labels[place] == 7][:40]
    int8 = answers(IMAGES, lost)
    wrong = np.setdiff1d(np.arange(IMAGES), right_ones(IMAGES))[:40]
    int8[wrong] = wrong % CLASSES  # as many are won elsewhere
    before = write_evaluation(tmp_path, 0, images=IMAGES)
    run = write_evaluation(
        tmp_path, 1, {"force_float32": answers(IMAGES), INT8: int8}, images=IMAGES
    )
    judged = judge(run, before, Gates())
    assert _gate(judged, "accuracy-baseline").verdict is Verdict.PASS
    gate = _gate(judged, "classes", f"{INT8}, class n07")
    assert gate.verdict is Verdict.FAIL
    assert gate.reason.startswith("n07: 40 lost and")
    assert judged.verdict is Verdict.FAIL


def test_agreement_with_float32(tmp_path: Path) -> None:
    run = write_evaluation(tmp_path, 0, _lossy(2500), images=IMAGES)
    gate = _gate(judge_alone(run, Gates(min_agreement=95)), "agreement")
    assert gate.verdict is Verdict.FAIL
    assert gate.reason.startswith("87.50 % of 20000 images have the best class of force_float32")
    assert _gate(judge_alone(run, Gates(min_agreement=80)), "agreement").verdict is Verdict.PASS
    doubt = judge_alone(run, Gates(min_agreement=87.4))
    assert _gate(doubt, "agreement").verdict is Verdict.INCONCLUSIVE


def test_drop_against_float32_has_a_limit_for_each_precision(tmp_path: Path) -> None:
    run = write_evaluation(tmp_path, 0, _lossy(140), images=IMAGES)
    assert _gate(judge_alone(run, Gates()), "accuracy-float32").verdict is Verdict.FAIL
    looser = judge_alone(run, Gates(max_drop_of={INT8: 1.0}))
    assert _gate(looser, "accuracy-float32").verdict is Verdict.PASS


def test_images_that_are_corrupt_fail(tmp_path: Path) -> None:
    run = write_evaluation(tmp_path, 0, images=600, corrupt=[3, 5])
    gate = _gate(judge_alone(run, Gates(max_drop=2)), "images", "corrupt")
    assert (gate.verdict, gate.reason) == (Verdict.FAIL, "2 of 600 images corrupt, 0 allowed")
    allowed = judge_alone(run, Gates(max_drop=2, max_corrupt=2))
    assert allowed.verdict is Verdict.PASS


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        ("pass", Verdict.PASS),
        ("inconclusive", Verdict.INCONCLUSIVE),
        ("fail", Verdict.FAIL),
    ],
)
def test_changed_inputs_are_told(tmp_path: Path, policy: str, expected: Verdict) -> None:
    before = write_evaluation(tmp_path, 0, images=600)
    run = write_evaluation(tmp_path, 1, images=600, weights="d" * 64, digest="e" * 32)
    gates = Gates.model_validate(
        {"max_drop": 2, "changed_model": policy, "changed_dataset": policy}
    )
    judged = judge(run, before, gates)
    model, dataset = _gate(judged, "model", "tiny"), _gate(judged, "dataset", "pictures")
    assert (model.verdict, dataset.verdict, judged.verdict) == (expected,) * 3
    assert model.reason == "the network's weights changed: dddddddddddd in place of bbbbbbbbbbbb"
    assert "digest eeeeeeeeeeee (pictures, 600 images)" in dataset.reason


def test_a_part_of_the_images_is_compared_as_a_part(tmp_path: Path) -> None:
    """By name and class, not by place: one image is corrupt in each run."""
    before = write_evaluation(tmp_path, 0, images=2000, corrupt=[0])
    right = right_ones(2000)
    run = write_evaluation(
        tmp_path,
        1,
        {"force_float32": answers(2000), INT8: answers(2000, right[:100])},
        images=2000,
        corrupt=[1999],
        digest="e" * 32,
    )
    gate = _gate(judge(run, before, Gates()), "accuracy-baseline")
    expected = 100 * sum(1 for place in right[:100] if place != 0) / 1998
    assert gate.reason.startswith(f"top-1 drop {expected:.2f} points")
    assert gate.reason.endswith("; 2 images are in one run only")


def test_a_precision_that_is_lacking_is_a_doubt(tmp_path: Path) -> None:
    before = write_evaluation(tmp_path, 0, images=600)
    run = write_evaluation(tmp_path, 1, {"force_float32": answers(600)}, images=600)
    gate = _gate(judge(run, before, Gates()), "accuracy-baseline")
    assert (gate.verdict, gate.reason) == (Verdict.INCONCLUSIVE, f"the run has no {INT8}")


def test_what_else_changed_is_remarked(tmp_path: Path) -> None:
    before = write_evaluation(tmp_path, 0, images=600, parameters={"batch_size": 8})
    facts = {"engine_version": "2", "host": "another", "parameters": {"batch_size": 1}}
    run = write_evaluation(tmp_path, 1, images=600, **facts)
    assert judge(run, before, Gates()).remarks == [
        "another batch than the baseline's: 1 in place of 8",
        "another engine's version than the baseline's: 2 in place of 1",
        "another host than the baseline's: another in place of a host",
    ]


def test_compiling_that_takes_longer_fails(tmp_path: Path) -> None:
    before = write_evaluation(tmp_path, 0, images=600, compile_seconds={INT8: 20.0})
    for seconds, expected in ((29.0, Verdict.PASS), (50.0, Verdict.FAIL), (2.0, Verdict.PASS)):
        run = write_evaluation(tmp_path, 1, images=600, compile_seconds={INT8: seconds})
        assert _gate(judge(run, before, Gates()), "compile-time").verdict is expected
    kept = write_evaluation(tmp_path, 2, images=600)
    assert "compile-time" not in {gate.name for gate in judge(kept, before, Gates()).gates}


def test_published_figures(tmp_path: Path) -> None:
    """80 % of 20,000 images: 79.4 to 80.5, against half a point below the figure."""
    run = write_evaluation(tmp_path, 0, images=IMAGES)
    top1 = len(right_ones(IMAGES)) / IMAGES
    for above, expected in (
        (-0.005, Verdict.PASS),
        (0.006, Verdict.INCONCLUSIVE),
        (0.02, Verdict.FAIL),
    ):
        figure = PublishedFigure("somebody", "force_float32", top1 + above, "resized otherwise")
        judged = judge_by_published(run, [figure], Gates())
        gate = _gate(judged, "published", "force_float32")
        assert gate.verdict is expected
        assert gate.reason.endswith("by somebody (which differs: resized otherwise)")
    with pytest.raises(ConfigError, match="nothing is published of tiny"):
        judge_by_published(run, [], Gates())


def test_benchmarks(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    rounds = [(1000 + rng.standard_normal(8)).tolist() for _ in range(4)]
    before = write_benchmark(tmp_path, 0, {"force_float32": rounds[0], INT8: rounds[1]})
    same = write_benchmark(tmp_path, 1, {"force_float32": rounds[2], INT8: rounds[3]})
    assert judge(same, before, Gates()).verdict is Verdict.PASS
    slow = write_benchmark(
        tmp_path,
        2,
        {"force_float32": rounds[2], INT8: [0.9 * one for one in rounds[3]]},
        memory_kib=130_000,
    )
    judged = judge(slow, before, Gates())
    name = f"{INT8}, batch 8, static, cpu:0"
    assert _gate(judged, "speed", name).verdict is Verdict.FAIL
    assert _gate(judged, "memory", name).reason.endswith("ratio 1.30, limit 1.2")
    assert _gate(judged, "memory", name).verdict is Verdict.FAIL
    assert _gate(judged, "speed", name.replace(INT8, "force_float32")).verdict is Verdict.PASS
    fewer = write_benchmark(tmp_path, 3, {"force_float32": rounds[2]})
    gate = _gate(judge(fewer, before, Gates()), "speed", name)
    assert (gate.verdict, gate.reason) == (Verdict.INCONCLUSIVE, f"only in {before.name}")
    changed = write_benchmark(tmp_path, 4, {"force_float32": rounds[2]}, weights="d" * 64)
    judged = judge(changed, fewer, Gates())
    assert _gate(judged, "model", "tiny").verdict is Verdict.INCONCLUSIVE
    assert judged.remarks == []


def test_kinds_do_not_mix(tmp_path: Path) -> None:
    bench = write_benchmark(tmp_path, 0, {INT8: [1.0, 2.0]})
    run = write_evaluation(tmp_path, 1, images=600)
    with pytest.raises(ConfigError, match=r"is an evaluation and .*-bench is a benchmark"):
        judge(run, bench, Gates())


def test_damaged_run_is_named(tmp_path: Path) -> None:
    run = write_evaluation(tmp_path, 0, images=600)
    record = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps({**record, "verdict": "fine"}))
    with pytest.raises(StoreError, match="verdict"):
        judge_alone(run, Gates())


def test_thresholds_are_bounded() -> None:
    for wrong in ({"max_loss": -1}, {"loss_level": 0.6}, {"max_memory_ratio": 0.5}, {"typo": 1}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            Gates.model_validate(wrong)
    assert all(field.description for field in Gates.model_fields.values())


def test_the_document_has_every_threshold() -> None:
    document = (Path(__file__).parents[2] / "docs" / "verdicts.md").read_text(encoding="utf-8")
    assert [name for name in Gates.model_fields if f"`--{name}`" not in document] == []
