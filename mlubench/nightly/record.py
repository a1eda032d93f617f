"""summary.json: how a nightly ended, run by run and gate by gate."""

from __future__ import annotations

from typing import Literal

from pydantic import AwareDatetime, JsonValue, NonNegativeFloat, NonNegativeInt

from mlubench.metrics.verdict import Verdict
from mlubench.runs.record import Record
from mlubench.runs.verdict import GateRecord


class ExplainedLayer(Record):
    """A layer of an explanation; see :class:`mlubench.metrics.layer_noise.LayerNoise`.

    Attributes:
        layer: its name in the network.
        kind: its type.
        snr_db: decibels; None where both outputs are equal, or there is noise alone.
        begins: whether the difference begins in it.
    """

    layer: str
    kind: str
    snr_db: float | None
    begins: bool


class ExplainedImage(Record):
    """An image that was lost, with the names of its classes."""

    image: str
    true: str
    before: str
    after: str


class ExplainedClass(Record):
    """A class that lost; of how many images."""

    class_id: str
    lost: NonNegativeInt
    won: NonNegativeInt
    images: NonNegativeInt


class Explained(Record):
    """Why a precision answers otherwise, the worst of it; the whole lies in the run's folder.

    Attributes:
        precision: which.
        against: force_float32 of the same run, or another run's id.
        images: that were compared.
        lost: of them.
        won: of them.
        layers: worst first.
        layer_images: on how many images layers were compared.
        origins: layers in which differences begin, in the network's order.
        no_layers: why there are no layers; empty where there are.
        lost_images: the first ones.
        classes: the surest loss first.
    """

    precision: str
    against: str
    images: NonNegativeInt
    lost: NonNegativeInt
    won: NonNegativeInt
    layers: tuple[ExplainedLayer, ...] = ()
    layer_images: NonNegativeInt = 0
    origins: tuple[str, ...] = ()
    no_layers: str = ""
    lost_images: tuple[ExplainedImage, ...] = ()
    classes: tuple[ExplainedClass, ...] = ()


class RunEnding(Record):
    """How one evaluation or benchmark of a nightly ended.

    Attributes:
        name: as the suite has it.
        kind: which flow ran it.
        verdict: the worst of its gates'; ``not_judged`` where it broke or was skipped.
        exit_status: as of a command of its own.
        baseline: what it was judged by: another run's id, ``published``, or empty.
        gates: one by one.
        error: why it has no result; empty where it has one.
        skipped: what the host lacked; empty where it ran.
        notes: what else a reader must know.
        run_id: the name of its folder in ``runs``; empty where it has none.
        report: its page, relative to the folder of all artifacts; empty where it has none.
        seconds: how long it took.
        model: the network.
        engine: the engine.
        precisions: those of the run.
        explained: why gates on accuracy failed, the worst precision first.
        since: since which runs figures are what they are, a sentence each.
    """

    name: str
    kind: Literal["evaluation", "benchmark"]
    verdict: Verdict = Verdict.NOT_JUDGED
    exit_status: NonNegativeInt = 0
    baseline: str = ""
    gates: tuple[GateRecord, ...] = ()
    error: str = ""
    skipped: str = ""
    notes: tuple[str, ...] = ()
    run_id: str = ""
    report: str = ""
    seconds: NonNegativeFloat = 0.0
    model: str = ""
    engine: str = ""
    precisions: tuple[str, ...] = ()
    explained: tuple[Explained, ...] = ()
    since: tuple[str, ...] = ()


class NightlyRecord(Record):
    """summary.json, version 1.

    Attributes:
        schema_version: 1.
        kind: ``nightly``.
        run_id: the name of the nightly's folder.
        created_utc: when it started.
        suite: the suite's name.
        description: the suite's own.
        parameters: the options that it was given.
        host: where it ran.
        seconds: how long it took.
        verdict: the worst of its runs'.
        exit_status: of the command; see :func:`mlubench.nightly.results.exit_status`.
        runs: in the suite's order.
    """

    schema_version: Literal[1] = 1
    kind: Literal["nightly"] = "nightly"
    run_id: str
    created_utc: AwareDatetime
    suite: str
    description: str
    parameters: dict[str, JsonValue]
    host: str
    seconds: NonNegativeFloat
    verdict: Verdict
    exit_status: NonNegativeInt
    runs: tuple[RunEnding, ...]
