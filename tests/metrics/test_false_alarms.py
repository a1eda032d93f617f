"""Proof by simulation: how often the gates cry wolf, what they catch, what they never pass.

Each comparison is drawn as its counts of lost and won images, of which alone a verdict depends.
"""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from mlubench.metrics.classes import holm
from mlubench.metrics.levels import CLASS_LEVEL, LOSS_LEVEL
from mlubench.metrics.paired import Paired, loss_p, mcnemar_p, tango_interval
from mlubench.metrics.verdict import Verdict, judge_drop, judge_loss
from tests.support.long import long

_MARGIN = 0.005


def _paired(lost: int, won: int, images: int) -> Paired:
    low, high = tango_interval(lost, won, images)
    drop, p = (lost - won) / images, mcnemar_p(lost, won)
    return Paired(images, 1.0, lost, won, drop, low, high, p)


def _draws(images: int, churn: float, drop: float, size: int, seed: int) -> NDArray[np.int64]:
    """Return [size, 2]: lost and won of comparisons with that true churn and drop."""
    chances = [(churn + drop) / 2, (churn - drop) / 2, 1 - churn]
    return np.random.default_rng(seed).multinomial(images, chances, size=size)[:, :2]


def _fails(lost: NDArray[np.int64], won: NDArray[np.int64], images: int) -> NDArray[np.bool_]:
    """Return which comparisons the loss gate fails; each pair of counts is judged once."""
    pairs, places = np.unique(np.stack([lost, won], axis=1), axis=0, return_inverse=True)
    verdicts = [judge_loss(_paired(a, b, images), _MARGIN)[0] for a, b in pairs.tolist()]
    return np.array([verdict is Verdict.FAIL for verdict in verdicts])[places]


@pytest.mark.parametrize("images", [1000, 50_000])
@pytest.mark.parametrize(
    ("churn", "comparisons"),
    [(0.0, 1000), (0.001, 1000), (0.03, 6000), pytest.param(0.03, 30_000, marks=long)],
)
def test_comparisons_of_equals(images: int, churn: float, comparisons: int) -> None:
    """The gates against a baseline together, a loss of all or of a class: at most 1 % alarms.

    A network that runs again answers the same, or nearly; 3 % churn is that of another precision.
    """
    classes = 50
    drawn = np.random.default_rng(17).multinomial(
        images // classes, [churn / 2, churn / 2, 1 - churn], size=(comparisons, classes)
    )
    lost, won = drawn[:, :, 0], drawn[:, :, 1]
    by_class = np.array([holm(p).min() for p in loss_p(lost, won)]) <= CLASS_LEVEL
    assert np.mean(by_class | _fails(lost.sum(1), won.sum(1), images)) <= 0.01


def test_the_share_of_alarms_is_bounded_whatever_the_churn() -> None:
    """Not drawn but counted out: of any number of changed images at most 1 % are an alarm."""
    from scipy.stats import binom

    for changed in [*range(200), 500, 1500, 5000]:
        lost = np.arange(changed + 1)
        alarm = loss_p(lost, changed - lost) <= LOSS_LEVEL
        assert binom.pmf(lost[alarm], changed, 0.5).sum() <= 0.01 * (1 + 1e-9)


@pytest.mark.parametrize("comparisons", [3000, pytest.param(10_000, marks=long)])
def test_a_quarter_of_a_point_is_caught(comparisons: int) -> None:
    """50,000 images of which 3 % change, 0.25 points lost: the loss gate at 1 %, 4 times in 5."""
    lost, won = _draws(50_000, 0.03, 0.0025, comparisons, seed=1).T
    assert np.mean(_fails(lost, won, 50_000)) >= 0.8


def test_a_quarter_of_a_point_is_within_a_margin_of_half_a_point() -> None:
    """So the gate of the margin alone would not catch it: two gates, two questions."""
    drawn = _draws(50_000, 0.03, 0.0025, 500, seed=2)
    verdicts = [judge_drop(_paired(int(a), int(b), 50_000), _MARGIN)[0] for a, b in drawn]
    assert np.mean([verdict is Verdict.PASS for verdict in verdicts]) > 0.85
    assert Verdict.FAIL not in verdicts


@pytest.mark.parametrize("churn", [0.01, 0.02, 0.03, 0.05, 0.1, 0.3])
def test_a_point_at_a_thousand_images_never_passes(churn: float) -> None:
    drawn = _draws(1000, churn, 0.01, 5000, seed=3)
    for lost, won in np.unique(drawn, axis=0).tolist():
        paired = _paired(lost, won, 1000)
        if lost >= won:
            assert judge_drop(paired, _MARGIN)[0] in (Verdict.INCONCLUSIVE, Verdict.FAIL)
            assert judge_loss(paired, _MARGIN)[0] in (Verdict.INCONCLUSIVE, Verdict.FAIL)
        else:  # the draw itself looks like a gain
            assert judge_drop(paired, _MARGIN)[0] is not Verdict.FAIL


def test_an_improvement_never_fails() -> None:
    for images in (100, 1000, 50_000):
        for won in (1, 10, images // 20, images // 2):
            paired = _paired(0, won, images)
            assert judge_loss(paired, _MARGIN)[0] is not Verdict.FAIL
            assert judge_drop(paired, _MARGIN)[0] is not Verdict.FAIL
    assert judge_loss(_paired(100, 5000, 50_000), _MARGIN)[0] is Verdict.PASS
