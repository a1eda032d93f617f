"""Two classifiers on the same images: what changed, how much, and what could be seen.

Both precisions of a network see the same images, so most answers agree and only the few that
differ carry information. Every figure here rests on these pairs. An unpaired test of the two
accuracies would need several times the drop to see anything.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import bdtr, bdtrc, ndtr, ndtri


@dataclass(frozen=True)
class Paired:
    """A candidate against a reference on the same images.

    Attributes:
        images: how many were compared.
        agreement: the fraction with the same best class, right or wrong.
        lost: images that only the reference has right.
        won: images that only the candidate has right.
        drop: (lost - won) / images, the loss of top-1 accuracy as a fraction.
        drop_low: lower end of the 95 % interval of ``drop``.
        drop_high: upper end of it.
        mcnemar_p: two-sided p of McNemar's exact test that ``drop`` is 0.
    """

    images: int
    agreement: float
    lost: int
    won: int
    drop: float
    drop_low: float
    drop_high: float
    mcnemar_p: float

    @property
    def churn(self) -> float:
        """The fraction of the images whose correctness changed, either way."""
        return (self.lost + self.won) / self.images


@dataclass(frozen=True)
class Equivalence:
    """Two one-sided tests (TOST) that a candidate is as good as its reference within a margin.

    D. J. Schuirmann, "A comparison of the two one-sided tests procedure and the power approach
    for assessing the equivalence of average bioavailability", Journal of Pharmacokinetics and
    Biopharmaceutics 15 (1987), 657-680; each of the two is Tango's score test, so that
    ``p_worse`` is at most 0.025 just where the 95 % interval's upper end is at most the margin.

    Attributes:
        margin: a fraction, more than 0.
        p_worse: p of the test against a drop of the margin or more; small: not inferior.
        p_better: p of the test against a gain of the margin or more.
    """

    margin: float
    p_worse: float
    p_better: float

    @property
    def p(self) -> float:
        """The p of equivalence, which both tests must show."""
        return max(self.p_worse, self.p_better)


def compare_paired(
    reference_top1: NDArray[np.integer],
    candidate_top1: NDArray[np.integer],
    labels: NDArray[np.integer],
) -> Paired:
    """Compare a candidate's best classes with a reference's.

    Args:
        reference_top1: [N], the reference's best class of each image.
        candidate_top1: [N], the candidate's.
        labels: [N], the true class, in the same order of classes.

    Raises:
        ValueError: the shapes differ or there is no image.
    """
    if not reference_top1.shape == candidate_top1.shape == labels.shape or labels.ndim != 1:
        shapes = (reference_top1.shape, candidate_top1.shape, labels.shape)
        raise ValueError(f"three arrays of one length are expected, got {shapes}")
    if len(labels) == 0:
        raise ValueError("no image to compare")
    return compare_right(
        reference_top1 == labels,
        candidate_top1 == labels,
        agreement=float(np.mean(reference_top1 == candidate_top1)),
    )


def compare_right(
    reference_right: NDArray[np.bool_], candidate_right: NDArray[np.bool_], agreement: float
) -> Paired:
    """Compare a candidate with a reference by which images they have right.

    Args:
        reference_right: [N], N >= 1.
        candidate_right: [N].
        agreement: the fraction of the images with the same best class.
    """
    images = len(reference_right)
    lost = int(np.count_nonzero(reference_right & ~candidate_right))
    won = int(np.count_nonzero(candidate_right & ~reference_right))
    low, high = tango_interval(lost, won, images)
    return Paired(
        images=images,
        agreement=agreement,
        lost=lost,
        won=won,
        drop=(lost - won) / images,
        drop_low=low,
        drop_high=high,
        mcnemar_p=mcnemar_p(lost, won),
    )


def mcnemar_p(lost: int, won: int) -> float:
    """Return the two-sided p of McNemar's exact test; 1 where nothing changed.

    Were the candidate as good as the reference, each changed image would be lost or won with
    probability 1/2: a binomial test on ``lost`` of ``lost + won``.
    """
    if lost + won == 0:
        return 1.0
    return min(1.0, 2 * float(bdtr(min(lost, won), lost + won, 0.5)))


def loss_p(lost: ArrayLike, won: ArrayLike) -> NDArray[np.float64]:
    """Return the one-sided p of McNemar's exact test that the candidate is worse.

    The probability of ``lost`` or more of ``lost + won`` changed images where each is lost or won
    with probability 1/2; 1 where nothing was lost. Never more than the level's share of
    comparisons of equals is at or below a level, whatever the churn.

    Args:
        lost: images that only the reference has right, any shape.
        won: images that only the candidate has right, of a shape that broadcasts.
    """
    changed = np.add(lost, won)
    return np.asarray(bdtrc(np.subtract(lost, 1), changed, 0.5), np.float64)


def equivalence(lost: int, won: int, images: int, margin: float) -> Equivalence:
    """Return the two one-sided tests of a drop against a margin.

    Args:
        lost: images that only the reference has right.
        won: images that only the candidate has right.
        images: all images, at least 1 and at least ``lost + won``.
        margin: a fraction, more than 0 and less than 1.

    Raises:
        ValueError: the counts do not fit, or the margin is out of range.
    """
    _check_counts(lost, won, images)
    if not 0 < margin < 1:
        raise ValueError(f"the margin is {margin}, expected more than 0 and less than 1")
    return Equivalence(
        margin=margin,
        p_worse=float(ndtr(_score(margin, lost, won, images))),
        p_better=float(ndtr(_score(margin, won, lost, images))),
    )


def tango_interval(lost: int, won: int, images: int, level: float = 0.95) -> tuple[float, float]:
    """Return Tango's score interval of the drop, ``(lost - won) / images``, as fractions.

    T. Tango, "Equivalence test and confidence interval for the difference in proportions for
    the paired-sample design", Statistics in Medicine 17 (1998), 891-908. It inverts the score
    test, whose case of drop 0 is McNemar's test; unlike Wald's interval it keeps its coverage
    and a sensible width when few images changed or none: then it is +-z^2 / (images + z^2).

    Args:
        lost: images that only the reference has right.
        won: images that only the candidate has right.
        images: all images, at least 1 and at least ``lost + won``.
        level: the confidence level.

    Raises:
        ValueError: the counts do not fit.
    """
    _check_counts(lost, won, images)
    z = -float(ndtri((1 - level) / 2))
    # Exchanging the two classifiers turns the interval round.
    return _tango_low(lost, won, images, z), -_tango_low(won, lost, images, z)


def _tango_low(lost: int, won: int, images: int, z: float) -> float:
    """Return the drop below the estimate at which the score test's statistic is ``z``."""
    estimate = (lost - won) / images
    if estimate == -1:
        return -1.0

    def excess(drop: float) -> float:
        deviation = math.sqrt(images * _null_variance(drop, lost, won, images))
        return lost - won - images * drop - z * deviation

    # The estimate itself is a second root where its variance is 0 (nothing changed, or
    # everything was lost); just below it the function is negative in every case.
    return _root(excess, -1.0, estimate - 1e-12)


