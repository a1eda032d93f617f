"""Why a precision answers otherwise: which images, which classes, which layers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mlubench.devices.names import addresses
from mlubench.engines.precisions import REFERENCE
from mlubench.errors import ConfigError
from mlubench.evaluate.finished_runs import EvaluatedRun, Prepared, prepared_again, read_evaluation
from mlubench.evaluate.flips import flips_between, parts_of
from mlubench.evaluate.predictions import common_rows, pair_images
from mlubench.evaluate.thumbnails import write_thumbnails
from mlubench.explain.explanation import Explanation, write_explanation
from mlubench.images.datasets.labels import label_order
from mlubench.images.decoding.cache import DecodedImages
from mlubench.metrics.classes import class_drops
from mlubench.metrics.layer_noise import LayerNoise, layer_noises
from mlubench.networks.layer_graph import layer_graph

#: Images on which layers are compared; each is some thousands to millions of numbers of a layer.
IMAGES = 32

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class _Compared:
    """The layers of a precision against the reference's or the baseline's.

    Attributes:
        layers: worst first.
        images: on how many images.
        class_names: of the network, in its own order.
        scored: the decoded images, where there are any.
        fault: why there are no layers.
    """

    layers: Sequence[LayerNoise]
    images: int
    class_names: Sequence[str]
    scored: DecodedImages | None = None
    fault: str = ""


def explain(
    run: Path,
    out: Path,
    precision: str | None = None,
    *,
    baseline: Path | None = None,
    images: int = IMAGES,
    progress: Progress = lambda *_: None,
    layers_needed: bool = True,
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
        layers_needed: whether it is an error that layers cannot be compared; else images and
            classes will do, and the reason is told.

    Raises:
        ConfigError: there is no such precision; and, where layers are needed, the baseline's
            compiled network is gone, or the engine does not give its layers' outputs.
        DeviceError: the engine failed.
    """
    ours = read_evaluation(run)
    chosen = precision or _worst(ours, with_reference=baseline is not None)
    _check_precision(ours, chosen)
    _check_images(images)
    theirs = ours if baseline is None else read_evaluation(baseline)
    of = REFERENCE if baseline is None else chosen
    _check_precision(theirs, of)
    try:
        compared = _compare(ours, theirs, (of, chosen), out, images, progress)
    except ConfigError as error:
        if layers_needed or not ours.record.label_order:
            raise
        names = label_order(ours.record.label_order).names
        compared = _Compared((), 0, names, fault=str(error))
    before, after, _ = common_rows(theirs.predictions, ours.predictions, chosen, of)
    pairs = pair_images(theirs.predictions, ours.predictions, chosen, of)
    against = REFERENCE if baseline is None else theirs.record.run_id
    if not len(pairs):
        raise ConfigError("has no image in common with the run", where=against)
    explained = Explanation(
        run=ours.record.run_id,
        precision=chosen,
        against=against,
        paired=pairs.paired(),
        flips=flips_between(before, after),
        classes=class_drops(pairs.class_ids, pairs.reference_right, pairs.candidate_right),
        layers=compared.layers,
        images=compared.images,
        class_names=compared.class_names,
        no_layers=compared.fault,
    )
    folder = run / "explain" / chosen
    write_explanation(explained, folder)
    if compared.scored is not None:
        write_thumbnails(folder, parts_of(explained.flips), compared.scored)
    return explained


def _compare(
    ours: EvaluatedRun,
    theirs: EvaluatedRun,
    precisions: tuple[str, str],
    out: Path,
    images: int,
    progress: Progress,
) -> _Compared:
    """Compare layers: the first precision of the one run, the second of the other."""
    of, chosen = precisions
    with prepared_again(ours.record, out) as prepared:
        model = prepared.compiled(chosen).folder
        if theirs is ours:
            reference = prepared.compiled(of).folder
        else:
            reference = _compiled_before(theirs, of, prepared)
        rows = chosen_rows(prepared, images)
        layers = compared_layers(prepared, reference, model, rows, progress)
        return _Compared(layers, len(rows), prepared.network.order.names, prepared.scored)


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
    _check_images(images)
    sound = np.setdiff1d(np.arange(prepared.scored.shape[0]), prepared.scored.corrupt)
    places = np.unique(np.linspace(0, len(sound) - 1, min(images, len(sound))).round())
    return [int(row) for row in sound[places.astype(np.int64)]]


def _check_images(images: int) -> None:
    if images < 1:
        raise ConfigError(f"is {images}", where="--images", expected="1 or more")


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


def _compiled_before(theirs: EvaluatedRun, precision: str, prepared: Prepared) -> Path:
    """Return a baseline's compiled network, which the cache must still have."""
    key = theirs.record.provenance.get(f"{precision}, key", "")
    model = prepared.run.store.root / "compiled" / key
    if not key or not model.is_dir():
        raise ConfigError(
            f"its compiled network of {precision} is not in the cache any more",
            where=theirs.record.run_id,
            expected=str(model),
            fix="run mlubench eval as the baseline was, or leave --baseline out",
        )
    return model
