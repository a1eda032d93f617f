"""Runs, history, verdicts, nights and baselines that hosts share."""

from __future__ import annotations

import hashlib
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from mlubench.errors import ConfigError, StoreError
from mlubench.evaluate.options import EvaluateParameters
from mlubench.evaluate.results import Outcome
from mlubench.metrics.verdict import Verdict
from mlubench.nightly.record import NightlyRecord, RunEnding
from mlubench.nightly.results import judge_run, with_shared
from mlubench.nightly.suite import SuiteRun
from mlubench.object_store.address import parse_address
from mlubench.object_store.store import Depot
from mlubench.object_store.transfer import Source
from mlubench.runs.baselines import pin, pins, unpin
from mlubench.runs.bench_record import BenchRecord
from mlubench.runs.history import append_accuracy, append_throughput, read_accuracy_history
from mlubench.runs.parquet import read_parquet
from mlubench.runs.record import RunRecord
from mlubench.runs.schemas import ACCURACY, THROUGHPUT
from mlubench.runs.sharing import (
    NIGHTS,
    RUNS,
    bring_run,
    pull_history,
    pull_nights,
    pull_pins,
    push_owed,
    push_pin,
    push_run,
    share,
)
from mlubench.runs.verdict import Gate
from mlubench.store import write_json
from mlubench.verdicts.judge import Judged, record_verdict
from mlubench.verdicts.thresholds import Gates
from tests.support.depots import Bucket
from tests.support.runs import answers, right_ones, write_benchmark, write_evaluation

INT8 = "qint8_mixed_float16"


class Host:
    """A host with a folder of its own."""

    def __init__(self, out: Path, bucket: Bucket, address: str | None = None) -> None:
        self.out = out
        self.bucket = bucket
        self.depot = bucket.open(address)

    def evaluate(self, night: int, *, lost: int = 0, push: bool = True, **facts: Any) -> Path:
        """Write a run as an evaluation leaves it; by default it ends on the store."""
        best = {
            "force_float32": answers(2000),
            INT8: answers(2000, right_ones(2000)[:lost]),
        }
        parameters = {"artifacts": self.bucket.address, **facts.pop("parameters", {})}
        folder = write_evaluation(self.out, night, best, parameters=parameters, **facts)
        record = RunRecord.read(folder / "run.json")
        rows = read_parquet(folder / "accuracy.parquet", ACCURACY)
        with append_accuracy(self.out / "history", record, rows):
            pass
        if push:
            push_run(self.depot, self.out, folder.name)
        return folder

    def judge(self, folder: Path, baseline: str | None = None) -> Judged:
        asked = EvaluateParameters(out=self.out, artifacts=self.bucket.address)
        return judge_run(SuiteRun("tiny", asked, Gates(), baseline), folder, self.depot)

    def files(self, folder: str) -> dict[str, str]:
        """Return the digest of every file below a folder."""
        return {
            path.relative_to(self.out).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in (self.out / folder).rglob("*")
            if path.is_file() and not path.name.endswith(".lock")
        }

    def runs(self) -> list[str]:
        return sorted(path.parent.name for path in self.out.glob("runs/*/run.json"))


@pytest.fixture
def first(bucket: Bucket, tmp_path: Path) -> Host:
    return Host(tmp_path / "first", bucket)


@pytest.fixture
def second(bucket: Bucket, tmp_path: Path) -> Host:
    return Host(tmp_path / "second", bucket)


def test_a_run_is_taken_whole(first: Host, second: Host) -> None:
    run = first.evaluate(0)
    assert bring_run(second.depot, second.out, run.name) == second.out / "runs" / run.name
    assert second.files("runs") == first.files("runs")
    pull_history(second.depot, second.out)
    assert second.files("history") == first.files("history")


def test_a_second_host_is_judged_by_the_run_of_the_first(first: Host, second: Host) -> None:
    before = first.evaluate(0)
    worse = second.evaluate(1, lost=60)
    judged = second.judge(worse)
    assert judged.baseline == before.name
    assert judged.verdict is Verdict.FAIL
    assert second.runs() == [before.name, worse.name]


