"""A network of two layers that knows the digits: what it takes to run it is next to nothing.

The sample takes ten seconds to calibrate, this takes two. It is for tests that need answers which
are mostly right, and not the sample's own layers.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

_SIDE = 56
_CELL = 7
_MEANS = (104, 117, 123)
_PROTOTXT = """
name: "fitted" input: "data" input_shape { dim: 1 dim: 3 dim: 56 dim: 56 }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
        convolution_param { num_output: 4 kernel_size: 7 stride: 7 } }
layer { name: "fc" type: "InnerProduct" bottom: "conv" top: "fc"
        inner_product_param { num_output: 10 } }
layer { name: "prob" type: "Softmax" bottom: "fc" top: "prob" }
"""


def write_fitted_network(folder: Path, *, outlier: bool = False) -> dict[str, Any]:
    """Write the network; return the options of an evaluation that name it.

    It is fitted by least squares to the digits that are not scored: 56 x 56 images, ten classes.

    Args:
        folder: where its files and the digits are written.
        outlier: whether a filter whose answers nobody reads is so large that int8, which has a
            single scale for all answers of the layer, rounds the others to nothing.
    """
    from mlubench.images.datasets.digits import write_digits
    from mlubench.networks.caffe.weights import write_caffemodel

    digits = write_digits(folder / "fitted-digits")
    lines = [line.split() for line in digits.train_labels.read_text().splitlines()]
    cells = np.stack([_cells(digits.train / name) for name, _ in lines])
    classes = np.eye(10)[[int(label) for _, label in lines]]
    known = np.c_[cells.reshape(len(cells), -1), np.ones(len(cells))]
    weights = 10 * np.linalg.lstsq(known, classes, rcond=None)[0].T
    # Each of the four filters is a share of the mean of a cell; the last layer joins them.
    shares = np.array([0.4, 0.3, 0.2, 0.1])
    reads = np.ones(4)
    if outlier:
        # Its answers still fit into float16.
        shares[:2], reads[0] = (400, 0.7), 0
    filters = shares[:, None, None, None] * np.full((4, 3, _CELL, _CELL), 1 / (3 * _CELL**2))
    rows = np.concatenate([read * weights[:, :-1] for read in reads], axis=1)
    files = folder / "fitted.prototxt", folder / "fitted.caffemodel"
    files[0].write_text(_PROTOTXT)
    layers = {"conv": ("", [filters, np.zeros(4)]), "fc": ("", [rows, weights[:, -1]])}
    write_caffemodel(files[1], "fitted", layers)
    return {
        "prototxt": files[0],
        "caffemodel": files[1],
        "input_size": _SIDE,
        "means": _MEANS,
        "resize": "none",
        "label_order": "digits",
    }


def _cells(image: Path) -> Any:
    """Return the mean of each cell of the middle of an image, less the means: float [8, 8]."""
    import cv2

    pixels = cv2.imread(str(image))
    assert pixels is not None
    edge = (pixels.shape[0] - _SIDE) // 2
    middle = pixels[edge : edge + _SIDE, edge : edge + _SIDE].astype(float) - _MEANS
    return middle.reshape(8, _CELL, 8, _CELL, 3).mean((1, 3, 4))
