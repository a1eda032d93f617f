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
    """An order that explains the images far better than the one that was named.

    Attributes:
        option: which option named it: ``--label_order`` or ``--label_file_order``.
        named: the order that was named.
        other: the one that fits.
        top1: with the first, a fraction.
        other_top1: with the second.
    """

    option: str
    named: str
    other: str
    top1: float
    other_top1: float

    def __str__(self) -> str:
        """One line: both orders, both figures."""
        return (
            f"the label order is wrong: with {self.option} {self.named} top-1 is "
            f"{100 * self.top1:.2f} %, near chance; with {self.option} {self.other} it would be "
            f"{100 * self.other_top1:.2f} %"
        )


def find_wrong_order(
    class_ids: Sequence[str],
    best: npt.NDArray[np.integer],
    network: LabelOrder,
    listed: str | None,
) -> WrongOrder | None:
    """Return the order that was named wrongly, or None where none is.

    Args:
        class_ids: the true class of each scored image, as its list was read.
        best: [images], the network's best class of each, in its own numbers.
        network: the order that the network is said to have.
        listed: that of the label list; None where the list has no order of its own.
    """
    if network.name not in _OTHER or not len(best):
        return None
    scored = _share(class_ids, best, network)
    if scored >= _NEAR_CHANCE / len(network.class_ids):
        return None
    other = imagenet_order(_OTHER[network.name])
    found = [
        WrongOrder(
            "--label_order", network.name, other.name, scored, _share(class_ids, best, other)
        )
    ]
    if listed in _OTHER:
        read = imagenet_order(cast("ImagenetOrder", listed))
        meant = imagenet_order(_OTHER[listed])
        again = [meant.class_ids[read.index_of(class_id)] for class_id in class_ids]
        share = _share(again, best, network)
        found.append(WrongOrder("--label_file_order", listed, meant.name, scored, share))
    likeliest = max(found, key=lambda one: one.other_top1)
    return likeliest if _much_better(likeliest, len(best)) else None


def _share(class_ids: Sequence[str], best: npt.NDArray[np.integer], order: LabelOrder) -> float:
    labels = np.array([order.index_of(class_id) for class_id in class_ids])
    return float(correct_at_k(labels, best[:, np.newaxis], 1).mean())


def _much_better(found: WrongOrder, images: int) -> bool:
    """Whether the two intervals lie apart: few images may be right by luck."""
    low, _ = wilson_interval(round(found.other_top1 * images), images)
    _, high = wilson_interval(round(found.top1 * images), images)
    return low > high
