"""How many of the worst layers must stay in float for a precision to keep its accuracy.

The layers that multiply weights are taken in the order of the noise that each adds; the least
count whose drop is within the budget is found by bisection. What a count needs (the compiled
network, its answers) is kept in the cache, so that a search that was killed goes on where it was.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlubench.devices.shards import cut
from mlubench.engines.precisions import REFERENCE, is_quantised
from mlubench.errors import ConfigError
from mlubench.evaluate.finished_runs import Prepared, prepared_again
from mlubench.evaluate.inference import infer_images
from mlubench.evaluate.options import EvaluateParameters
from mlubench.evaluate.shard_files import Workspace, merge_shards
from mlubench.explain.curve import Fallback, FallbackPoint, write_fallback
from mlubench.explain.explain import chosen_rows, compared_layers
from mlubench.magicmind_sample.options import CompileParameters
from mlubench.metrics.layer_noise import rank_by_added_noise
from mlubench.metrics.paired import Paired, compare_paired
from mlubench.networks.compile import Compiled
from mlubench.networks.layer_graph import layer_graph
from mlubench.runs.record import RunRecord
from mlubench.speed.measure.rounds import interleave
from mlubench.speed.measure.session import Load, Measuring

#: Types of layers that multiply weights, of Caffe and of ONNX: those that quantisation is about.
WEIGHTED = (
    *("Convolution", "Deconvolution", "InnerProduct"),
    *("Conv", "ConvTranspose", "Gemm", "MatMul"),
)
#: Types that change each number by itself, so that they go with the layer before them.
ELEMENTWISE = (
    *("BatchNorm", "Scale", "Bias", "ReLU", "PReLU", "ELU", "Power", "Sigmoid", "TanH"),
    *("BatchNormalization", "Relu", "LeakyRelu", "PRelu", "Elu", "Clip", "Tanh"),
)
#: Each point is measured in so many rounds, in turn; seconds of each.
_ROUNDS = 5
_SECONDS = 0.25
_WARM_UP = 0.1

#: Called with what is being done.
Tell = Callable[[str], None]


@dataclass(frozen=True)
class _Tried:
    """A count of layers in float, evaluated."""

    kept: tuple[str, ...]
    compiled: Compiled
    paired: Paired


def fallback_of_run(
    run: Path, out: Path, precision: str, budget: float, images: int, tell: Tell
) -> Fallback:
    """Search for a run's layers to keep in float; write the curve to explain/<precision>.

    Args:
        run: the folder of an evaluation.
        out: folder of runs and caches.
        precision: as :func:`search_fallback`; so are the others.
        budget: a fraction.
        images: to rank layers by.
        tell: told of each step.

    Raises:
        ConfigError: as :func:`search_fallback`, or the run's inputs are not there any more.
        DeviceError: the engine failed.
    """
    with prepared_again(RunRecord.read(run / "run.json"), out) as prepared:
        found = search_fallback(prepared, precision, budget, images, tell)
    write_fallback(found, run / "explain" / precision)
    return found


def search_fallback(
    prepared: Prepared, precision: str, budget: float, images: int, tell: Tell
) -> Fallback:
    """Find how few of the worst layers must stay in float.

    Args:
        prepared: the evaluation's inputs.
        precision: a quantised one.
        budget: the drop of top-1 against force_float32 that is allowed, as a fraction.
        images: on how many images layers are compared to rank them.
        tell: told of each step.

    Raises:
        ConfigError: the precision is not quantised, or the engine does not keep layers in float.
        DeviceError: the engine failed.
    """
    _check(prepared, precision)
    tell(f"comparing layers of {precision} with {REFERENCE} on {images} images")
    reference, quantised = prepared.compiled(REFERENCE), prepared.compiled(precision)
    rows = chosen_rows(prepared, images)
    noises = compared_layers(prepared, reference.folder, quantised.folder, rows, lambda *_: None)
    graph = layer_graph(prepared.imported.files)
    ranked = rank_by_added_noise(noises, graph.inputs, WEIGHTED, ELEMENTWISE)
    truth = _answers(prepared, reference)
    tried: dict[int, _Tried] = {}

    def drop(count: int) -> float:
        if count not in tried:
            tell(f"{count} of {len(ranked)} layers in float")
            compiled = prepared.compiled(precision, ranked[:count])
            paired = _paired(prepared, truth, _answers(prepared, compiled))
            tried[count] = _Tried(tuple(ranked[:count]), compiled, paired)
        return tried[count].paired.drop

    found = least_count(drop, len(ranked), budget)
    tell(f"measuring the speed of {len(tried) + 1} networks")
    speeds = _speeds(
        prepared, {"": reference, **{str(n): one.compiled for n, one in tried.items()}}
    )
    points = [
        FallbackPoint(count, one.kept, one.paired, tuple(speeds[str(count)]))
        for count, one in sorted(tried.items())
    ]
    kept = tuple(ranked[:found]) if found is not None else None
    return Fallback(
        precision=precision,
        budget=budget,
        ranked=tuple(ranked),
        points=tuple(points),
        reference_speed=tuple(speeds[""]),
        kept=kept,
        command="" if kept is None else compile_command(prepared.asked, precision, kept),
    )


def least_count(drop: Callable[[int], float], most: int, budget: float) -> int | None:
    """Return the least count whose drop is within the budget, by bisection.

    It is the least where more layers in float never lose more; else it is one that is within the
    budget, while one less is not.

    Args:
        drop: of a count; called at most about log2(most) + 2 times.
        most: the largest count.
        budget: the largest drop allowed.

    Returns:
        None where even the largest count is over the budget.
    """
    if drop(0) <= budget:
        return 0
    if not most or drop(most) > budget:
        return None
    over, within = 0, most
    while within - over > 1:
        middle = (over + within) // 2
        if drop(middle) <= budget:
            within = middle
        else:
            over = middle
    return within


def compile_command(asked: EvaluateParameters, precision: str, kept: Sequence[str]) -> str:
    """Return the command line that compiles a network with layers in float.

    It has the evaluation's options that compile knows and that are not the usual ones.
    """
    usual = CompileParameters()
    changes: dict[str, Any] = {
        name: getattr(asked, name)
        for name in CompileParameters.model_fields
        if name in EvaluateParameters.model_fields and getattr(asked, name) != getattr(usual, name)
    }
    changes |= {"precision": precision}
    changes.pop("keep_float", None)
    if kept:
        changes |= {"keep_float": tuple(kept)}
    words = ["mlubench", "compile"]
    for name, value in changes.items():
        words.append(f"--{name}")
        words += _words(value)
    return shlex.join(words)


def _words(value: Any) -> list[str]:
    if isinstance(value, bool):
        return ["true" if value else "false"]
    if isinstance(value, tuple):
        return [f"{one:g}" if isinstance(one, float) else str(one) for one in value]
    return [str(value)]


def _check(prepared: Prepared, precision: str) -> None:
    if not is_quantised(precision):
        raise ConfigError(
            f"{precision} is not quantised: all of its layers are in float",
            where="--precision",
            expected="a qint8 or qint16 precision",
            fix="name one with --precision",
        )
    if prepared.asked.keep_float:
        raise ConfigError(
            f"the run kept layers in float already: {', '.join(prepared.asked.keep_float)}",
            where="--budget",
            expected="a run without --keep_float",
            fix="search from a run that quantised every layer",
        )


def _answers(prepared: Prepared, compiled: Compiled) -> NDArray[np.integer]:
    """Return the best class of each image, inferred unless the cache has the answers."""
    scored, asked = prepared.scored, prepared.asked
    count = len(scored.records)

    def build(folder: Path) -> None:
        shards = cut(count, asked.batch_size, asked.shards, len(asked.devices))
        infer_images(
            prepared.devices,
            compiled,
            scored,
            shards,
            prepared.network.order,
            Workspace(folder),
            lambda *_: None,
        )

    parts = {"network": compiled.key, "images": scored.path.parent.name}
    folder = prepared.run.store.get("answers", parts, build)
    top_index, _ = merge_shards(sorted(folder.rglob("*.parquet")), count)
    return top_index[:, 0]


def _paired(
    prepared: Prepared, reference: NDArray[np.integer], candidate: NDArray[np.integer]
) -> Paired:
    sound = np.setdiff1d(np.arange(len(reference)), prepared.scored.corrupt)
    labels = prepared.chosen.labels
    return compare_paired(reference[sound], candidate[sound], labels[sound])


def _speeds(prepared: Prepared, networks: Mapping[str, Compiled]) -> dict[str, list[float]]:
    """Return images per second of each network in each round, measured in turn."""
    asked = prepared.asked
    found: dict[str, list[float]] = {key: [] for key in networks}
    with Measuring(prepared.devices.host, asked.devices) as measuring:
        loads: dict[str, Load] = {}
        for key, network in networks.items():
            shapes = (measuring.prepare(key, network.folder).default_shapes(asked.batch_size),)
            loads[key] = Load(shapes=shapes, infer_depth=measuring.infer_depth, warmup=0.0)
            measuring.configure(key, loads[key])
        for order in interleave(list(networks), _ROUNDS):
            for key in order:
                measuring.warm_up(key, _WARM_UP)
                one = measuring.measure(key, loads[key], iterations=10, duration=_SECONDS)
                found[key].append(one.throughput)
    return found
