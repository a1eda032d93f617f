"""One whole use of the engine, as a worker makes it: device, build, load, run."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np

from mlubench.engines.interface import BuildSpec, Calibration, NetworkFiles, load_engine
from tests.support.networks import SIDE, random_images

SPEC = BuildSpec(
    precision="force_float32",
    batch_size=4,
    dynamic_shape=False,
    input_size=(SIDE, SIDE),
    means=(104.0, 117.0, 123.0),
    variances=(3460.0, 3400.0, 3300.0),
)
INT8 = dataclasses.replace(SPEC, precision="qint8_mixed_float16")


def use(
    network: NetworkFiles,
    spec: BuildSpec,
    folder: Path,
    images: np.ndarray,
    calibration: int = 10,
    device: str = "mlu:0",
) -> tuple[np.ndarray, Any]:
    """Return the scores, float32 [N, classes], and the session that gave them."""
    engine = load_engine("magicmind")
    engine.use_device(device)
    engine.check(spec)
    folder.mkdir(parents=True, exist_ok=True)
    engine.build(network, spec, Calibration(random_images(calibration, seed=2)), folder)
    session = engine.load(folder)
    scores = np.full((len(images), session.classes), np.nan, np.float32)

    def consume(first: int, batch: np.ndarray) -> None:
        scores[first : first + len(batch)] = batch

    session.run(images, consume)
    return scores, session
