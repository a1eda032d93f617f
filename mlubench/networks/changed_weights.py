"""Which layers of a network have other weights than they had."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from mlubench.networks.importing import imported_before
from mlubench.runs.record import ModelRecord
from mlubench.store import Store


@dataclass(frozen=True)
class ChangedLayer:
    """A layer with other weights.

    Attributes:
        layer: its name in the network.
        change: the norm of the difference over the norm of the old weights; infinite where
            they were 0, or are of another shape or not there.
    """

    layer: str
    change: float

    def __str__(self) -> str:
        """The layer and how far its weights moved."""
        if np.isinf(self.change):
            return f"{self.layer} (other weights altogether)"
        return f"{self.layer} (weights moved by {100 * self.change:.3g} %)"


def changed_layers(
    ours: ModelRecord, theirs: ModelRecord, store: Store
) -> list[ChangedLayer] | None:
    """Return the layers whose weights differ between two networks, in the network's order.

    Args:
        ours: the newer network.
        theirs: the older one.
        store: where imported networks are kept.

    Returns:
        None where one of the two is not there any more.
    """
    found = [
        imported_before(one.prototxt_sha256, one.weights_sha256, store) for one in (theirs, ours)
    ]
    if found[0] is None or found[1] is None:
        return None
    return compare_weights(found[0], found[1])


def compare_weights(before: Path, after: Path) -> list[ChangedLayer]:
    """Return the layers whose weights differ between two ONNX files, in the newer one's order.

    A layer's weights are named ``<layer>/<role>``; where several differ, the largest change
    counts.
    """
    old, new = _weights(before), _weights(after)
    changes: dict[str, float] = {}
    for name in [*new, *(name for name in old if name not in new)]:
        change = _change(old.get(name), new.get(name))
        if change:
            layer = name.rpartition("/")[0] or name
            changes[layer] = max(change, changes.get(layer, 0.0))
    return [ChangedLayer(layer, change) for layer, change in changes.items()]


def _weights(file: Path) -> dict[str, NDArray[np.float64]]:
    graph = onnx.load(str(file)).graph
    return {one.name: numpy_helper.to_array(one).astype(np.float64) for one in graph.initializer}


def _change(before: NDArray[np.float64] | None, after: NDArray[np.float64] | None) -> float:
    if before is None or after is None or before.shape != after.shape:
        return float("inf")
    moved, was = float(np.linalg.norm(after - before)), float(np.linalg.norm(before))
    return moved / was if was else (float("inf") if moved else 0.0)
