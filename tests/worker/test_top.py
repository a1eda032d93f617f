"""The best classes of a batch."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mlubench.worker.top import top_classes

# Few different values, so that most rows hold ties.
_SCORES = st.tuples(st.integers(1, 8), st.integers(1, 40)).flatmap(
    lambda shape: arrays(np.float32, shape, elements=st.sampled_from([0.0, 0.25, 0.5, 1.0]))
)


@given(_SCORES)
def test_order_is_that_of_a_full_stable_sort(scores: np.ndarray) -> None:
    index, score = top_classes(scores)
    expected = np.argsort(-scores, axis=1, kind="stable")[:, :5]
    np.testing.assert_array_equal(index, expected)
    np.testing.assert_array_equal(score, np.take_along_axis(scores, expected, axis=1))


def test_fewer_classes_than_five_give_shorter_lists() -> None:
    index, _ = top_classes(np.array([[0.1, 0.7, 0.2]], np.float32))
    assert index.tolist() == [[1, 2, 0]]