def _root(falling: Callable[[float], float], low: float, high: float) -> float:
    """Return where a function falls from above 0 to below, within 1e-18 of ``high - low``.

    By bisection: scipy.optimize, for this alone, would cost each run 23 MB and a third of a second.
    """
    for _ in range(60):
        middle = (low + high) / 2
        if falling(middle) > 0:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def _check_counts(lost: int, won: int, images: int) -> None:
    if min(lost, won) < 0 or images < 1 or lost + won > images:
        raise ValueError(f"{lost} lost and {won} won of {images} images")


def _score(drop: float, lost: int, won: int, images: int) -> float:
    """Return Tango's statistic of the null hypothesis that the true drop is ``drop``."""
    return (lost - won - images * drop) / math.sqrt(
        images * _null_variance(drop, lost, won, images)
    )


def _null_variance(drop: float, lost: int, won: int, images: int) -> float:
    """Return the variance of one pair's difference under a given drop.

    The probability of a won image is its maximum likelihood estimate under that drop, the
    larger root of 2 images q^2 + b q + c = 0.
    """
    b = (2 * images - lost + won) * drop - lost - won
    c = -won * drop * (1 - drop)
    won_rate = (math.sqrt(max(b * b - 8 * images * c, 0.0)) - b) / (4 * images)
    return max(2 * won_rate + drop * (1 - drop), 0.0)


def smallest_detectable_drop(
    images: int, churn: float, power: float = 0.8, level: float = 0.05
) -> float:
    """Return the smallest drop that a one-sided paired test shows, as a fraction.

    The solution for d of R. J. Connor's sample size of McNemar's test, "Sample size for testing
    differences in proportions for the paired-sample design", Biometrics 43 (1987), 207-211:

        images = (z_level sqrt(churn) + z_power sqrt(churn - d^2))^2 / d^2

    A drop cannot exceed the churn. Where fewer than (z_level + z_power)^2 images change, even
    the loss of them all would go unseen, so the churn is taken as at least that many images.

    Args:
        images: how many are scored, at least 1.
        churn: the fraction of them whose correctness changes, 0 to 1.
        power: the probability that a drop of this size is shown.
        level: the one-sided level of the test.

    Returns:
        The drop; 1 where the images are too few to show any.
    """
    z_level, z_power = -float(ndtri(level)), float(ndtri(power))
    least_churn = (z_level + z_power) ** 2 / images
    if least_churn >= 1:
        return 1.0
    spread = math.sqrt(max(churn, least_churn))
    root = z_power * math.sqrt(images + z_power**2 - z_level**2)
    return spread * (z_level * math.sqrt(images) + root) / (images + z_power**2)
