"""A wrong label order is noticed, and only that."""

from __future__ import annotations

import functools
import math

import numpy as np
import pytest

from mlubench.evaluate import label_order_check
from mlubench.evaluate.label_order_check import find_wrong_order
from mlubench.images.datasets import labels
from mlubench.images.datasets.labels import simple_order
from mlubench.metrics.accuracy import wilson_interval

OTHER = {"2012": "2015", "2015": "2012"}
#: A table of 1000 rows, which thousands of trials would read each time.
imagenet_order = functools.cache(labels.imagenet_order)


@pytest.fixture(autouse=True)
def _read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(label_order_check, "imagenet_order", imagenet_order)


def _run(network: str, listed: str, images: int, right: float) -> tuple[list[str], np.ndarray]:
    """True classes, and a network's answers in its own order, of which so many are right."""
    rng = np.random.default_rng(images)
    order = imagenet_order(network)  # type: ignore[arg-type]
    ids = [imagenet_order(listed).class_ids[i] for i in rng.integers(0, 1000, images)]  # type: ignore[arg-type]
    best = np.array([order.index_of(class_id) for class_id in ids])
    wrong = rng.random(images) >= right
    best[wrong] = rng.integers(0, 1000, int(wrong.sum()))
    return ids, best


@pytest.mark.parametrize("order", ["2012", "2015"])
@pytest.mark.parametrize("images", [40, 700])
def test_the_networks_order(order: str, images: int) -> None:
    ids, best = _run(order, "2012", images, 0.6)
    named = imagenet_order(OTHER[order])  # type: ignore[arg-type]
    found = find_wrong_order(ids, best, named, "2012")
    assert found is not None
    assert f"--label_order {order}" in found.instead
    # With both orders named alike the list's other order is another permutation, and no way out.
    assert len(found.instead) == (1 if named.name == "2012" else 2)
    assert found.top1 < 0.05
    assert 0.4 < found.other_top1 < 0.9
    assert f"--label_order {named.name} and --label_file_order 2012" in str(found)
    assert f"{100 * found.top1:.2f} %" in str(found)
    assert f"{100 * found.other_top1:.2f} %" in str(found)
    assert find_wrong_order(ids, best, imagenet_order(order), "2012") is None  # type: ignore[arg-type]


@pytest.mark.parametrize("listed", ["2012", "2015"])
def test_the_lists_order(listed: str) -> None:
    ids, best = _run("2012", listed, 700, 0.6)
    read, meant = imagenet_order(OTHER[listed]), imagenet_order(listed)  # type: ignore[arg-type]
    misread = [read.class_ids[meant.index_of(class_id)] for class_id in ids]
    found = find_wrong_order(misread, best, imagenet_order("2012"), read.name)
    assert found is not None
    assert f"--label_file_order {listed}" in found.instead
    assert len(found.instead) == (1 if read.name == "2012" else 2)
    assert found.other_top1 > 0.5


def test_a_network_that_knows_nothing_is_no_wrong_order() -> None:
    ids, best = _run("2012", "2012", 700, 0.0)
    assert find_wrong_order(ids, best, imagenet_order("2015"), "2012") is None


@pytest.mark.parametrize(("right", "images"), [(2, 2), (3, 3), (2, 5), (3, 20)])
def test_few_images_say_it_where_chance_cannot(right: int, images: int) -> None:
    ids, best = _run("2012", "2012", 20, 1.0)
    order = imagenet_order("2012")
    assert len(set(ids)) == 20
    # The rest is wrong in either order.
    wrong = [order.index_of(ids[(place + 1) % 20]) for place in range(20)]
    best[right:] = wrong[right:]
    found = find_wrong_order(ids[:images], best[:images], imagenet_order("2015"), "2012")
    assert found is not None
    # An independent sum of the binomial distribution, for the two other orders.
    chance = 2 * sum(
        math.comb(images, k) * 0.001**k * 0.999 ** (images - k) for k in range(right, images + 1)
    )
    assert found.p == pytest.approx(chance)
    assert found.certain
    low, high = (f"{100 * end:.2f}" for end in wilson_interval(right, images))
    assert f"{100 * right / images:.2f} % (95 %: {low} to {high})" in str(found)


def test_one_image_is_a_hint_and_no_proof() -> None:
    ids, best = _run("2012", "2012", 1, 1.0)
    found = find_wrong_order(ids, best, imagenet_order("2015"), "2012")
    assert found is not None
    assert not found.certain
    assert "may be wrong" in str(found)
    assert str(found).endswith("chance alone does as well in one of 500 cases")
    assert find_wrong_order(ids, best, imagenet_order("2012"), "2012") is None


def test_images_of_one_class_are_one_witness() -> None:
    """A network that answers alike whatever it sees may hit the other order's number."""
    order = imagenet_order("2012")
    best = np.full(50, 7)
    found = find_wrong_order([order.class_ids[7]] * 50, best, imagenet_order("2015"), "2012")
    assert found is not None
    assert not found.certain


def test_networks_that_know_nothing_are_seldom_suspected() -> None:
    rng = np.random.default_rng(0)
    order = imagenet_order("2012")
    told = certain = 0
    for _ in range(1000):
        ids = [order.class_ids[label] for label in rng.integers(0, 1000, 30)]
        found = find_wrong_order(ids, rng.integers(0, 1000, 30), order, None)
        told += found is not None
        certain += found is not None and found.certain
    assert certain == 0
    assert told <= 10  # one in a hundred, as the limit says


def test_a_published_accuracy_that_is_missed_is_told() -> None:
    ids, best = _run("2012", "2012", 40, 0.0)
    order = imagenet_order("2012")
    assert find_wrong_order(ids, best, order, "2012") is None
    found = find_wrong_order(ids, best, order, "2012", published=0.58384)
    assert found is not None
    assert found.kind == "unexplained"
    assert not found.certain
    for words in ("58.38 % are published", "--label_order 2015", "--label_order 2012 and"):
        assert words in str(found)
    # Two images of two may be wrong of a network that has 58 % right.
    assert find_wrong_order(ids[:2], best[:2], order, "2012", published=0.58384) is None


def test_networks_outside_imagenet_have_no_other_order() -> None:
    order = simple_order("digits", "0123456789")
    assert find_wrong_order(["0"] * 50, np.ones(50, int), order, None) is None
