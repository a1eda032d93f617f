"""Whether a precision has kept its accuracy, as far as the images can tell."""

from __future__ import annotations

import enum
import math
from collections.abc import Iterable

from scipy.special import ndtri

from mlubench.metrics.figures import in_points
from mlubench.metrics.levels import GATE_LEVEL, LOSS_LEVEL, POWER
from mlubench.metrics.paired import Paired, loss_p, smallest_detectable_drop


class Verdict(enum.StrEnum):
    """What a gate says; in the order of :func:`worst`, harmless first."""

    NOT_JUDGED = "not_judged"
    PASS = "pass"  # noqa: S105  # a verdict, no password
    INCONCLUSIVE = "inconclusive"
    FAIL = "fail"

    @property
    def exit_status(self) -> int:
        """The exit status of a command that ends with this verdict."""
        return {Verdict.FAIL: 1, Verdict.INCONCLUSIVE: 3}.get(self, 0)


def judge_drop(paired: Paired, max_drop: float | None) -> tuple[Verdict, str]:
    """Judge a drop against the largest that is allowed.

    The gate is one-sided: it passes where the whole interval lies at or under the limit, fails
    where the whole of it lies over the limit, and says so where the images cannot tell. An
    improvement therefore never fails. Nor does it pass by luck: where so many images change that
    a network as good as the reference would pass less often than 4 times in 5, a pass says
    nothing, and there is none.

    Args:
        paired: the candidate against the reference.
        max_drop: the limit as a fraction (0.01 is one point), or None for no limit.

    Returns:
        The verdict and its reason, one line with the numbers in points.
    """
    if max_drop is None:
        return Verdict.NOT_JUDGED, f"{_drop_text(paired)}; no limit was set"
    reason = f"{_drop_text(paired)}, limit {in_points(max_drop)}; {_power_text(paired)}"
    if paired.drop_low > max_drop:
        return Verdict.FAIL, reason
    return (Verdict.PASS if _within(paired, max_drop) else Verdict.INCONCLUSIVE), reason


def judge_loss(paired: Paired, max_drop: float, level: float = LOSS_LEVEL) -> tuple[Verdict, str]:
    """Judge a drop against a baseline, which should be none at all.

    It fails where McNemar's exact one-sided test shows a loss at the level, however small; it
    passes where the drop is shown to be within the limit (:func:`judge_drop`); else the images
    cannot tell. An improvement never fails.

    Args:
        paired: the candidate against the baseline.
        max_drop: the limit as a fraction.
        level: of the test; at most that share of comparisons of equals is an alarm.

    Returns:
        The verdict and its reason, one line with the numbers in points.
    """
    p = float(loss_p(paired.lost, paired.won))
    reason = (
        f"{_drop_text(paired)}, p {p:.2g} that it is no loss, limits {level:g} and "
        f"{in_points(max_drop)} points; {_power_text(paired)}"
    )
    if p <= level:
        return Verdict.FAIL, reason
    return (Verdict.PASS if _within(paired, max_drop) else Verdict.INCONCLUSIVE), reason


def _within(paired: Paired, limit: float) -> bool:
    """Whether a drop is shown to be within a limit, and not by luck."""
    z_level, z_power = -float(ndtri(GATE_LEVEL)), float(ndtri(POWER))
    error = math.sqrt(paired.churn / paired.images)
    # Of an improvement, luck is no question.
    telling = paired.drop_high <= 0 or (z_level + z_power) * error <= limit
    return paired.drop_high <= limit and telling


def _drop_text(paired: Paired) -> str:
    return (
        f"top-1 drop {in_points(paired.drop)} points, "
        f"95 % interval {in_points(paired.drop_low)} to {in_points(paired.drop_high)}"
    )


def _power_text(paired: Paired) -> str:
    smallest = smallest_detectable_drop(paired.images, paired.churn, POWER, GATE_LEVEL)
    return (
        f"the smallest drop that these {paired.images} images could have shown is "
        f"{in_points(smallest)}"
    )


def judge_share(share: tuple[float, float], least: float) -> Verdict:
    """Judge a share of images by its 95 % interval against the least that is allowed.

    Args:
        share: the ends of the interval, fractions.
        least: a fraction.
    """
    low, high = share
    if low >= least:
        return Verdict.PASS
    return Verdict.FAIL if high < least else Verdict.INCONCLUSIVE


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    """Return the verdict of a whole from its parts': one failure fails it, then one doubt.

    Parts that were not judged (the reference itself) change nothing; of none, nothing is judged.
    """
    order = list(Verdict)
    return max(verdicts, key=order.index, default=Verdict.NOT_JUDGED)
