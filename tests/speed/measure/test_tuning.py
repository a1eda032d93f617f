"""How devices are best kept busy: another way than the usual one only where it is surely faster."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from mlubench.devices.names import cores_of
from mlubench.engines.interface import Concurrency
from mlubench.runs.record import TuningRecord
from mlubench.speed.measure.session import Load, Measuring
from mlubench.speed.measure.tuning import (
    Candidate,
    Search,
    Way,
    chosen,
    concurrency_of,
    tuned,
    ways,
)
from mlubench.speed.measure.tuning_table import render_tuning
from mlubench.store import Store
from tests.support.console import text_of

ROUNDS = 8


def _rounds(rate: float, noise: float, seed: int) -> list[float]:
    return list(rate * (1 + noise * np.random.default_rng(seed).standard_normal(ROUNDS)))


def test_the_fastest_that_is_surely_faster_is_chosen() -> None:
    rounds = [_rounds(rate, 0.01, seed) for seed, rate in enumerate((100, 90, 110, 120, 101))]
    best, p_faster = chosen(rounds)
    assert best == 3
    assert p_faster[0] == 1
    assert max(p_faster[2:4]) < 0.001 < min(p_faster[1], p_faster[4])


def test_noise_chooses_nothing() -> None:
    """Of two hundred searches among equals at most a few may choose another way (1 in 100)."""
    others = sum(
        chosen([_rounds(100, 0.05, 10 * search + way) for way in range(6)])[0] != 0
        for search in range(200)
    )
    assert others <= 6


def test_the_usual_way_alone_is_chosen() -> None:
    assert chosen([[1.0, 2.0]]) == (0, [1.0])


@pytest.mark.parametrize("cores", [1, 2, 3, 8, 64])
def test_ways_of_a_cpu_have_a_thread_for_each_stream_and_no_more_than_cores(cores: int) -> None:
    tried = ways("openvino", cores)
    assert tried[0] == Way(Concurrency(cores, max(2, cores + 1)))
    assert len(set(tried)) == len(tried)
    assert all(1 <= way.concurrency.streams <= cores for way in tried)
    assert all(way.concurrency.requests >= 2 for way in tried)
    assert {way.threads for way in tried} == {1}


def test_ways_of_a_card_have_no_streams() -> None:
    tried = ways("magicmind", 8, more_threads=True)
    assert tried[0] == Way(Concurrency(0, 3))
    assert {way.concurrency.streams for way in tried} == {0}
    assert {way.threads for way in tried} == {1, 2}


def test_cores_of_a_device(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(10)))
    assert cores_of(["cpu:0"]) == 10
    assert cores_of(["cpu:0", "cpu:1", "cpu:2"]) == 3
    assert cores_of(["cpu:3"]) == 2
    assert cores_of(["cpu:1/2"]) == 5
    assert cores_of(["mlu:0", "mlu:1"]) == 10


class _Device:
    """Stands for measuring devices: a rate for each number of requests in flight."""

    def __init__(self, rates: dict[int, float]) -> None:
        self.descriptions = {"card:0": "a card"}
        self.rates = rates
        self.measured = 0
        self.disturbed = 0  # so many of the first measurements
        self.forgotten: list[str] = []

    def prepare(self, key: str, model: Path, setup: Any) -> Any:
        return SimpleNamespace(default_shapes=lambda batch: ((batch, 4, 4, 3),))

    def configure(self, key: str, load: Load) -> None:
        assert load.shapes == (((8, 4, 4, 3),),)

    def warm_up(self, key: str, seconds: float) -> None:
        pass

    def measure(self, key: str, load: Load, *, iterations: int, duration: float) -> Any:
        self.measured += 1
        rate = self.rates[load.infer_depth] * (1 + 0.001 * (self.measured % 7))
        disturbed = self.measured <= self.disturbed
        return SimpleNamespace(throughput=rate, machine=SimpleNamespace(disturbed=disturbed))

    def forget(self, key: str) -> None:
        self.forgotten.append(key)


def _search(device: _Device, store: Store, **changes: Any) -> TuningRecord:
    fields = {"network": "key", "model": Path("model"), "batch_size": 8, **changes}
    devices = fields.pop("devices", list(device.descriptions.values()))
    tried = [Candidate(way=Way(Concurrency(0, depth)), **fields) for depth in device.rates]
    search = Search(tried, devices)
    return tuned(search, store, lambda: cast(Measuring, device), lambda done, total: None)


def test_what_is_found_is_kept(tmp_path: Path) -> None:
    device, store = _Device({3: 100.0, 2: 50.0, 6: 120.0}), Store(tmp_path)
    found = _search(device, store)
    assert concurrency_of(found) == Concurrency(0, 6)
    assert device.measured == 3 * ROUNDS
    assert device.forgotten == ["tune 0", "tune 1", "tune 2"]
    assert _search(device, store) == found
    assert device.measured == 3 * ROUNDS


@pytest.mark.parametrize(
    "changes",
    [{"network": "other"}, {"batch_size": 8, "devices": ["another card"]}],
    ids=["network", "device"],
)
def test_another_network_or_device_is_measured_anew(
    tmp_path: Path, changes: dict[str, Any]
) -> None:
    device, store = _Device({3: 100.0, 6: 100.0}), Store(tmp_path)
    _search(device, store)
    _search(device, store, **changes)
    assert device.measured == 4 * ROUNDS


def test_a_disturbed_search_is_told_and_not_kept(tmp_path: Path) -> None:
    device, store = _Device({3: 100.0, 6: 120.0}), Store(tmp_path)
    device.disturbed = ROUNDS
    found = _search(device, store)
    assert found.disturbed
    assert "chosen, disturbed" in text_of(render_tuning({"x": found}))
    assert not list(tmp_path.glob("tuned/*/"))
    again = _search(device, store)
    assert not again.disturbed
    assert device.measured == 4 * ROUNDS
    assert _search(device, store) == again
    assert device.measured == 4 * ROUNDS


def test_a_few_disturbed_measurements_are_no_matter(tmp_path: Path) -> None:
    device = _Device({3: 100.0, 6: 120.0})
    device.disturbed = ROUNDS - 1
    assert not _search(device, Store(tmp_path)).disturbed


def test_nothing_tuned_is_the_engines_own_choice() -> None:
    assert concurrency_of(None) == Concurrency()


def test_the_table_shows_every_way_and_the_chosen_one(tmp_path: Path) -> None:
    found = _search(_Device({3: 100.0, 2: 50.0, 6: 120.0}), Store(tmp_path))
    shown = text_of(render_tuning({"force_float32": found})).splitlines()
    usual, worse, best = [line.split() for line in shown if line.strip()][-3:]
    assert (usual[:4], usual[-1]) == (["force_float32", "8", "-", "3"], "usual")
    assert worse[2] == "2"
    assert (best[2], best[-1]) == ("6", "chosen")
