"""The steady-state test on simulated batch times, 200 seeded series of each kind."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from mlubench.worker.measure import steady_state
from mlubench.worker.measure.steady_state import LEAST_BATCHES, steady_from

Shape = Callable[[np.ndarray], np.ndarray]


def _answers(
    batches: int, shape: Shape, noise: float = 0.02, outliers: float = 0.0
) -> list[int | None]:
    rng = np.random.default_rng(batches)
    answers = []
    for _ in range(200):
        times = 10 * shape(np.arange(batches)) * np.exp(rng.normal(0, noise, batches))
        late = rng.random(batches) < outliers
        times = np.where(late, times * rng.uniform(2, 6, batches), times)
        answers.append(steady_from(times))
    return answers


def _flat(batch: np.ndarray) -> np.ndarray:
    return np.ones(len(batch))


@pytest.mark.parametrize("outliers", [0.0, 0.08])
@pytest.mark.parametrize("batches", [20, 100, 1000])
def test_noise_is_steady_from_nearly_the_start(batches: int, outliers: float) -> None:
    answers = _answers(batches, _flat, outliers=outliers)
    found = [answer for answer in answers if answer is not None]
    assert len(found) >= 180
    assert np.median(found) <= batches / 20


def test_a_slow_start_is_cut_off_where_it_ends() -> None:
    answers = _answers(200, lambda batch: np.where(batch < 30, 1.2, 1.0), outliers=0.05)
    found = [answer for answer in answers if answer is not None]
    assert len(found) >= 190
    assert np.median(np.abs(np.array(found) - 30)) <= 2


def test_a_decay_is_waited_for() -> None:
    """Caches and clocks settle with a time constant of 30 batches from twice the time."""

    def decay(batch: np.ndarray) -> np.ndarray:
        return 1 + np.exp(-batch / 30)

    assert sum(answer is not None for answer in _answers(60, decay)) == 0
    found = [answer for answer in _answers(600, decay) if answer is not None]
    assert len(found) >= 190
    # What is kept is slowed by no more than a few parts in a hundred at its start.
    assert 75 <= min(found) <= max(found) <= 300


@pytest.mark.parametrize("drift", [-0.3, 0.1, 0.3])
@pytest.mark.parametrize("batches", [40, 200, 2000])
def test_a_drift_is_not_steady(batches: int, drift: float) -> None:
    answers = _answers(batches, lambda batch: 1 + drift * batch / len(batch), noise=0.01)
    assert sum(answer is not None for answer in answers) <= 4


def test_constant_times_after_a_slow_first() -> None:
    assert steady_from([50.0] + [10.0] * 30) == 1
    assert steady_from([10.0] * 30) == 0


def test_too_few_batches_tell_nothing() -> None:
    assert steady_from([]) is None
    assert steady_from([1.0] * (LEAST_BATCHES - 1)) is None


def test_times_are_numbers() -> None:
    with pytest.raises(ValueError, match="finite times"):
        steady_from([1.0, float("nan")] * 20)


@pytest.mark.parametrize("seed", range(5))
def test_the_trend_test_is_kendalls(seed: int) -> None:
    from scipy.stats import kendalltau

    series = np.random.default_rng(seed).integers(0, 30, 60).astype(float) + np.arange(60) / 20
    expected = kendalltau(np.arange(60), series, method="asymptotic").pvalue
    # scipy leaves out the correction for continuity.
    assert steady_state._mann_kendall_p(series) == pytest.approx(expected, abs=0.01)
    assert steady_state._mann_kendall_p(series) >= expected