def test_the_last_good_run_is_good_for_all_hosts(first: Host, second: Host) -> None:
    good = first.evaluate(0)
    bad = first.evaluate(1, lost=60, push=False)
    assert first.judge(bad).verdict is Verdict.FAIL
    push_run(first.depot, first.out, bad.name)
    first.evaluate(2, parameters={"image_num": 10})
    first.evaluate(3, engine="another")
    write_benchmark(first.out, 4, {INT8: [1.0, 2.0]})
    judged = second.judge(second.evaluate(5))
    assert judged.baseline == good.name
    assert judged.verdict is Verdict.PASS
    assert good.name in second.runs()
    assert bad.name not in second.runs()


def test_a_benchmark_is_judged_by_one_of_the_same_devices(first: Host, second: Host) -> None:
    rounds = {INT8: [1000.0 + one for one in range(8)]}
    same = write_benchmark(first.out, 0, rounds)
    other = write_benchmark(first.out, 1, rounds)
    record = BenchRecord.read(other / "run.json")
    record.model_copy(update={"devices": ["cpu:0: a slower one"]}).write(other / "run.json")
    for run in (same, other):
        push_run(first.depot, first.out, run.name)
    assert second.judge(write_benchmark(second.out, 2, rounds)).baseline == same.name


def test_a_later_run_is_no_baseline_of_an_earlier(first: Host, second: Host) -> None:
    first.evaluate(2)
    judged = second.judge(second.evaluate(1))
    assert judged.baseline == ""
    assert "there is no baseline yet" in judged.remarks[0]


def test_a_run_of_this_host_that_is_newer_is_taken_first(first: Host, second: Host) -> None:
    first.evaluate(0)
    mine = second.evaluate(1, push=False)
    assert second.judge(second.evaluate(2)).baseline == mine.name


@pytest.mark.parametrize("fault", ["half", "flip", "missing"])
def test_a_damaged_baseline_is_passed_over(
    first: Host, second: Host, bucket: Bucket, fault: str
) -> None:
    good, damaged = first.evaluate(0), first.evaluate(1)
    ending = f"runs/{damaged.name}.json"
    if fault == "half":
        bucket.change(ending, None)
    else:
        places = [name for name in bucket.objects() if name.endswith("predictions.parquet")]
        (place,) = (name for name in places if damaged.name in name)
        bucket.change(place, None if fault == "missing" else bucket.objects()[place][::-1])
    judged = second.judge(second.evaluate(2))
    assert judged.baseline == good.name
    assert second.runs()[0] == good.name
    assert len(second.runs()) == 2
    assert len(bucket.remarks) == (fault != "half")


def test_a_baseline_that_is_named(first: Host, second: Host) -> None:
    named = first.evaluate(0)
    first.evaluate(1)
    run = second.evaluate(2)
    assert second.judge(run, named.name).baseline == named.name
    with pytest.raises(ConfigError, match="is no run, or a damaged one") as error:
        second.judge(run, "20200101-000000-none")
    assert f"{second.bucket.address}/runs/20200101-000000-none" in str(error.value)
    assert run.name in str(error.value)


def test_pinned_on_one_host_is_pinned_on_all(first: Host, second: Host) -> None:
    old, _, other = first.evaluate(0, push=False), first.evaluate(1), first.evaluate(2, engine="x")
    mine = second.evaluate(3, engine="y", push=False)
    pin(mine.name, second.out)
    push_pin(first.depot, first.out, pin(old.name, first.out), pinned=True)
    push_pin(first.depot, first.out, pin(other.name, first.out), pinned=True)
    pull_pins(second.depot, second.out)
    assert {one.run_id for one in pins(second.out)} == {old.name, other.name, mine.name}
    assert second.judge(second.evaluate(4)).baseline == old.name
    # And is unpinned on all.
    pull_pins(second.depot, second.out)
    push_pin(second.depot, second.out, unpin(old.name, second.out), pinned=False)
    pull_pins(first.depot, first.out)
    assert [one.run_id for one in pins(first.out)] == [other.name]


