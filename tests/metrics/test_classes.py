"""Per-class drops: counts by hand, Holm's published example, the family's false alarms."""

from __future__ import annotations

import numpy as np
import pytest

from mlubench.metrics.classes import class_drops, holm
from mlubench.metrics.paired import loss_p


def test_each_class_is_counted() -> None:
    ids = np.array(["b", "a", "b", "a", "b", "c"])
    reference = np.array([1, 1, 1, 0, 0, 1], bool)
    candidate = np.array([0, 1, 0, 1, 0, 1], bool)
    drops = class_drops(ids, reference, candidate)
    assert [(one.class_id, one.images, one.lost, one.won) for one in drops] == [
        ("b", 3, 2, 0),
        ("c", 1, 0, 0),
        ("a", 2, 0, 1),
    ]
    assert drops[0].drop == pytest.approx(2 / 3)
    assert (drops[0].p, drops[0].p_holm) == (0.25, 0.75)


def test_lengths_are_checked() -> None:
    with pytest.raises(ValueError, match="one length"):
        class_drops(np.array(["a"]), np.zeros(2, bool), np.zeros(2, bool))


def test_no_class() -> None:
    assert class_drops(np.array([], str), np.zeros(0, bool), np.zeros(0, bool)) == []


def test_holm_by_hand() -> None:
    # 0.01 x 4, 0.02 x 3, then 0.03 x 2 = 0.06 and 0.04 x 1 no smaller than it.
    assert holm(np.array([0.03, 0.01, 0.04, 0.02])).tolist() == pytest.approx(
        [0.06, 0.04, 0.06, 0.06]
    )
    assert holm(np.array([0.9, 0.8])).tolist() == [1.0, 1.0]
    assert holm(np.array([])).tolist() == []


def test_holm_is_the_step_down_procedure() -> None:
    """The corrected p is at or below a level just where the procedure of the paper rejects."""
    rng = np.random.default_rng(0)
    for _ in range(200):
        p = rng.random(6) ** 4
        level = 0.05
        rejected = np.zeros(6, bool)
        for step, place in enumerate(np.argsort(p)):
            if p[place] > level / (6 - step):
                break
            rejected[place] = True
        assert ((holm(p) <= level) == rejected).all()


def test_family_of_equals_is_hardly_ever_an_alarm() -> None:
    """20 classes of equals: at 5 % at most 5 % of the families hold an alarm."""
    changed = np.random.default_rng(1).multinomial(500, [0.05, 0.05, 0.9], size=(2000, 20))
    corrected = [holm(loss_p(family[:, 0], family[:, 1])).min() for family in changed]
    assert np.mean(np.array(corrected) <= 0.05) <= 0.05


def test_one_broken_class_is_found_among_a_thousand() -> None:
    rng = np.random.default_rng(2)
    ids = np.repeat([f"n{number:04d}" for number in range(1000)], 50)
    reference = rng.random(50_000) < 0.75
    candidate = reference ^ (rng.random(50_000) < 0.03)
    candidate[ids == "n0417"] = False
    found = [one.class_id for one in class_drops(ids, reference, candidate) if one.p_holm <= 0.001]
    assert found == ["n0417"]
