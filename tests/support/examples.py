"""A small run that the report tests share: 400 images, 10 classes, three precisions."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pyarrow as pa

from mlubench.evaluate.accuracy import Setup
from mlubench.evaluate.predictions import Top, predictions_table
from mlubench.metrics.verdict import Verdict
from mlubench.runs.record import DatasetRecord, ImageCounts, ModelRecord, RunRecord

IMAGES = 400
CORRUPT = {7, 30}
NAMES = [f"image_{index:03d}.JPEG" for index in range(IMAGES)]
CLASSES = [f"class {index}" for index in range(10)]
LABELS = np.random.default_rng(1).integers(0, 10, IMAGES)
SETUP = Setup(
    model="tiny",
    dataset="digits",
    engine="openvino",
    engine_version="2026.4",
    batch_size=8,
    dynamic_shape=False,
    executed_precision={
        "force_float32": "float32",
        "force_float16": "bfloat16",
        "qint8_mixed_float16": "int8",
    },
)


def scores() -> dict[str, np.ndarray]:
    """Return float32 [IMAGES, 10] per precision: the reference, and it with noise."""
    generator = np.random.default_rng(2)
    reference = generator.random((IMAGES, 10), np.float32)
    reference[np.arange(IMAGES), LABELS] += np.float32(0.35)
    noise = generator.standard_normal((IMAGES, 10)).astype(np.float32)
    return {
        "force_float32": reference,
        "force_float16": reference + np.float32(0.002) * noise,
        "qint8_mixed_float16": reference + np.float32(0.08) * noise,
    }


def top(values: np.ndarray) -> Top:
    """Return the five best classes of each row and their scores, best first."""
    index = np.argsort(-values, axis=1, kind="stable")[:, :5]
    return index.astype(np.int16), np.take_along_axis(values, index, axis=1)


def predictions() -> pa.Table:
    """Return the run's predictions."""
    by_precision = {precision: top(values) for precision, values in scores().items()}
    ids = [f"n{label}" for label in LABELS]
    return predictions_table(NAMES, ids, LABELS, CORRUPT, by_precision)


def run_record() -> RunRecord:
    """Return the run's record."""
    return RunRecord(
        run_id="20261103-093015-tiny",
        created_utc=datetime(2026, 11, 3, 9, 30, 15, tzinfo=UTC),
        parameters={"batch_size": 8, "max_drop": {"qint8_mixed_float16": 0.01}},
        model=ModelRecord(name="tiny", prototxt_sha256="a" * 64, weights_sha256="b" * 64),
        dataset=DatasetRecord(
            name="digits",
            digest="c" * 32,
            images=ImageCounts(
                expected=401,
                scored=398,
                present=400,
                corrupt=2,
                missing=1,
                duplicate=0,
                unlisted=3,
            ),
            calibration_images=300,
        ),
        engine="openvino",
        engine_version="2026.4",
        devices=["cpu:0", "cpu:1"],
        host="a host",
        seconds={"build": 12.5, "decode": 3.25, "infer": 61.0},
        verdict=Verdict.INCONCLUSIVE,
    )
