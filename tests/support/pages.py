"""A run folder that has all that a page can show, written without running anything."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from mlubench.evaluate.flips import FlipPart, find_flips
from mlubench.evaluate.thumbnails import write_thumbnails
from mlubench.explain.curve import Fallback, FallbackPoint, write_fallback
from mlubench.explain.explanation import Explanation, write_explanation
from mlubench.images.decoding.cache import DecodedImages, ImageRecord
from mlubench.metrics.classes import class_drops
from mlubench.metrics.layer_noise import LayerNoise
from mlubench.metrics.paired import compare_right
from mlubench.metrics.verdict import Verdict
from mlubench.runs.history import append_accuracy
from mlubench.runs.parquet import read_parquet
from mlubench.runs.record import PublishedRecord, RunRecord
from mlubench.runs.schemas import ACCURACY, PREDICTIONS
from mlubench.runs.verdict import Gate
from mlubench.verdicts.judge import Judged, record_verdict
from tests.support.runs import PRECISIONS, answers, right_ones, write_evaluation

REFERENCE, INT8 = PRECISIONS
IMAGES = 400
#: Images that int8 loses in the last nights.
LOST = 50
#: The first night of the lower level.
STEP = 5
NIGHTS = 9
LAYERS = 20
HOSTILE = "<img src=x onerror=alert(1)>\"'&"


def write_nights(out: Path, nights: int = NIGHTS, images: int = IMAGES) -> Path:
    """Write evaluations of that many nights and their history; return the last one's folder."""
    for night in range(nights):
        lost = right_ones(images)[:LOST] if night >= STEP else []
        best = {REFERENCE: answers(images), INT8: answers(images, lost)}
        run = write_evaluation(
            out,
            night,
            best,
            images=images,
            corrupt=(images - 1,),
            label_order="digits",
            damage={f"image_{images - 1:05d}.JPEG": HOSTILE},
            weights="b" * 64 if night < STEP else "d" * 64,
            published=(PublishedRecord(source=HOSTILE, precision=REFERENCE, top1=0.81, top5=0.95),),
        )
        record = RunRecord.read(run / "run.json")
        with append_accuracy(
            out / "history", record, read_parquet(run / "accuracy.parquet", ACCURACY)
        ):
            pass
    return run


def decoded_images(folder: Path, images: int) -> DecodedImages:
    """Write pixels of the images that :func:`write_evaluation` has; each has its own grey."""
    shape = (images, 64, 48, 3)
    path = folder / "pixels"
    pixels = np.zeros(shape, np.uint8)
    pixels += (np.arange(images) % 256).astype(np.uint8)[:, np.newaxis, np.newaxis, np.newaxis]
    path.write_bytes(pixels.tobytes())
    records = tuple(
        ImageRecord(f"image_{place:05d}.JPEG", "0" * 64, "scored", "", "")
        for place in range(images)
    )
    return DecodedImages(path, shape, records, "c" * 32, ())


def flips_of(run: Path) -> list[FlipPart]:
    """Return a run's flipped images."""
    return find_flips(read_parquet(run / "predictions.parquet", PREDICTIONS))


def explanation(run: Path, against: str = REFERENCE) -> Explanation:
    """Return what was found out about int8: the worst layer has a hostile name."""
    right = np.ones(100, bool)
    wrong = right.copy()
    wrong[:3] = False
    ids = np.full(100, "zero")
    ratios = {"conv1": 40.0, "pool1": 41.0, HOSTILE: 7.5, "fc": 12.0, "split": math.inf}
    ratios |= {f"conv{number}": 30.0 for number in range(2, LAYERS - 3)}
    layers = [
        LayerNoise(name, "Convolution", place, ratio, None, place == 0, 1000)
        for place, (name, ratio) in enumerate(ratios.items())
    ]
    return Explanation(
        run=run.name,
        precision=INT8,
        against=against,
        paired=compare_right(right, wrong, 0.97),
        flips=[flip for part in flips_of(run) for flip in part.flips],
        classes=class_drops(ids, right, wrong),
        layers=sorted(layers, key=lambda one: (one.snr_db, one.place)),
        images=32,
        class_names=[f"class {number}" for number in range(10)],
    )


def fallback() -> Fallback:
    """Return a search that found one layer."""
    right = np.ones(1000, bool)
    points = []
    for count, lost in ((0, 30), (1, 4), (3, 0)):
        now = right.copy()
        now[:lost] = False
        kept = (HOSTILE, "conv1", "fc")[:count]
        speed = tuple(float(300 - 40 * count + number) for number in range(5))
        points.append(FallbackPoint(count, kept, compare_right(right, now, 0.99), speed))
    return Fallback(
        precision=INT8,
        budget=0.005,
        ranked=(HOSTILE, "conv1", "fc"),
        points=points,
        reference_speed=(100.0, 101.0, 102.0, 103.0, 104.0),
        kept=(HOSTILE,),
        command="mlubench compile --keep_float conv1",
    )


def judged(run: Path) -> Judged:
    """Return what was said of a run: one gate of each kind, the failed one last."""
    gates = [
        Gate("images", "corrupt", Verdict.PASS, "0 of 400 images corrupt, 0 allowed"),
        Gate("model", "tiny", Verdict.INCONCLUSIVE, HOSTILE),
        Gate("accuracy-float32", INT8, Verdict.FAIL, "top-1 drop 12.50 points, limit 0.50"),
    ]
    return Judged(run.name, "20261101-020000-tiny", gates, ("another host than the baseline's",))


def write_whole_run(out: Path, images: int = IMAGES) -> Path:
    """Write a run with a history, a verdict, pictures, an explanation and a search."""
    run = write_nights(out, images=images)
    write_thumbnails(run, flips_of(run), decoded_images(out, images))
    folder = run / "explain" / INT8
    write_explanation(explanation(run), folder)
    write_fallback(fallback(), folder)
    record_verdict(judged(run), out)
    return run
