"""How far the layers of two compilations of a network differ: what the verb ``noise`` does.

Standard library and NumPy only, Python 3.7 syntax.
"""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path
from typing import Any, Callable, Dict, Mapping

import numpy as np

from mlubench.engines.interface import Engine


class NoiseSums:
    """Sums over any number of outputs of each layer; nothing else is kept of them."""

    def __init__(self) -> None:
        self._sums: Dict[str, np.ndarray] = OrderedDict()

    def add(self, layer: str, reference: np.ndarray, candidate: np.ndarray) -> None:
        """Add a layer's two outputs of one image, of one shape.

        Squares are summed in float64: those of float32 would be lost among the many.
        """
        before = reference.astype(np.float64).ravel()
        noise = candidate.astype(np.float64).ravel() - before
        sums = np.array([before @ before, noise @ noise, len(before)])
        self._sums[layer] = self._sums.get(layer, np.zeros(3)) + sums

    def answer(self) -> Dict[str, Any]:
        """Return ``layers``: name, sums of the reference's and of the noise's squares, numbers."""
        return {
            "layers": [
                [name, float(signal), float(noise), int(count)]
                for name, (signal, noise, count) in self._sums.items()
            ]
        }


def layer_noise(
    engine: Engine, request: Mapping[str, Any], progress: Callable[[int], None]
) -> Dict[str, Any]:
    """Compare the layers of two compiled networks on images of the decoded cache.

    Args:
        engine: that runs both.
        request: ``reference``, ``candidate`` (paths), ``pixels`` (a file of uint8), ``shape`` of
            it, ``rows`` (which images).
        progress: called with how many images are done.

    Returns:
        See :meth:`NoiseSums.answer`.
    """
    pixels = np.memmap(request["pixels"], np.uint8, mode="r", shape=tuple(request["shape"]))
    sums = NoiseSums()

    def images() -> Any:
        for done, row in enumerate(request["rows"]):
            progress(done)
            yield np.asarray(pixels[row])

    engine.compare_layers(
        Path(request["reference"]), Path(request["candidate"]), images(), sums.add
    )
    return sums.answer()
