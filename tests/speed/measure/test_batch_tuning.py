"""The batch of all precisions: another than the usual one only where images surely gain by it."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from mlubench.devices.pool import DevicePool
from mlubench.evaluate.options import check_parameters
from mlubench.networks.compile import Compiled
from mlubench.runs.record import TriedRecord, TuningRecord
from mlubench.speed.measure import batch_tuning
from mlubench.speed.measure.batch_tuning import other_batches, quickest, search_batch
from mlubench.speed.measure.tuning import Search
from mlubench.store import Store

ROUNDS = 8


def _search(*medians: float, noise: float = 0.01, seed: int = 0, chosen: int = 0) -> TuningRecord:
    generator = np.random.default_rng(seed)
    return TuningRecord(
        tried=[
            TriedRecord(
                batch_size=batch,
                streams=2,
                requests=3,
                threads=1,
                images_per_second=list(median * (1 + noise * generator.standard_normal(ROUNDS))),
                p_faster=1.0,
            )
            for batch, median in enumerate(medians, 1)
        ],
        chosen=chosen,
    )


def test_what_one_precision_gains_may_cost_another_more() -> None:
    """The second candidate is twice as fast where it hardly counts; the third gains where it does.

    An image takes 1/200 + 1/1000 s in the usual batch.
    """
    slow, fast = _search(200, 180, 240), _search(1000, 2000, 900, seed=1)
    assert quickest([slow, fast]) == 2
    assert quickest([fast]) == 1


def test_noise_keeps_the_usual_batch() -> None:
    """Of two hundred searches among equals at most a few may choose another (1 in 100)."""
    others = sum(
        quickest([_search(*[100] * 4, noise=0.05, seed=3 * n + part) for part in range(3)]) != 0
        for n in range(200)
    )
    assert others <= 6


def test_the_usual_batch_is_compared_with_others() -> None:
    assert other_batches("openvino", 8) == (1, 4, 16)
    assert other_batches("openvino", 4) == (1, 8, 16)
    assert other_batches("magicmind", 8) == (1, 16, 32)


@pytest.mark.parametrize(("disturbed", "place"), [(False, 2), (True, 0)])
def test_all_precisions_share_the_choice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, disturbed: bool, place: int
) -> None:
    """Where the machine was disturbed the batch stays, for answers may hang on it."""
    found = {"a": _search(200, 180, 240), "b": _search(1000, 2000, 900, chosen=1, seed=1)}
    found["b"] = found["b"].model_copy(update={"disturbed": disturbed})
    asked: list[list[tuple[str, int]]] = []

    def tuned(search: Search, *_: object) -> TuningRecord:
        asked.append([(one.network, one.batch_size) for one in search.tried])
        return found[search.tried[0].network[0]]

    @contextmanager
    def apart(_: object) -> Any:
        yield None

    monkeypatch.setattr(batch_tuning, "tuned", tuned)
    monkeypatch.setattr(batch_tuning, "measuring_apart", apart)
    devices = SimpleNamespace(
        host=SimpleNamespace(name="openvino"), names=["cpu:0"], descriptions={"cpu:0": "a CPU"}
    )
    compiled = {
        batch: [Compiled(name, tmp_path, f"{name}{batch}") for name in "ab"] for batch in (8, 1, 4)
    }
    batch, searches = search_batch(
        cast(DevicePool, devices), compiled, Store(tmp_path), lambda done, total: None
    )
    assert asked == [
        [("a8", 8), ("a1", 1), ("a4", 4)],
        [("b8", 8), ("b1", 1), ("b4", 4)],
    ]
    assert batch == (8, 1, 4)[place]
    assert [one.chosen for one in searches.values()] == [place, place]
    assert list(searches) == ["a, batch", "b, batch"]


def test_only_a_batch_that_nobody_named_is_searched_for() -> None:
    assert check_parameters(tune=True).batch_open
    assert not check_parameters(tune=False).batch_open
    assert not check_parameters(tune=True, batch_size=8).batch_open
    assert not check_parameters(tune=True, dynamic_shape=True).batch_open
