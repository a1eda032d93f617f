"""Whether a precision has kept its accuracy, as far as the images can tell."""

from __future__ import annotations

import enum
from collections.abc import Iterable

from mlubench.metrics.paired import Paired, smallest_detectable_drop

#: The one-sided level of the gate: one end of a two-sided 95 % interval.
_GATE_LEVEL = 0.025


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
    improvement therefore never fails.

    Args:
        paired: the candidate against the reference.
        max_drop: the limit as a fraction (0.01 is one point), or None for no limit.

    Returns:
        The verdict and its reason, one line with the numbers in points.
    """
    reason = (
        f"top-1 drop {in_points(paired.drop)} points, "
        f"95 % interval {in_points(paired.drop_low)} to {in_points(paired.drop_high)}"
    )
    if max_drop is None:
        return Verdict.NOT_JUDGED, f"{reason}; no limit was set"
    smallest = smallest_detectable_drop(paired.images, paired.churn, level=_GATE_LEVEL)
    reason += (
        f", limit {in_points(max_drop)}; the smallest drop that these {paired.images} images "
        f"could have shown is {in_points(smallest)}"
    )
    if paired.drop_high <= max_drop:
        return Verdict.PASS, reason
    if paired.drop_low > max_drop:
        return Verdict.FAIL, reason
    return Verdict.INCONCLUSIVE, reason


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    """Return the verdict of a whole from its parts': one failure fails it, then one doubt.

    Parts that were not judged (the reference itself) change nothing; of none, nothing is judged.
    """
    order = list(Verdict)
    return max(verdicts, key=order.index, default=Verdict.NOT_JUDGED)


def in_points(fraction: float) -> str:
    """Return a fraction as percentage points, with two decimals."""
    # Adding 0 turns a rounded -0.00 into 0.00.
    return f"{round(100 * fraction, 2) + 0:.2f}"