def test_history_is_merged_and_only_what_is_new_is_fetched(
    first: Host, second: Host, bucket: Bucket
) -> None:
    runs = [first.evaluate(night) for night in (0, 1)] + [second.evaluate(2)]
    bench = write_benchmark(first.out, 3, {INT8: [1.0, 2.0]})
    record = BenchRecord.read(bench / "run.json")
    rows = read_parquet(bench / "throughput.parquet", THROUGHPUT)
    with append_throughput(first.out / "history", record, rows):
        pass
    push_run(first.depot, first.out, bench.name)
    told: list[tuple[int, int]] = []
    pull_history(second.depot, second.out, lambda *n: told.append(n))
    assert told[-1] == (3, 3)
    pull_history(first.depot, first.out)
    assert first.files("history") == second.files("history")
    ids = list(dict.fromkeys(read_accuracy_history(second.out / "history")["run_id"].to_pylist()))
    assert ids == [run.name for run in runs]
    told.clear()
    pull_history(second.depot, second.out, lambda *n: told.append(n))
    assert told == [(1, 1)]
    # Each run's rows are an object that no other run's writer touches.
    objects = [name for name in bucket.objects() if name.startswith("history/")]
    assert len(objects) == 4


def test_a_store_that_fails_at_the_end_loses_nothing(
    bucket: Bucket, tmp_path: Path, first: Host, second: Host
) -> None:
    dead = Host(
        first.out, bucket, f"s3://{bucket.name}/p?endpoint_override=127.0.0.1:9&scheme=http"
    )
    run = first.evaluate(0, push=False)
    unshared = share(dead.depot, first.out, RUNS, run.name)
    assert "no server answers" in unshared
    assert str(run) in unshared
    assert "the same command puts it there" in unshared
    assert bucket.objects() == {}
    # The next run does what is owed, and leaves alone what was never meant for the store.
    first.evaluate(1, push=False, parameters={"artifacts": None})
    first.evaluate(2, push=False, parameters={"artifacts": "s3://another"})
    last = first.evaluate(3, push=False)
    assert share(first.depot, first.out, RUNS, last.name) == ""
    assert second.depot.names(RUNS) == [run.name, last.name]
    assert bring_run(second.depot, second.out, run.name).is_dir()


def test_half_a_push_is_done_again(first: Host, bucket: Bucket) -> None:
    """A run whose folder is there and whose rows are not."""
    run = first.evaluate(0)
    bucket.change(f"history/{run.name}.json", None)
    push_owed(first.depot, first.out)
    assert bucket.entries("history") == [run.name]


def _night(out: Path, name: str, suite: str, artifacts: str) -> None:
    record = NightlyRecord(
        run_id=name,
        created_utc="2026-11-01T00:00:00Z",
        suite=suite,
        description="",
        parameters={"artifacts": artifacts},
        host="a host",
        seconds=1.0,
        verdict=Verdict.PASS,
        exit_status=0,
        runs=(),
    )
    record.write(out / "nightly" / name / "summary.json")


def test_past_nights_of_a_suite(first: Host, second: Host) -> None:
    names = [f"202611{day:02d}-020000-our-own-000{day:05d}" for day in range(1, 29)]
    for name in names:
        _night(first.out, name, "our own", first.bucket.address)
    _night(first.out, "20261101-020000-another-00000001", "another", first.bucket.address)
    assert share(first.depot, first.out, NIGHTS, names[-1]) == ""
    pull_nights(second.depot, second.out, "our own")
    assert sorted(path.name for path in second.out.glob("nightly/[!.]*")) == names


def test_a_verdict_that_came_later_and_a_page_that_changed(first: Host, second: Host) -> None:
    run = first.evaluate(0)
    (run / "report.html").write_text("new")
    record_verdict(Judged(run.name, "", [Gate("a", "b", Verdict.FAIL, "c")]), first.out)
    assert share(first.depot, first.out, RUNS, run.name) == ""
    taken = bring_run(second.depot, second.out, run.name)
    assert (taken / "report.html").read_text() == "new"
    assert second.judge(second.evaluate(1)).baseline == ""


