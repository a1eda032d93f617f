"""Calibration images as MagicMind's calibrator asks for them."""

from __future__ import annotations

from types import ModuleType
from typing import Any, Iterator, List

import numpy as np

from mlubench.engines.interface import BuildSpec, Calibration


def calibration_data(runtime: ModuleType, calibration: Calibration, spec: BuildSpec) -> Any:
    """Return a ``CalibDataInterface`` over the images, in batches, the same at each reading.

    A sample looks like the network's original input: float32 [batch, 3, height, width], means
    and variances applied, whatever the compiled network's own input will be.

    Args:
        runtime: ``magicmind.python.runtime``.
        calibration: the images.
        spec: what the network is compiled for.
    """
    return _data_class(runtime)(batches(calibration, spec))


def batches(calibration: Calibration, spec: BuildSpec) -> List[np.ndarray]:
    """Return the images in batches of the network's own size, float32 [batch, 3, h, w].

    Where the last batch is not full, images before it fill it up: the calibrator takes whole
    batches, and every image must be seen.
    """
    images = np.concatenate(list(calibration.normalised(spec)))
    size = spec.batch_size
    if len(images) < size:
        images = np.resize(images, (size, *images.shape[1:]))
    return [np.ascontiguousarray(images[start : start + size]) for start in _starts(images, size)]


def _starts(images: np.ndarray, size: int) -> Iterator[int]:
    last = len(images) - size
    yield from range(0, last, size)
    yield last


def _data_class(runtime: ModuleType) -> Any:
    """Return the class; its base is the SDK's and is not there before the SDK is imported."""

    class CalibrationData(runtime.CalibDataInterface):  # type: ignore[misc, name-defined]
        """The five methods that the calibrator calls."""

        def __init__(self, samples: List[np.ndarray]) -> None:
            super().__init__()
            self._samples = samples
            self._next = 0

        def next(self) -> Any:
            """Go to the next sample."""
            if self._next >= len(self._samples):
                return runtime.Status(runtime.Code.OUT_OF_RANGE, "every sample was read")
            self._next += 1
            return runtime.Status.OK()

        def get_shape(self) -> Any:
            """Return the sample's shape."""
            return runtime.Dims(list(self.get_sample().shape))

        def get_data_type(self) -> Any:
            """Return the sample's type."""
            return runtime.DataType.FLOAT32

        def get_sample(self) -> np.ndarray:
            """Return the sample."""
            return self._samples[self._next - 1]

        def reset(self) -> Any:
            """Go back before the first sample: an algorithm may read all of them again."""
            self._next = 0
            return runtime.Status.OK()

    return CalibrationData
