"""Batches of decoded images as a compiled network takes them.

Standard library and NumPy only, Python 3.7 syntax.
"""

from __future__ import annotations

import numpy as np

from mlubench.engines.interface import BuildSpec


def least_batch(spec: BuildSpec, batch_size: int) -> int:
    """Return the fewest images that a run takes: the batch, or the least of a dynamic network."""
    if not spec.dynamic_shape:
        return batch_size
    return spec.dim_range[0] if spec.dim_range else 1


def as_input(batch: np.ndarray, least: int, layout: str, dtype: type) -> np.ndarray:
    """Return a batch full, in the network's layout and type, C-contiguous.

    Args:
        batch: uint8 [n, height, width, 3].
        least: how many images a run takes at least; zeros fill the batch up.
        layout: ``NHWC`` or ``NCHW``.
        dtype: of the network's input; must hold 0 to 255.

    Returns:
        [max(n, least), ...]; the batch itself where it needs nothing.
    """
    missing = least - len(batch)
    if missing > 0:
        batch = np.concatenate([batch, np.zeros((missing, *batch.shape[1:]), batch.dtype)])
    if layout == "NCHW":
        batch = batch.transpose(0, 3, 1, 2)
    return np.ascontiguousarray(batch.astype(dtype, copy=False))