def test_a_run_that_passed_and_is_not_on_the_store() -> None:
    ending = RunEnding(name="a", kind="evaluation", exit_status=0, seconds=1.0, notes=("x",))
    assert with_shared(ending, "") is ending
    told = with_shared(ending, "not there")
    assert (told.exit_status, told.notes) == (4, ("x", "not there"))
    failed = ending.model_copy(update={"exit_status": 1})
    assert with_shared(failed, "not there").exit_status == 1


def test_what_is_no_pin_is_told(first: Host, bucket: Bucket, tmp_path: Path) -> None:
    write_json(tmp_path / "k.json", {"key": 1})
    first.depot.publish("pins", "k", [Source("k.json", tmp_path / "k.json")])
    with pytest.raises(StoreError):
        pull_pins(first.depot, first.out)


def test_a_failed_gate_stays_one_where_the_store_fails(tmp_path: Path) -> None:
    def ended(status: int, unshared: str) -> Outcome:
        record: Any = SimpleNamespace(run_id="r")
        return Outcome(tmp_path, record, (), (), (), (), {}, status).shared(unshared)

    assert ended(0, "").exit_status == 0
    assert ended(0, "not there").exit_status == 4
    assert ended(1, "not there").exit_status == 1
    assert ended(1, "not there").notes() == ["not there"]


def _entry(host: Host, kind: str, key: str, name: str, tmp_path: Path) -> None:
    (tmp_path / "planted").write_text("planted")
    host.depot.publish(kind, key, [Source(name, tmp_path / "planted")])


@pytest.mark.parametrize("run_id", ["..", "../kept", "../../kept"])
def test_no_run_leaves_its_folder(tmp_path: Path, run_id: str) -> None:
    """A pin of the store can name a run as it likes."""
    store = tmp_path / "a" / "b" / "store"
    store.mkdir(parents=True)
    kept = [tmp_path / "kept", tmp_path / "out" / "kept", tmp_path / "out" / "runs"]
    for folder in kept:
        folder.mkdir(parents=True)
        (folder / "kept").touch()
    depot = Depot(parse_address(store.as_uri()), print)
    depot.publish(RUNS, "x", [])  # makes the folders
    depot.publish(RUNS, run_id, [Source("run.json", tmp_path / "kept" / "kept")])
    with pytest.raises(ConfigError, match="is no run"):
        bring_run(depot, tmp_path / "out", run_id)
    assert all((folder / "kept").exists() for folder in kept)


def test_an_entry_brings_no_other_runs_rows(first: Host, second: Host, tmp_path: Path) -> None:
    run = first.evaluate(0)
    pull_history(second.depot, second.out)
    before = second.files("history")
    for name in (f"accuracy/{run.name}.parquet", f"verdicts/{run.name}.json", "baselines.json"):
        _entry(first, "history", f"r{len(name)}", name, tmp_path)
    pull_history(second.depot, second.out)
    assert second.files("history") == before


def test_a_run_without_run_json_is_none(first: Host, second: Host, tmp_path: Path) -> None:
    _entry(first, RUNS, "r1", "report.html", tmp_path)
    with pytest.raises(ConfigError, match="a damaged one"):
        bring_run(second.depot, second.out, "r1")
    assert not list(second.out.glob("runs/[!.]*"))


def test_two_at_once_bring_a_run_once(
    first: Host, second: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = first.evaluate(0)
    fetch, fetched, both = second.depot.fetch, list[str](), threading.Event()

    def slowly(*args: Any, **options: Any) -> bool:
        fetched.append(run.name)
        if len(fetched) == 2:
            both.set()
        both.wait(0.5)
        return fetch(*args, **options)

    monkeypatch.setattr(second.depot, "fetch", slowly)
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda _: bring_run(second.depot, second.out, run.name), range(2)))
    assert fetched == [run.name]
    assert second.files("runs") == first.files("runs")
