"""The one-sided gate on a drop."""

from __future__ import annotations

import dataclasses

import pytest

from mlubench.metrics.paired import Paired, tango_interval
from mlubench.metrics.verdict import Verdict, judge_drop, worst


def _paired(lost: int, won: int, images: int) -> Paired:
    low, high = tango_interval(lost, won, images)
    return Paired(images, 1.0, lost, won, (lost - won) / images, low, high, 1.0)


@pytest.mark.parametrize(
    ("lost", "won", "images", "max_drop", "expected"),
    [
        (300, 290, 50_000, 0.005, Verdict.PASS),
        (900, 300, 50_000, 0.005, Verdict.FAIL),
        (30, 20, 1000, 0.01, Verdict.INCONCLUSIVE),
        (0, 0, 1000, 0.01, Verdict.PASS),
        (0, 0, 100, 0.01, Verdict.INCONCLUSIVE),  # too few images to say anything
        (100, 5000, 50_000, 0.0, Verdict.PASS),  # an improvement
        (900, 300, 50_000, None, Verdict.NOT_JUDGED),
    ],
)
def test_gate(lost: int, won: int, images: int, max_drop: float | None, expected: Verdict) -> None:
    verdict, reason = judge_drop(_paired(lost, won, images), max_drop)
    assert verdict is expected
    assert "\n" not in reason


def test_limit_itself_passes() -> None:
    paired = dataclasses.replace(_paired(5, 5, 1000), drop_low=0.0, drop_high=0.01)
    assert judge_drop(paired, 0.01)[0] is Verdict.PASS
    assert judge_drop(dataclasses.replace(paired, drop_low=0.01, drop_high=0.02), 0.01)[0] is (
        Verdict.INCONCLUSIVE
    )


def test_reason_gives_points() -> None:
    paired = Paired(1000, 0.95, 31, 20, 0.011, -0.000001, 0.02534, 0.16)
    assert judge_drop(paired, 0.01)[1] == (
        "top-1 drop 1.10 points, 95 % interval 0.00 to 2.53, limit 1.00; the smallest drop that "
        "these 1000 images could have shown is 2.00"
    )


def test_exit_status() -> None:
    assert {verdict.value: verdict.exit_status for verdict in Verdict} == {
        "pass": 0,
        "fail": 1,
        "inconclusive": 3,
        "not_judged": 0,
    }


def test_worst() -> None:
    assert worst([]) is Verdict.NOT_JUDGED
    assert worst([Verdict.NOT_JUDGED, Verdict.PASS]) is Verdict.PASS
    assert worst([Verdict.PASS, Verdict.INCONCLUSIVE, Verdict.NOT_JUDGED]) is Verdict.INCONCLUSIVE
    assert worst([Verdict.FAIL, Verdict.INCONCLUSIVE, Verdict.PASS]) is Verdict.FAIL
