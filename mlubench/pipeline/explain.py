"""Why a precision answers otherwise: which images, which classes, which layers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from mlubench.engines.precisions import REFERENCE
from mlubench.errors import ConfigError
from mlubench.metrics.classes import class_drops
from mlubench.metrics.layer_noise import LayerNoise, layer_noises
from mlubench.pipeline.devices import addresses
from mlubench.pipeline.gates import read_evaluation
from mlubench.pipeline.layer_graph import layer_graph
from mlubench.pipeline.prepared import Prepared, prepared_again
from mlubench.pipeline.thumbnails import write_thumbnails
from mlubench.reports.accuracy_gates import EvaluatedRun
from mlubench.reports.explanation import Explanation, write_explanation
from mlubench.reports.flips import flips_between
from mlubench.reports.pairing import common_rows, pair_images

#: Images on which layers are compared; each is some thousands to millions of numbers of a layer.
IMAGES = 32

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class _Against:
    """What a precision is explained against.

    Attributes:
        name: in a few words.
        predictions: its answers.
        precision: which of them.
        model: its compiled network.
    """

    name: str
    predictions: pa.Table
    precision: str
    model: Path


def explain(
    run: Path,
    out: Path,
    precision: str | None = None,
    *,
    baseline: Path | None = None,
    images: int = IMAGES,
    progress: Progress = lambda *_: None,
) -> Explanation:
    """Compare a precision of an evaluation with its force_float32, or with another run's.

    The explanation is written to ``explain/<precision>`` in the run folder too, with pictures of
    the images that flipped.

    Args:
        run: the run folder.
        out: folder of runs and caches; what it lacks is compiled and decoded anew.
        precision: which; by default the one with the largest drop.
        baseline: a run of another network or engine, whose same precision it is compared with.
        images: on how many of the scored images the layers are compared.
        progress: called with (images done, images).

    Raises:
        ConfigError: there is no such precision, the baseline's compiled network is gone, or the
            engine does not give its layers' outputs.
        DeviceError: the engine failed.
    """
    ours = read_evaluation(run)
    chosen = precision or _worst(ours, with_reference=baseline is not None)
    for name in (chosen, *(() if baseline else (REFERENCE,))):
        _check_precision(ours, name)
    with prepared_again(ours.record, out) as prepared:
        model = prepared.compiled(chosen).folder
        if baseline is None:
            reference = prepared.compiled(REFERENCE).folder
            against = _Against(REFERENCE, ours.predictions, REFERENCE, reference)
        else:
            against = _baseline(baseline, chosen, prepared)
        rows = chosen_rows(prepared, images)
        layers = compared_layers(prepared, against.model, model, rows, progress)
        names, scored = prepared.network.order.names, prepared.scored
    before, after, _ = common_rows(against.predictions, ours.predictions, chosen, against.precision)
    pairs = pair_images(against.predictions, ours.predictions, chosen, against.precision)
    if not len(pairs):
        raise ConfigError("has no image in common with the run", where=against.name)
    explained = Explanation(
        run=ours.record.run_id,
        precision=chosen,
        against=against.name,
        paired=pairs.paired(),
        flips=flips_between(before, after),
        classes=class_drops(pairs.class_ids, pairs.reference_right, pairs.candidate_right),
        layers=layers,
        images=len(rows),
        class_names=names,
    )
    folder = run / "explain" / chosen
    write_explanation(explained, folder)
    write_thumbnails(folder, explained.flips, scored)
    return explained


def compared_layers(
    prepared: Prepared, reference: Path, candidate: Path, rows: Sequence[int], progress: Progress
) -> list[LayerNoise]:
    """Return every layer's noise in a compiled network against another, worst first.

    Args:
        prepared: the images and the engine.
        reference: a compiled network.
        candidate: likewise, of the same network.
        rows: which of the scored images.
        progress: called with (images done, images).

    Raises:
        ConfigError: the engine does not give its layers' outputs.
        DeviceError: it failed.
    """
    graph = layer_graph(prepared.imported.files)
    host = prepared.devices.host
    request: dict[str, Any] = {
        "do": "noise",
        "reference": str(reference),
        "candidate": str(candidate),
        "pixels": str(prepared.scored.path),
        "shape": list(prepared.scored.shape),
        "rows": list(rows),
    }
    worker = host.start(addresses(prepared.asked.devices)[0])
    try:
        answer = worker.call(
            request, silence=host.silence.build, progress=lambda done: progress(done, len(rows))
        )
    finally:
        worker.close()
    sums = [
        (str(name), float(signal), float(noise), int(count))
        for name, signal, noise, count in answer["layers"]
        if name in graph.kinds
    ]
    return layer_noises(sums, graph.inputs, graph.kinds)


def chosen_rows(prepared: Prepared, images: int) -> list[int]:
    """Return so many of the scored images, evenly spread over all that could be decoded.

    Raises:
        ConfigError: it is less than one.
    """
    if images < 1:
        raise ConfigError(f"is {images}", where="--images", expected="1 or more")
    sound = np.setdiff1d(np.arange(prepared.scored.shape[0]), prepared.scored.corrupt)
    places = np.unique(np.linspace(0, len(sound) - 1, min(images, len(sound))).round())
    return [int(row) for row in sound[places.astype(np.int64)]]


def _worst(run: EvaluatedRun, *, with_reference: bool) -> str:
    """Return the precision with the largest drop, of equals that which agrees least."""
    others = [name for name in run.precisions if with_reference or name != REFERENCE]
    if not others or REFERENCE not in run.precisions:
        return others[0] if others else REFERENCE
    pairs = {
        name: pair_images(run.predictions, run.predictions, name, REFERENCE).paired()
        for name in others
    }
    return max(others, key=lambda name: (pairs[name].drop, -pairs[name].agreement))


def _check_precision(run: EvaluatedRun, precision: str) -> None:
    if precision not in run.precisions:
        raise ConfigError(
            f"the run has no {precision}",
            where=run.record.run_id,
            expected="one of " + ", ".join(run.precisions),
            fix="name one of these with --precision, or run mlubench eval with it",
        )


def _baseline(folder: Path, precision: str, prepared: Prepared) -> _Against:
    """Return a baseline's answers and its compiled network, which the cache must still have."""
    theirs = read_evaluation(folder)
    _check_precision(theirs, precision)
    key = theirs.record.provenance.get(f"{precision}, key", "")
    model = prepared.run.store.root / "compiled" / key
    if not key or not model.is_dir():
        raise ConfigError(
            f"its compiled network of {precision} is not in the cache any more",
            where=theirs.record.run_id,
            expected=str(model),
            fix="run mlubench eval as the baseline was, or leave --baseline out",
        )
    return _Against(theirs.record.run_id, theirs.predictions, precision, model)
