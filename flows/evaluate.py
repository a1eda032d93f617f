"""Judge one network in several precisions.

choose the images -> fetch the network and import it -> decode the images once -> compile once per
precision -> cut the images into shards -> infer the shards on the devices -> merge and judge.
"""

from __future__ import annotations

from prefect import flow
from prefect.client.schemas.objects import State

from flows.ending import ended
from flows.lifeline import end_with_worker
from mlubench.pipeline.compile import CalibrationImages, build_spec
from mlubench.pipeline.devices import engine_host
from mlubench.pipeline.dispatch import DevicePool
from mlubench.pipeline.images import ChosenImages
from mlubench.pipeline.layer_graph import check_keep_float
from mlubench.pipeline.network import Network, choose_network
from mlubench.pipeline.outcome import Evaluation, Outcome
from mlubench.pipeline.parameters import EvaluateParameters
from mlubench.pipeline.run import Run
from mlubench.pipeline.shards import cut
from mlubench.pipeline.workspace import unfinished_shards
from mlubench.reports.wording import verdict_text
from tasks.images import choose_images, decode_images
from tasks.inference import infer_images
from tasks.networks import compile_network, fetch_network, import_network
from tasks.outcome import publish, write_run


@flow(name="evaluate", flow_run_name="{parameters.name}")
def evaluate(parameters: EvaluateParameters) -> State[Outcome]:
    """Judge a Caffe classifier in several precisions; see ``mlubench eval --help``."""
    end_with_worker()
    run = Run(parameters.out)
    with run.in_use():
        outcome = _evaluate(parameters, run)
    publish(outcome)
    verdict = verdict_text(outcome.record.verdict)
    if outcome.exit_status:
        verdict = "; ".join(outcome.notes()) or verdict
    return ended(outcome, verdict, passed=outcome.exit_status == 0)


def _evaluate(asked: EvaluateParameters, run: Run) -> Outcome:
    network = choose_network(asked)
    specs = [build_spec(network, asked, precision) for precision in asked.precision]
    chosen = choose_images(asked, network.order, run.data)
    with DevicePool(engine_host(asked.engine, asked.conf), asked.devices) as devices:
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
            scored = decode_images(chosen.scored, network, run.decoded, "scored")
            calibration = _decode_calibration(chosen, network, run)
        with run.stage("compile"):
            compiled = [
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
        with unfinished_shards(run.unfinished, scored, compiled) as kept:
            shards = cut(len(scored.records), asked.batch_size, asked.shards, len(asked.devices))
            with run.stage("infer"):
                inferred = [
                    infer_images(devices, one, scored, shards, network.order, kept)
                    for one in compiled
                ]
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
                devices=devices.descriptions,
                started=run.started,
                seconds=run.seconds,
                compile_seconds={
                    one.precision: one.seconds for one in compiled if one.seconds is not None
                },
                lost=devices.lost,
            )
            outcome = write_run(evaluation, run.runs)
            kept.clear()
    return outcome


def _decode_calibration(
    chosen: ChosenImages, network: Network, run: Run
) -> CalibrationImages | None:
    if chosen.calibration is None:
        return None
    pixels = decode_images(chosen.calibration, network, run.decoded, "calibration")
    return CalibrationImages(pixels, network.preprocess)
