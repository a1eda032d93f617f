"""Step detection on simulated histories and against trying every cut."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from mlubench.metrics.steps import _running_deviation, stretches


def _starts(figures: np.ndarray | list[float], min_length: int = 3) -> list[int]:
    return [one.first for one in stretches(list(figures), min_length)][1:]


def test_running_deviation_is_the_sum_from_the_median() -> None:
    values = np.random.default_rng(0).normal(100, 5, 60)
    expected = [
        np.abs(values[:end] - np.median(values[:end])).sum() for end in range(1, len(values) + 1)
    ]
    assert _running_deviation(values.tolist()) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("seed", range(5))
def test_cuts_are_the_best_of_all(seed: int) -> None:
    """Every cut of 11 figures into stretches of 2 or more, by the docstring's criterion."""
    rng = np.random.default_rng(seed)
    figures = np.r_[rng.normal(0, 1, 5), rng.normal(12, 1, 3), rng.normal(-9, 1, 3)]

    def criterion(borders: tuple[int, ...]) -> float:
        parts = np.split(figures, borders)
        if any(len(part) < 2 for part in parts):
            return np.inf
        deviation = sum(np.abs(part - np.median(part)).sum() for part in parts)
        return float(22 * np.log(deviation / 11) + 6 * len(borders) * np.log(11))

    every = [borders for count in range(6) for borders in combinations(range(1, 11), count)]
    assert _starts(figures, 2) == list(min(every, key=criterion))


def test_steps_of_exact_figures() -> None:
    """Accuracies are the same each night, to the last digit, until something changes."""
    figures = [0.7761] * 9 + [0.7760] * 4 + [0.7761] * 5
    assert _starts(figures) == [9, 13]
    assert [one.level for one in stretches(figures)] == [0.7761, 0.7760, 0.7761]
    assert _starts([0.7761] * 40) == []
    assert _starts([0.0] * 40) == []


@pytest.mark.parametrize("count", [9, 12, 30, 100])
@pytest.mark.parametrize("noise", ["normal", "laplace", "heavy"])
def test_noise_alone_has_hardly_a_step(count: int, noise: str) -> None:
    rng = np.random.default_rng(count)
    series = {
        "normal": rng.standard_normal((200, count)),
        "laplace": rng.laplace(size=(200, count)),
        "heavy": rng.standard_t(2, (200, count)),
    }[noise]
    assert np.mean([bool(_starts(1000 + one)) for one in series]) <= 0.02


@pytest.mark.parametrize(("size", "least"), [(5, 0.95), (10, 1.0)])
def test_step_is_found_at_its_place(size: int, least: float) -> None:
    """60 nights of noise 1, the last 15 lower by ``size``; found within one night."""
    rng = np.random.default_rng(size)
    found = []
    for _ in range(100):
        figures = 500 + rng.standard_normal(60)
        figures[45:] -= size
        starts = _starts(figures)
        found.append(len(starts) == 1 and abs(starts[0] - 45) <= 1)
    assert np.mean(found) >= least


def test_odd_nights_are_no_step() -> None:
    rng = np.random.default_rng(3)
    figures = 500 + rng.standard_normal(60)
    figures[[10, 30, 31, 50]] -= [400, 300, 350, 200]
    assert _starts(figures) == []


def test_odd_night_does_not_hide_a_step() -> None:
    rng = np.random.default_rng(4)
    figures = 500 + rng.standard_normal(60)
    figures[40:] -= 12
    figures[[5, 41, 55]] -= 300
    (start,) = _starts(figures)
    assert start in (40, 41)


def test_few_figures() -> None:
    assert stretches([]) == ()
    assert [(one.first, one.end, one.level) for one in stretches([3.0, 5.0])] == [(0, 2, 4.0)]
    assert _starts([1.0, 1.0, 9.0, 9.0]) == []  # no level lasted for three


def test_figures_are_checked() -> None:
    with pytest.raises(ValueError, match="finite"):
        stretches([1.0, float("nan")])
    with pytest.raises(ValueError, match="finite"):
        stretches([1.0], min_length=0)


def test_unit_does_not_matter() -> None:
    rng = np.random.default_rng(6)
    figures = np.r_[rng.normal(50, 1, 20), rng.normal(42, 1, 20)]
    assert _starts(figures) == _starts(figures * 1e-6) == _starts(figures * 1e9) == [20]
