"""Which failures of a nightly are explained, against what, and since which run they are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mlubench.errors import DeviceError
from mlubench.evaluate.options import EvaluateParameters
from mlubench.metrics.verdict import Verdict
from mlubench.nightly import reasons
from mlubench.nightly.reasons import explain_ending, needs_explaining, with_history
from mlubench.nightly.record import RunEnding
from mlubench.nightly.suite import SuiteRun
from mlubench.runs.history import append_accuracy
from mlubench.runs.parquet import read_parquet
from mlubench.runs.record import RunRecord
from mlubench.runs.schemas import ACCURACY
from mlubench.speed.benchmark.options import BenchParameters
from mlubench.verdicts.thresholds import Gates
from tests.support.runs import answers, right_ones, write_evaluation
from tests.support.speed_pages import INT8, RATES, gate, run_ending, write_bench

IMAGES = 400


def _run(out: Path, **more: Any) -> SuiteRun:
    return SuiteRun("tiny", EvaluateParameters(out=out, model="tiny"), Gates(), **more)


def _evaluation(out: Path, night: int, lost: int = 0, **precisions: int) -> Path:
    """Write a run in which int8, or each precision that is named, lost so many images."""
    wrong = {"force_float32": 0, INT8: lost, **precisions}
    best = {name: answers(IMAGES, right_ones(IMAGES)[:count]) for name, count in wrong.items()}
    return write_evaluation(out, night, best, images=IMAGES, label_order="digits")


def _failed(run: Path, *gates: Any, **more: Any) -> RunEnding:
    return run_ending("tiny", Verdict.FAIL, gates=gates, run_id=run.name, **more)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """Return which precision was explained against what; nothing is compiled."""
    found: list[tuple[str, str]] = []

    def explain(run: Path, _out: Path, precision: str, **options: Any) -> Any:
        baseline = options["baseline"]
        found.append((precision, baseline.name if baseline else ""))
        raise DeviceError("is lost", where="cpu:0")

    monkeypatch.setattr(reasons, "explain", explain)
    return found


def test_what_was_lost_since_the_baseline_is_asked_first(
    tmp_path: Path, asked: list[tuple[str, str]]
) -> None:
    before, run = _evaluation(tmp_path, 0), _evaluation(tmp_path, 1, lost=40)
    told = _failed(
        run,
        gate(Verdict.FAIL),
        gate(Verdict.FAIL, "classes", f"{INT8}, class n01"),
        gate(Verdict.INCONCLUSIVE, "accuracy-baseline", "force_float32"),
        baseline=before.name,
    )
    explain_ending(_run(tmp_path), told)
    assert asked == [(INT8, before.name)]


def test_the_worst_precision_comes_first_and_an_error_is_a_note(
    tmp_path: Path, asked: list[tuple[str, str]]
) -> None:
    run = _evaluation(tmp_path, 0, lost=10, force_float16=30)
    told = _failed(run, gate(Verdict.FAIL), gate(Verdict.FAIL, "accuracy-float32", "force_float16"))
    after = explain_ending(_run(tmp_path), told)
    assert asked == [("force_float16", "")]
    assert after.notes == ("could not be explained: cpu:0: is lost",)
    assert after.exit_status == told.exit_status


@pytest.mark.parametrize(
    ("gates", "needed"),
    [
        ((gate(Verdict.FAIL),), True),
        ((gate(Verdict.FAIL, "agreement"),), True),
        ((gate(Verdict.INCONCLUSIVE),), False),
        ((gate(Verdict.FAIL, "images", "corrupt"),), False),
        # A reference that is worse than a published figure has nothing to be compared with.
        ((gate(Verdict.FAIL, "published", "force_float32"),), False),
        ((gate(Verdict.FAIL, "accuracy-baseline", "force_float32"),), False),
    ],
)
def test_what_is_explained_at_all(tmp_path: Path, gates: tuple[Any, ...], needed: bool) -> None:
    told = run_ending("tiny", Verdict.FAIL, gates=gates)
    assert needs_explaining(_run(tmp_path), told) == needed
    assert not needs_explaining(_run(tmp_path, explain=False), told)


def test_layers_that_cannot_be_compared_leave_images_and_classes(tmp_path: Path) -> None:
    """The network is in no catalogue any more: what it answered is still there."""
    run = _evaluation(tmp_path, 0, lost=40)
    after = explain_ending(_run(tmp_path), _failed(run, gate(Verdict.FAIL)))
    (told,) = after.explained
    assert (told.lost, told.images, told.layers) == (40, IMAGES, ())
    assert len(told.lost_images) == 10
    assert sum(one.lost for one in told.classes) > 0
    assert told.no_layers
    assert (run / "explain" / INT8 / "explain.json").is_file()


def test_since_which_run_accuracy_is_what_it_is(tmp_path: Path) -> None:
    for night in range(10):
        run = _evaluation(tmp_path, night, lost=0 if night < 6 else 60)
        record = RunRecord.read(run / "run.json")
        rows = read_parquet(run / "accuracy.parquet", ACCURACY)
        with append_accuracy(tmp_path / "history", record, rows):
            pass
    told = with_history(_run(tmp_path), _failed(run, gate(Verdict.FAIL)))
    (text,) = told.since
    assert text.startswith(f"{INT8}: top-1 ")
    assert text.endswith("(-15.00 points) since run 20261107-020000-tiny")
    other = gate(Verdict.FAIL, subject="force_float32")
    assert with_history(_run(tmp_path), _failed(run, other)).since == ()


def test_since_which_run_speed_is_what_it_is(tmp_path: Path) -> None:
    slow = {**RATES, INT8: 0.7 * RATES[INT8]}
    for night in range(10):
        folder = write_bench(tmp_path, night, rates=slow if night > 5 else RATES, batches=(8,))
    asked = SuiteRun("speed", BenchParameters(out=tmp_path), Gates())
    failed = gate(Verdict.FAIL, "speed", f"{INT8}, batch 8, static, cpu:0")
    told = with_history(asked, _failed(folder, failed, kind="benchmark"))
    (text,) = told.since
    assert "(-30.0 %) since run 20261107-020000-tiny-bench" in text


def test_a_damaged_history_is_a_note(tmp_path: Path) -> None:
    first, run = _evaluation(tmp_path, 0), _evaluation(tmp_path, 1, lost=40)
    history = tmp_path / "history" / "accuracy"
    history.mkdir(parents=True)
    (history / f"{first.name}.parquet").write_bytes(b"half")
    told = with_history(_run(tmp_path), _failed(run, gate(Verdict.FAIL)))
    assert told.since == ()
    assert "no history: " in told.notes[-1]


def test_a_run_that_is_gone_is_a_note(tmp_path: Path) -> None:
    told = run_ending("tiny", Verdict.FAIL)
    for after in (with_history(_run(tmp_path), told), explain_ending(_run(tmp_path), told)):
        assert "is no run" in after.notes[-1]
