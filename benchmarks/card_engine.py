"""An engine whose devices are as fast as they are told to be and take none of the host's cores.

``MLUBENCH_CARD_RATE`` is a device's images per second. It stands for a card where it is to be seen
whether the host keeps up with one; its answers mean nothing.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

import numpy as np

from mlubench.engines.interface import (
    BuildSpec,
    Calibration,
    Concurrency,
    Consume,
    Engine,
    NetworkFiles,
    Session,
)
from mlubench.engines.traits import Traits

TRAITS = Traits(family="card")
CLASSES = 1000
_BATCH = 8


def create() -> CardEngine:
    return CardEngine()


class CardEngine(Engine):
    precisions = ("force_float32",)

    def describe(self) -> dict[str, str]:
        return {"version": "0", "simulated": "a rate"}

    def count_devices(self) -> int:
        return 16

    def use_device(self, device: str) -> str:
        return f"{os.environ['MLUBENCH_CARD_RATE']} images/s"

    def build(
        self,
        network: NetworkFiles,
        spec: BuildSpec,
        calibration: Calibration | None,
        folder: Path,
    ) -> None:
        raise NotImplementedError

    def load(self, model: Path, concurrency: Concurrency = Concurrency()) -> Session:
        return CardSession(float(os.environ["MLUBENCH_CARD_RATE"]))


class CardSession(Session):
    executed_precision = "none"
    classes = CLASSES
    batch_size = _BATCH

    def __init__(self, rate: float) -> None:
        self._rate = rate

    def run(self, images: np.ndarray, consume: Consume) -> None:
        """Read every image, as copying it to a card would, and wait until its time has come."""
        start = time.monotonic()
        for first in range(0, len(images), _BATCH):
            batch = images[first : first + _BATCH]
            scores = np.zeros((len(batch), CLASSES), np.float32)
            scores[:, 0] = batch.reshape(len(batch), -1).max(axis=1)
            if (due := start + (first + len(batch)) / self._rate - time.monotonic()) > 0:
                time.sleep(due)
            consume(first, scores)
