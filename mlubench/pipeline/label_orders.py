"""Whether accuracy near chance comes from a wrong label order, and what another would give.

ImageNet's two orders agree on no class, so a network or a list that is read in the wrong one
scores about one in a thousand, whatever the network.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import numpy.typing as npt

from mlubench.images.labels import ImagenetOrder, LabelOrder, imagenet_order
from mlubench.metrics.accuracy import correct_at_k, wilson_interval

_OTHER: dict[str, ImagenetOrder] = {"2012": "2015", "2015": "2012"}
#: How many times chance an accuracy is that nobody suspects.
_NEAR_CHANCE = 5


@dataclass(frozen=True)
class WrongOrder:
    """Orders that explain the images far better than those that were named.

    Attributes:
        named: the options that cannot both be right, as they were given.
        instead: what one of them should be. There are two ways where the orders that were named
            differ: the same number may stand for the class in either order.
        top1: with the first, a fraction.
        other_top1: with the second.
    """

    named: str
    instead: tuple[str, ...]
    top1: float
    other_top1: float

    def __str__(self) -> str:
        """One line: the orders and both figures."""
        return (
            f"the label order is wrong: with {self.named} top-1 is {100 * self.top1:.2f} %, near "
            f"chance; with {' or '.join(self.instead)} it would be {100 * self.other_top1:.2f} %"
        )


def find_wrong_order(
    class_ids: Sequence[str],
    best: npt.NDArray[np.integer],
    network: LabelOrder,
    listed: str | None,
) -> WrongOrder | None:
    """Return what was named wrongly, or None where nothing was.

    Args:
        class_ids: the true class of each scored image, as its list was read.
        best: [images], the network's best class of each, in its own numbers.
        network: the order that the network is said to have.
        listed: that of the label list; None where the list has no order of its own.
    """
    if network.name not in _OTHER or not len(best):
        return None
    scored = _share(class_ids, best, network)
    low, high = _interval(scored, len(best))
    if low >= _NEAR_CHANCE / len(network.class_ids):
        return None
    named = f"--label_order {network.name}"
    other = imagenet_order(_OTHER[network.name])
    shares = {f"--label_order {other.name}": _share(class_ids, best, other)}
    if listed in _OTHER:
        named += f" and --label_file_order {listed}"
        read = imagenet_order(cast("ImagenetOrder", listed))
        meant = imagenet_order(_OTHER[listed])
        again = [meant.class_ids[read.index_of(class_id)] for class_id in class_ids]
        shares[f"--label_file_order {meant.name}"] = _share(again, best, network)
    likeliest = max(shares.values())
    # Few images may be right by luck: the two intervals must lie apart.
    if _interval(likeliest, len(best))[0] <= high:
        return None
    instead = tuple(option for option, share in shares.items() if share == likeliest)
    return WrongOrder(named, instead, scored, likeliest)


def _share(class_ids: Sequence[str], best: npt.NDArray[np.integer], order: LabelOrder) -> float:
    labels = np.array([order.index_of(class_id) for class_id in class_ids])
    return float(correct_at_k(labels, best[:, np.newaxis], 1).mean())


def _interval(share: float, images: int) -> tuple[float, float]:
    return wilson_interval(round(share * images), images)
