"""Which run another is judged by."""

from __future__ import annotations

import json
import multiprocessing
from pathlib import Path

import pytest

from mlubench.errors import ConfigError, StoreError
from mlubench.metrics.verdict import Verdict
from mlubench.runs.baselines import find_baseline, pin, pins, recorded_verdict, unpin
from mlubench.runs.verdict import Gate
from mlubench.verdicts.judge import Judged, judge_by, record_verdict
from mlubench.verdicts.thresholds import Gates
from tests.support.runs import answers, write_benchmark, write_evaluation

RATES = {"force_float32": [1.0, 2.0]}


def _said(run: Path, verdict: Verdict) -> Judged:
    return Judged(run.name, "", [Gate("images", "corrupt", verdict, "because")])


def test_pin_replaces_that_of_the_same_runs_only(tmp_path: Path) -> None:
    first, second = write_evaluation(tmp_path, 0), write_evaluation(tmp_path, 1)
    other = write_evaluation(tmp_path, 2, {"force_float32": answers(2000)})
    bench = write_benchmark(tmp_path, 3, {"force_float32": [1.0, 2.0]})
    for run in (first, other, bench, second):
        pin(run.name, tmp_path)
    assert {one.run_id for one in pins(tmp_path)} == {second.name, other.name, bench.name}
    assert find_baseline(first, "pinned", tmp_path) == second
    assert find_baseline(bench, "pinned", tmp_path) == bench
    unpin(second.name, tmp_path)
    assert find_baseline(first, "pinned", tmp_path) is None


def _pin(run: str, out: Path) -> None:
    pin(run, out)


def test_two_may_pin_at_once(tmp_path: Path) -> None:
    names = [
        write_evaluation(tmp_path, night, images=100, engine=f"engine{night}").name
        for night in range(6)
    ]
    context = multiprocessing.get_context("spawn")
    with context.Pool(2) as pool:
        pool.starmap(_pin, [(name, tmp_path) for name in names])
    assert sorted(one.run_id for one in pins(tmp_path)) == names


def test_last_good_is_the_newest_older_one_nothing_was_said_against(tmp_path: Path) -> None:
    runs = [write_evaluation(tmp_path, night) for night in range(5)]
    assert find_baseline(runs[4], "last-good", tmp_path) == runs[3]
    record_verdict(_said(runs[3], Verdict.FAIL), tmp_path)
    record_verdict(_said(runs[2], Verdict.INCONCLUSIVE), tmp_path)
    record_verdict(_said(runs[1], Verdict.PASS), tmp_path)
    assert find_baseline(runs[4], "last-good", tmp_path) == runs[1]
    assert find_baseline(runs[1], "last-good", tmp_path) == runs[0]
    assert find_baseline(runs[0], "last-good", tmp_path) is None
    write_benchmark(tmp_path, 3, {"force_float32": [1.0]})
    assert find_baseline(runs[4], "last-good", tmp_path) == runs[1]


def test_what_a_killed_run_left_of_its_folder_is_no_run(tmp_path: Path) -> None:
    half, whole = write_evaluation(tmp_path, 0), write_evaluation(tmp_path, 1)
    half.rename(half.with_name(f".tmp-1-{half.name}"))
    assert find_baseline(whole, "last-good", tmp_path) is None
    with pytest.raises(ConfigError) as caught:
        pin("nosuch", tmp_path)
    assert half.name not in str(caught.value)


def test_a_run_of_other_images_or_configurations_is_not_the_last_good(tmp_path: Path) -> None:
    """Somebody tries out a few images in between; the nights go on to be judged by each other."""
    for write in (write_evaluation, lambda out, night: write_benchmark(out, night, RATES)):
        out = tmp_path / write.__name__.strip("<>")
        first, tried, night = (write(out, number) for number in range(3))
        record = json.loads((tried / "run.json").read_text())
        record["parameters"] |= {"image_num": 40, "batch_size": [3]}
        (tried / "run.json").write_text(json.dumps(record))
        assert find_baseline(night, "last-good", out) == first


def test_what_was_said_is_kept_with_its_gates(tmp_path: Path) -> None:
    run = write_evaluation(tmp_path, 0)
    assert recorded_verdict(run.name, tmp_path) is None
    record_verdict(_said(run, Verdict.FAIL), tmp_path)
    said = recorded_verdict(run.name, tmp_path)
    assert said is not None
    assert (said.verdict, said.gates[0].reason) == (Verdict.FAIL, "because")


def test_named_baseline(tmp_path: Path) -> None:
    first, second = write_evaluation(tmp_path, 0), write_evaluation(tmp_path, 1)
    assert find_baseline(second, first.name, tmp_path) == first
    assert judge_by(str(second), first.name, Gates(), tmp_path).baseline == first.name
    with pytest.raises(ConfigError, match="is no run"):
        find_baseline(second, "typo", tmp_path)


def test_pinned_run_that_is_gone_is_told(tmp_path: Path) -> None:
    first, second = write_evaluation(tmp_path, 0), write_evaluation(tmp_path, 1)
    pin(first.name, tmp_path)
    (first / "run.json").unlink()
    with pytest.raises(ConfigError, match="is no run"):
        find_baseline(second, "pinned", tmp_path)
    assert unpin(first.name, tmp_path).run_id == first.name


def test_a_run_elsewhere_is_not_pinned(tmp_path: Path) -> None:
    run = write_evaluation(tmp_path / "elsewhere", 0)
    with pytest.raises(ConfigError, match="does not lie below OUT/runs"):
        pin(str(run), tmp_path / "out")


def test_damaged_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "history").mkdir()
    (tmp_path / "history" / "baselines.json").write_text("[{}]")
    with pytest.raises(StoreError, match="cannot be read"):
        pins(tmp_path)
