"""Judge one network in several precisions.

choose the images -> fetch the network and import it -> decode the images once -> compile once per
precision -> cut the images into shards -> infer the shards on the devices -> merge and judge.

With ``runner`` dask, the hosts of a Dask cluster infer the shards; all else is done here.

With ``artifacts``, what another host has made is taken from the store that it names, and what is
made here, the run with it, is put there.

Decoding goes on while networks are compiled and while the first of them infers what is decoded.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar

from prefect import flow
from prefect.client.schemas.objects import State

from flows.ending import ended
from flows.lifeline import end_with_worker
from flows.server import answers
from mlubench.engines.interface import BuildSpec
from mlubench.images.decoding import Decoding
from mlubench.pipeline.compile import CalibrationImages, Compiled, build_spec
from mlubench.pipeline.devices import engine_host
from mlubench.pipeline.dispatch import DevicePool
from mlubench.pipeline.images import ChosenImages
from mlubench.pipeline.layer_graph import check_keep_float
from mlubench.pipeline.network import ImportedNetwork, Network, choose_network
from mlubench.pipeline.outcome import Evaluation, Outcome
from mlubench.pipeline.parameters import EvaluateParameters
from mlubench.pipeline.run import Run
from mlubench.pipeline.shards import cut
from mlubench.pipeline.shared_runs import RUNS
from mlubench.pipeline.workspace import unfinished_shards
from mlubench.reports.wording import verdict_text
from tasks.artifacts import open_run, share
from tasks.images import choose_images, decode_images
from tasks.inference import infer_images, tune_networks
from tasks.networks import compile_network, fetch_network, import_network
from tasks.outcome import publish, write_run
from tasks.remote import dask_hosts, infer_on_hosts

#: What the command line has looked at already, to tell what is wrong before Prefect starts.
_looked_at: ContextVar[tuple[EvaluateParameters, ChosenImages] | None] = ContextVar(
    "looked_at", default=None
)


@contextmanager
def images_at_hand(parameters: EvaluateParameters, chosen: ChosenImages) -> Iterator[None]:
    """Let a flow of these parameters that begins within take the images as they were chosen."""
    token = _looked_at.set((parameters, chosen))
    try:
        yield
    finally:
        _looked_at.reset(token)


@flow(name="evaluate", flow_run_name="{parameters.name}")
def evaluate(parameters: EvaluateParameters) -> State[Outcome]:
    """Judge a Caffe classifier in several precisions; see ``mlubench eval --help``."""
    end_with_worker()
    run = open_run(parameters)
    with run.in_use():
        outcome = _evaluate(parameters, run)
    if run.depot is not None:
        outcome = outcome.shared(share(run.depot, run.out, RUNS, outcome.record.run_id))
    publish(outcome)
    verdict = verdict_text(outcome.record.verdict)
    if outcome.exit_status:
        verdict = "; ".join(outcome.notes()) or verdict
    return ended(outcome, verdict, passed=outcome.exit_status == 0)


def _evaluate(asked: EvaluateParameters, run: Run) -> Outcome:
    network = choose_network(asked)
    specs = [build_spec(network, asked, precision) for precision in asked.precision]
    chosen = _at_hand(asked) or choose_images(asked, network.order, run.data)
    with (
        DevicePool(engine_host(asked.engine, asked.conf), asked.devices) as devices,
        Decoding(chosen.scored, network.preprocess, run.decoded, run.depot) as images,
        dask_hosts(asked, devices, answers) as hosts,
    ):
        for spec in specs:
            devices.check(spec)
        # What was asked for is known to be right before anything takes long.
        if network.to_fetch is not None:
            with run.stage("fetch"):
                fetch_network(network.to_fetch)
        with run.stage("import"):
            imported = import_network(network, run.store)
        check_keep_float(imported.files, asked.keep_float)
        with run.stage("decode"):
            calibration = _decode_calibration(chosen, network, run)
        decoded = decode_images.submit(images, "scored")
        with run.stage("compile"):
            compiled = _compile(imported, specs, calibration, devices, run)
        tuning = {}
        if asked.tune:
            decoded.wait()  # while something is measured, nothing else may have the cores
            with run.stage("tune"):
                tuning = tune_networks(devices, compiled, asked.batch_size, run.store)
        with unfinished_shards(run.unfinished, images, compiled) as kept:
            slots = hosts.slots if hosts else len(asked.devices)
            shards = cut(images.shape[0], asked.batch_size, asked.shards, slots)
            with run.stage("infer"):
                inferred = [
                    infer_on_hosts(hosts, devices, one, images, shards, network.order, kept)
                    if hosts
                    else infer_images(devices, one, images, shards, network.order, kept, tuning)
                    for one in compiled
                ]
            scored = decoded.result()
            run.seconds["decode"] += images.seconds
            evaluation = Evaluation(
                asked=asked,
                network=network,
                imported=imported,
                chosen=chosen,
                scored=scored,
                calibrated_on=len(calibration.sound()) if calibration else 0,
                unfit=calibration.unfit() if calibration else (),
                inferred=inferred,
                engine_name=devices.label(asked.engine),
                engine=devices.engine,
                devices=(hosts or devices).descriptions,
                seconds=run.seconds,
                compile_seconds={
                    one.precision: one.seconds for one in compiled if one.seconds is not None
                },
                lost=(hosts or devices).lost,
                tuning=tuning,
            )
            outcome = write_run(evaluation, run.runs)
            kept.clear()
    return outcome


def _compile(
    imported: ImportedNetwork,
    specs: Sequence[BuildSpec],
    calibration: CalibrationImages | None,
    devices: DevicePool,
    run: Run,
) -> list[Compiled]:
    return [
        compile_network(
            imported,
            spec,
            calibration,
            devices.host,
            devices.engine,
            run.store,
            devices.build_addresses(),
        )
        for spec in specs
    ]


def _at_hand(asked: EvaluateParameters) -> ChosenImages | None:
    parameters, chosen = _looked_at.get() or (None, None)
    return chosen if parameters == asked else None


def _decode_calibration(
    chosen: ChosenImages, network: Network, run: Run
) -> CalibrationImages | None:
    if chosen.calibration is None:
        return None
    images = Decoding(chosen.calibration, network.preprocess, run.decoded, run.depot)
    return CalibrationImages(decode_images(images, "calibration"), network.preprocess)
