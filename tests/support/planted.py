"""Suites and networks that end as a test wants them to."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from mlubench.conf import CONF
from mlubench.networks.caffe import caffe_pb2

SAMPLE_WEIGHTS = CONF / "sample" / "se_resnet50_digits.caffemodel"
#: A suite whose int8 network is ruined: it is calibrated on black images alone.
_FAILING = """
description: The sample, calibrated on black images; its gate must fail.
evaluations:
  - model: sample
    calibration_dir: black
    precision: [force_float32, qint8_mixed_float16]
    gates: {max_drop: 1.0}
"""
_BLACK_IMAGES = 8


def write_failing_suite(conf: Path, name: str = "failing") -> str:
    """Write a suite that fails, for ``--conf conf``, and return its name."""
    folder = conf / "suites"
    (folder / "black").mkdir(parents=True)
    for number in range(_BLACK_IMAGES):
        # One grey level apart, so that no two are the same image.
        picture = np.full((64, 64, 3), number, np.uint8)
        cv2.imwrite(str(folder / "black" / f"{number}.jpg"), picture)
    (folder / f"{name}.yaml").write_text(_FAILING)
    return name


def disturb(weights: Path, target: Path, layer: str) -> None:
    """Write a network's weights with noise, four times as large, on those of one layer."""
    network = caffe_pb2.NetWeights.FromString(weights.read_bytes())
    (found,) = (one for one in network.layer if one.name == layer)
    # The reader keeps packed floats as the bytes that they are in the file.
    values = np.frombuffer(b"".join(found.blobs[0].data), "<f4")
    noise = np.random.default_rng(0).normal(0, 4 * values.std(), values.shape)
    del found.blobs[0].data[:]
    found.blobs[0].data.append((values + noise).astype("<f4").tobytes())
    target.write_bytes(network.SerializeToString())
