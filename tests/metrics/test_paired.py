"""The paired comparison against published examples, SciPy and simulation."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlubench.metrics.paired import (
    compare_paired,
    equivalence,
    loss_p,
    mcnemar_p,
    smallest_detectable_drop,
    tango_interval,
)


def test_each_count_of_a_small_case() -> None:
    labels = np.array([0, 1, 2, 3, 4, 5])
    reference = np.array([0, 1, 2, 9, 9, 8])  # right, right, right, wrong, wrong, wrong
    candidate = np.array([0, 7, 7, 3, 9, 7])  # right, lost, lost, won, same wrong, other wrong
    paired = compare_paired(reference, candidate, labels)
    assert (paired.images, paired.lost, paired.won) == (6, 2, 1)
    assert paired.agreement == pytest.approx(2 / 6)
    assert paired.drop == pytest.approx(1 / 6)
    assert paired.churn == pytest.approx(3 / 6)
    assert (paired.drop_low, paired.drop_high) == tango_interval(2, 1, 6)
    assert paired.mcnemar_p == mcnemar_p(2, 1)


def test_shapes_are_checked() -> None:
    with pytest.raises(ValueError, match="one length"):
        compare_paired(np.zeros(2, int), np.zeros(3, int), np.zeros(2, int))
    with pytest.raises(ValueError, match="no image"):
        compare_paired(np.zeros(0, int), np.zeros(0, int), np.zeros(0, int))
    with pytest.raises(ValueError, match="2 lost and 2 won of 3"):
        tango_interval(2, 2, 3)


@pytest.mark.parametrize(
    ("lost", "won", "images", "level", "published"),
    [
        # Fagerland, Lydersen and Laake, Statistics in Medicine 33 (2014), table V.
        (1, 7, 21, 0.95, (-0.517, -0.026)),
        # Tango 1998, the soft contact lens trial.
        (0, 1, 44, 0.90, (-0.096, 0.037)),
    ],
)
def test_interval_is_the_published_one(
    lost: int, won: int, images: int, level: float, published: tuple[float, float]
) -> None:
    assert tango_interval(lost, won, images, level) == pytest.approx(published, abs=5e-4)


@given(st.integers(1, 10**6), st.data())
def test_interval_ends_where_tangos_statistic_is_z(images: int, data: st.DataObject) -> None:
    """Tango, Statistics in Medicine 17 (1998), section 3, solved by SciPy."""
    from scipy.optimize import brentq
    from scipy.stats import norm

    lost = data.draw(st.integers(0, images - 1))
    won = data.draw(st.integers(0, images - lost))
    z = norm.ppf(0.975)

    def excess(drop: float) -> float:
        b = -lost - won + (2 * images - lost + won) * drop
        c = -won * drop * (1 - drop)
        p = (math.sqrt(max(0, b * b - 8 * images * c)) - b) / (4 * images)
        deviation = math.sqrt(max(0, images * (2 * p + drop * (1 - drop))))
        return lost - won - images * drop - z * deviation

    if lost - won > -images:
        root = brentq(excess, -1, (lost - won) / images - 1e-12, xtol=1e-15)
        assert tango_interval(lost, won, images)[0] == pytest.approx(root, abs=1e-9)


@pytest.mark.parametrize("images", [1, 20, 1000, 50_000])
def test_interval_when_nothing_changed(images: int) -> None:
    from scipy.stats import norm

    z2 = norm.isf(0.025) ** 2
    expected = z2 / (images + z2)
    assert tango_interval(0, 0, images) == pytest.approx((-expected, expected), rel=1e-9)


@given(st.data(), st.integers(1, 3000))
def test_interval_holds_the_estimate_and_turns_with_the_roles(
    data: st.DataObject, images: int
) -> None:
    lost = data.draw(st.integers(0, images))
    won = data.draw(st.integers(0, images - lost))
    low, high = tango_interval(lost, won, images)
    assert -1 <= low <= (lost - won) / images <= high <= 1
    assert tango_interval(won, lost, images) == pytest.approx((-high, -low), abs=1e-12)


@pytest.mark.parametrize(("images", "p_lost", "p_won"), [(1000, 0.02, 0.01), (1000, 0.004, 0.004)])
def test_interval_covers_the_truth(images: int, p_lost: float, p_won: float) -> None:
    draws = np.random.default_rng(3).multinomial(
        images, [p_lost, p_won, 1 - p_lost - p_won], size=2000
    )
    intervals = [tango_interval(int(lost), int(won), images) for lost, won, _ in draws]
    covered = np.mean([low <= p_lost - p_won <= high for low, high in intervals])
    assert 0.935 <= covered <= 0.975


@given(st.integers(0, 400), st.integers(0, 400))
def test_mcnemar_is_the_exact_tail(lost: int, won: int) -> None:
    from scipy.stats import binom

    tail = binom.cdf(min(lost, won), lost + won, 0.5)
    assert mcnemar_p(lost, won) == pytest.approx(min(1.0, 2 * tail), rel=1e-9)


@pytest.mark.parametrize(("churn", "points"), [(0.01, 0.11), (0.03, 0.19), (0.05, 0.25)])
def test_detectable_drop_at_50000_images(churn: float, points: float) -> None:
    assert round(100 * smallest_detectable_drop(50_000, churn), 2) == points


def test_detectable_drop_is_shown_with_the_power_promised() -> None:
    """Simulated: the one-sided McNemar test finds a drop of that size about 80 % of the time."""
    from scipy.stats import norm

    images, churn = 5000, 0.04
    drop = smallest_detectable_drop(images, churn)
    lost, won, _ = (
        np.random.default_rng(5)
        .multinomial(images, [(churn + drop) / 2, (churn - drop) / 2, 1 - churn], size=20_000)
        .T
    )
    shown = (lost - won) / np.sqrt(lost + won) > norm.isf(0.05)
    assert np.mean(shown) == pytest.approx(0.8, abs=0.015)


def test_detectable_drop_without_churn() -> None:
    """No fewer than (z + z)^2 = 6.2 images must be lost for a loss to be seen."""
    assert smallest_detectable_drop(1000, 0.0) == pytest.approx(6.18e-3, abs=2e-5)
    assert smallest_detectable_drop(1000, 0.001) == smallest_detectable_drop(1000, 0.0)
    assert smallest_detectable_drop(5, 0.5) == 1.0


def test_more_images_show_less() -> None:
    drops = [smallest_detectable_drop(images, 0.03) for images in (10, 100, 1000, 10**6)]
    assert all(more < less for less, more in pairwise(drops))
    assert math.isclose(drops[3], (1.6449 + 0.8416) * math.sqrt(0.03 / 10**6), rel_tol=1e-3)


@given(st.data(), st.integers(1, 2000))
def test_equivalence_is_the_interval_seen_from_the_margin(data: st.DataObject, images: int) -> None:
    lost = data.draw(st.integers(0, images))
    won = data.draw(st.integers(0, images - lost))
    margin = data.draw(st.floats(0.001, 0.2))
    tests = equivalence(lost, won, images, margin)
    low, high = tango_interval(lost, won, images)
    if abs(high - margin) > 1e-9:
        assert (tests.p_worse < 0.025) == (high < margin)
    if abs(low + margin) > 1e-9:
        assert (tests.p_better < 0.025) == (low > -margin)
    assert tests.p == max(tests.p_worse, tests.p_better)


def test_equivalence_of_tangos_example() -> None:
    """Tango 1998, the soft contact lens trial: 1 of 44 changed, a margin of 0.1, Z = 1.709."""
    from scipy.stats import norm

    tests = equivalence(1, 0, 44, 0.1)
    assert norm.isf(tests.p_worse) == pytest.approx(1.709, abs=5e-3)


def test_equivalence_errs_as_often_as_it_says() -> None:
    """At a true drop of the margin itself, 2.5 % of the tests call it smaller."""
    images, margin, churn = 20_000, 0.005, 0.03
    chances = [(churn + margin) / 2, (churn - margin) / 2, 1 - churn]
    draws = np.random.default_rng(8).multinomial(images, chances, size=4000)
    errors = [equivalence(lost, won, images, margin).p_worse <= 0.025 for lost, won, _ in draws]
    assert np.mean(errors) == pytest.approx(0.025, abs=0.008)


def test_margin_is_checked() -> None:
    with pytest.raises(ValueError, match="the margin is 0"):
        equivalence(1, 1, 10, 0)
    with pytest.raises(ValueError, match="2 lost and 2 won of 3"):
        equivalence(2, 2, 3, 0.1)


@given(st.integers(0, 300), st.integers(0, 300))
def test_loss_is_the_upper_tail_of_the_exact_test(lost: int, won: int) -> None:
    from scipy.stats import binomtest

    tail = binomtest(lost, lost + won, 0.5, "greater").pvalue if lost + won else 1.0
    assert float(loss_p(lost, won)) == pytest.approx(tail, rel=1e-9)


def test_loss_takes_arrays() -> None:
    assert loss_p(np.array([0, 5, 10]), np.array([3, 0, 0])).tolist() == [1.0, 2**-5, 2**-10]
