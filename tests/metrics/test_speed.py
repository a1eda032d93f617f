"""The gate on speed, by seeded simulation of rounds."""

from __future__ import annotations

import numpy as np
import pytest

from mlubench.metrics.speed import SpeedChange, compare_speed
from mlubench.metrics.verdict import Verdict
from tests.support.long import long


def _rounds(rng: np.random.Generator, rounds: int, noise: float, loss: float = 0.0) -> np.ndarray:
    """Return throughputs: noise in each round, now and then a disturbed one that is slower."""
    figures = 500 * (1 - loss) * np.exp(rng.normal(0, noise, rounds))
    disturbed = rng.random(rounds) < 0.1
    return np.where(disturbed, figures * rng.uniform(0.85, 1, rounds), figures)


def _comparisons(
    seed: int, times: int, rounds: int, noise: float, loss: float = 0.0
) -> list[SpeedChange]:
    rng = np.random.default_rng(seed)
    return [
        compare_speed(_rounds(rng, rounds, noise), _rounds(rng, rounds, noise, loss))
        for _ in range(times)
    ]


@pytest.mark.parametrize("noise", [0.002, 0.01, 0.03, 0.1])
def test_a_build_against_itself_raises_no_alarm(noise: float) -> None:
    changes = _comparisons(1, 20, 10, noise)
    assert all(change.verdict is not Verdict.FAIL for change in changes)


def test_a_build_against_itself_passes_on_a_quiet_machine() -> None:
    changes = _comparisons(2, 20, 10, 0.005)
    assert sum(change.verdict is Verdict.PASS for change in changes) >= 19


@pytest.mark.parametrize(
    ("count", "most"),  # a thousandth expected at most
    [(700, 3), pytest.param(2000, 6, marks=long)],
)
def test_false_alarms_are_rarer_than_the_level(count: int, most: int) -> None:
    """Where noise is so great that the minimum effect keeps nothing back."""
    changes = _comparisons(3, count, 8, 0.2)
    assert sum(change.verdict is Verdict.FAIL for change in changes) <= most


@pytest.mark.parametrize("noise", [0.002, 0.01, 0.02])
def test_ten_per_cent_slower_is_caught(noise: float) -> None:
    changes = _comparisons(4, 20, 10, noise, loss=0.1)
    assert all(change.verdict is Verdict.FAIL for change in changes)


def test_ten_per_cent_faster_never_fails() -> None:
    changes = _comparisons(5, 20, 10, 0.01, loss=-0.1)
    assert {change.verdict for change in changes} == {Verdict.PASS}
    assert all(change.low > 1 for change in changes)


@pytest.mark.parametrize("loss", [0.0, 0.1])
def test_too_few_rounds_are_inconclusive(loss: float) -> None:
    for change in _comparisons(6, 20, 3, 0.005, loss):
        assert change.verdict is Verdict.INCONCLUSIVE
        assert change.detectable == 1
        assert (change.low, change.high) == (0, np.inf)
        assert "no 95 % interval" in change.reason
        assert change.reason.endswith("3 and 3 rounds could have shown is none")


def test_a_loss_under_the_minimum_effect_does_not_fail() -> None:
    changes = _comparisons(7, 20, 20, 0.002, loss=0.01)
    assert {change.verdict for change in changes} == {Verdict.PASS}
    assert all(change.p_slower < 0.01 for change in changes)


@pytest.mark.parametrize(("rounds", "noise"), [(8, 0.01), (12, 0.03), (20, 0.05)])
def test_the_detectable_loss_is_detected_as_often_as_it_says(rounds: int, noise: float) -> None:
    rng = np.random.default_rng(rounds)
    quiet = [
        compare_speed(*np.exp(rng.normal(0, noise, (2, rounds)))).detectable for _ in range(200)
    ]
    loss = float(np.median(quiet))
    caught = 0
    for _ in range(400):
        reference, candidate = np.exp(rng.normal(0, noise, (2, rounds)))
        caught += compare_speed(reference, candidate * (1 - loss)).verdict is Verdict.FAIL
    assert 0.7 <= caught / 400 <= 0.95


def test_interval_covers_the_ratio() -> None:
    changes = _comparisons(8, 1000, 10, 0.02, loss=0.2)
    covered = np.mean([change.low <= 0.8 <= change.high for change in changes])
    assert covered >= 0.93


def test_reason() -> None:
    reference = [100.0 + i for i in range(8)]
    change = compare_speed(reference, [f / 2 for f in reference])
    assert change.verdict is Verdict.FAIL
    assert change.ratio == pytest.approx(0.5)
    assert "\n" not in change.reason
    assert change.reason.startswith("throughput ratio 0.500, 95 % interval 0.4")
    assert "limit 0.970" in change.reason


def test_identical_figures_pass() -> None:
    change = compare_speed([5.0] * 8, [5.0] * 8)
    assert change.verdict is Verdict.PASS
    assert (change.ratio, change.low, change.high) == (1, 1, 1)


@pytest.mark.parametrize(
    ("reference", "candidate", "effect", "message"),
    [
        ([], [1.0], 0.03, "at least one round"),
        ([1.0], [0.0], 0.03, "not positive"),
        ([1.0], [np.nan], 0.03, "not positive"),
        ([1.0], [1.0], 1.0, "min_effect is 1"),
    ],
)
def test_senseless_input(
    reference: list[float], candidate: list[float], effect: float, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        compare_speed(reference, candidate, effect)
