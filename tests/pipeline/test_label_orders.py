"""A wrong label order is noticed, and only that."""

from __future__ import annotations

import numpy as np
import pytest

from mlubench.images.labels import imagenet_order, simple_order
from mlubench.pipeline.label_orders import find_wrong_order

OTHER = {"2012": "2015", "2015": "2012"}


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


def test_few_images_right_by_luck_say_nothing() -> None:
    ids, best = _run("2012", "2012", 3, 1.0)
    wrong = imagenet_order("2015")
    assert find_wrong_order(ids[:1], best[:1], wrong, None) is None


def test_networks_outside_imagenet_have_no_other_order() -> None:
    order = simple_order("digits", "0123456789")
    assert find_wrong_order(["0"] * 50, np.ones(50, int), order, None) is None
