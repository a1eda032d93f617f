"""Whether accuracy near chance comes from a wrong label order, and what another would give.

ImageNet's two orders agree on no class, so a network or a list that is read in the wrong one
scores about one in a thousand, whatever the network. Were the named orders right, an answer would
be the class of the *other* order about as seldom: once in a thousand. How many images are right
in the other order is therefore a test of the named ones, an exact binomial one, and says a lot on
few images: two of two are right by chance once in a million.

Images of one class are no independent witnesses: a network that answers alike whatever it sees
is right on all of them or on none. So the test counts one image of each class, the first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, cast

import numpy as np
import numpy.typing as npt
from scipy.special import bdtr, bdtrc

from mlubench.images.datasets.labels import ImagenetOrder, LabelOrder, imagenet_order
from mlubench.metrics.accuracy import correct_at_k, wilson_interval
from mlubench.metrics.figures import in_points

_OTHER: dict[str, ImagenetOrder] = {"2012": "2015", "2015": "2012"}
#: How many times chance an accuracy is that nobody suspects.
_NEAR_CHANCE = 5
#: What is less probable than this by chance is taken as certain, or as worth telling.
_CERTAIN, _TELLING = 1e-4, 0.01

Kind = Literal["wrong", "perhaps", "unexplained"]
_Right = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class WrongOrder:
    """Accuracy near chance, and what other orders than the named ones would give.

    Attributes:
        kind: ``wrong``: another order explains the images, and chance does not; ``perhaps``: it
            does, but the images are too few to be sure; ``unexplained``: no order does, though a
            far better accuracy is published.
        named: the options that were given or taken.
        instead: what one of them should be, or could be. There are two ways where the orders
            that were named differ: the same number may stand for the class in either order.
        images: how many were scored.
        top1: with the named orders, a fraction.
        other_top1: with the other, a fraction.
        p: the probability that chance gives as many classes right in the other order.
        published: the published accuracy, a fraction; None where there is none.
    """

    kind: Kind
    named: str
    instead: tuple[str, ...]
    images: int
    top1: float
    other_top1: float
    p: float
    published: float | None = None

    @property
    def certain(self) -> bool:
        """Whether an order was named wrongly beyond doubt."""
        return self.kind == "wrong"

    def __str__(self) -> str:
        """One line: the orders and both figures."""
        here, there = (self._figure(share) for share in (self.top1, self.other_top1))
        instead = " or ".join(self.instead)
        if self.kind == "unexplained":
            return (
                f"with {self.named} top-1 is {here}, near chance, where {_percent(self.published)} "
                f"are published; with {instead} it would be {there}, so the label order does not "
                "explain it: look at the network's files, --means, --vars and the images"
            )
        return (
            f"the label order {'is' if self.certain else 'may be'} wrong: with {self.named} top-1 "
            f"is {here}, near chance; with {instead} it would be {there}{self._doubt()}"
        )

    def _figure(self, share: float) -> str:
        low, high = _interval(share, self.images)
        return f"{_percent(share)} (95 %: {in_points(low)} to {in_points(high)})"

    def _doubt(self) -> str:
        if self.certain:
            return ""
        return f"; chance alone does as well in one of {round(1 / self.p)} cases"


def find_wrong_order(
    class_ids: Sequence[str],
    best: npt.NDArray[np.integer],
    network: LabelOrder,
    listed: str | None,
    published: float | None = None,
) -> WrongOrder | None:
    """Return what was named wrongly, or None where nothing speaks for it.

    Args:
        class_ids: the true class of each scored image, as its list was read.
        best: [images], the network's best class of each, in its own numbers.
        network: the order that the network is said to have.
        listed: that of the label list; None where the list has no order of its own.
        published: the network's published top-1, a fraction; None where there is none.
    """
    if network.name not in _OTHER or not len(best):
        return None
    right = _right(class_ids, best, network)
    scored = float(right.mean())
    if _interval(scored, len(best))[0] >= _NEAR_CHANCE / len(network.class_ids):
        return None
    named, others = _others(class_ids, best, network, listed)
    likeliest = max(float(other.mean()) for other in others.values())
    instead = tuple(o for o, other in others.items() if float(other.mean()) == likeliest)
    # Each of the other orders had its chance.
    p = len(others) * _by_chance(class_ids, others[instead[0]], len(network.class_ids))
    kind = _kind(p, scored, likeliest, len(best), published)
    if kind is None:
        return None
    return WrongOrder(kind, named, instead, len(best), scored, likeliest, p, published)


def _kind(
    p: float, scored: float, likeliest: float, images: int, published: float | None
) -> Kind | None:
    if likeliest > scored and p < _TELLING:
        return "wrong" if p < _CERTAIN else "perhaps"
    if published is not None and bdtr(round(scored * images), images, published) < _CERTAIN:
        return "unexplained"
    return None


def _others(
    class_ids: Sequence[str], best: npt.NDArray[np.integer], network: LabelOrder, listed: str | None
) -> tuple[str, dict[str, _Right]]:
    """Return the named orders as options, and which images each other one would make right."""
    named = f"--label_order {network.name}"
    other = imagenet_order(_OTHER[network.name])
    others = {f"--label_order {other.name}": _right(class_ids, best, other)}
    if listed in _OTHER:
        named += f" and --label_file_order {listed}"
        read = imagenet_order(cast("ImagenetOrder", listed))
        meant = imagenet_order(_OTHER[listed])
        again = [meant.class_ids[read.index_of(class_id)] for class_id in class_ids]
        others[f"--label_file_order {meant.name}"] = _right(again, best, network)
    return named, others


def _by_chance(class_ids: Sequence[str], right: _Right, classes: int) -> float:
    """Return the probability of as many right answers, of one image of each class, or more."""
    _, first = np.unique(np.array(class_ids), return_index=True)
    return float(bdtrc(int(right[first].sum()) - 1, len(first), 1 / classes))


def _right(class_ids: Sequence[str], best: npt.NDArray[np.integer], order: LabelOrder) -> _Right:
    labels = np.array([order.index_of(class_id) for class_id in class_ids])
    return correct_at_k(labels, best[:, np.newaxis], 1)


def _interval(share: float, images: int) -> tuple[float, float]:
    return wilson_interval(round(share * images), images)


def _percent(share: float | None) -> str:
    return f"{in_points(share or 0.0)} %"
