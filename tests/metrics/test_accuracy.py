"""Accuracy and Wilson's interval against scikit-learn and SciPy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlubench.metrics.accuracy import correct_at_k, wilson_interval


@pytest.mark.parametrize("k", [1, 2, 5])
def test_accuracy_is_scikit_learns(k: int) -> None:
    from sklearn.metrics import accuracy_score, top_k_accuracy_score

    generator = np.random.default_rng(7)
    scores = generator.random((500, 12))
    labels = generator.integers(0, 12, 500)
    top = np.argsort(-scores, axis=1)[:, :5]
    expected = top_k_accuracy_score(labels, scores, k=k, labels=np.arange(12))
    assert correct_at_k(labels, top, k).mean() == pytest.approx(expected, abs=1e-12)
    assert correct_at_k(labels, top, 1).mean() == accuracy_score(labels, top[:, 0])


def test_fewer_classes_than_k() -> None:
    top = np.array([[0, 1], [1, 0]])
    assert correct_at_k(np.array([1, 1]), top, 5).tolist() == [True, True]
    assert correct_at_k(np.array([1, 1]), top, 1).tolist() == [False, True]


def test_shapes_and_k_are_checked() -> None:
    with pytest.raises(ValueError, match="do not fit"):
        correct_at_k(np.zeros(3, int), np.zeros((2, 5), int), 1)
    with pytest.raises(ValueError, match="k is 0"):
        correct_at_k(np.zeros(2, int), np.zeros((2, 5), int), 0)


@given(st.data(), st.integers(1, 60_000), st.sampled_from([0.9, 0.95, 0.99]))
def test_wilson_is_scipys(data: st.DataObject, n: int, level: float) -> None:
    from scipy.stats import binomtest

    successes = data.draw(st.integers(0, n))
    expected = binomtest(successes, n).proportion_ci(level, method="wilson")
    low, high = wilson_interval(successes, n, level)
    assert low == pytest.approx(expected.low, abs=1e-12)
    assert high == pytest.approx(expected.high, abs=1e-12)
    assert 0 <= low <= successes / n <= high <= 1


def test_wilson_of_nothing() -> None:
    assert wilson_interval(0, 0) == (0.0, 1.0)
    with pytest.raises(ValueError, match="3 successes of 2"):
        wilson_interval(3, 2)
