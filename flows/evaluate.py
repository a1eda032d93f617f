"""Judge one network in several precisions.

choose the images -> fetch the network and import it -> decode the images once -> compile once per
precision -> cut the images into shards -> infer the shards on the devices -> merge and judge.

With ``runner`` dask, the hosts of a Dask cluster infer the shards; all else is done here.

With ``artifacts``, what another host has made is taken from the store that it names, and what is
made here, the run with it, is put there.

Decoding goes on while workers start, while networks are compiled and while the first of them infers
what is decoded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import replace
from functools import partial

from prefect import flow
from prefect.client.schemas.objects import State

from flows.ending import ended
from flows.service.lifeline import end_with_worker
from flows.service.server import answers
from mlubench.devices.engine_host import engine_host
from mlubench.devices.pool import DevicePool
from mlubench.devices.shards import cut
from mlubench.engines.interface import BuildSpec
from mlubench.errors import DeviceError
from mlubench.evaluate.images import ChosenImages
from mlubench.evaluate.options import EvaluateParameters
from mlubench.evaluate.results import Evaluation, Outcome
from mlubench.evaluate.shard_files import unfinished_shards
from mlubench.images.decoding.decoder import Decoding
from mlubench.networks.calibration import CalibrationImages
from mlubench.networks.choose import Network, choose_network
from mlubench.networks.compile import Compiled, build_spec
from mlubench.networks.importing import ImportedNetwork
from mlubench.networks.layer_graph import check_keep_float
from mlubench.presentation.text import verdict_text
from mlubench.runs.folders import Run
from mlubench.runs.record import TuningRecord
from mlubench.runs.sharing import RUNS
from mlubench.speed.measure.batch_tuning import other_batches
from mlubench.store import Store
from tasks.cluster import dask_hosts, infer_on_hosts
from tasks.evaluation import infer_images, publish, search_batch, tune_networks, write_run
from tasks.images import choose_images, decode_images
from tasks.networks import compile_network, fetch_network, import_network
from tasks.progress import remark
from tasks.sharing import open_run, share

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
    images = Decoding(chosen.scored, network.preprocess, run.decoded, run.depot)
    devices = DevicePool(engine_host(asked.engine, asked.conf), asked.devices)
    with images:
        decoded = decode_images.submit(images, "scored")  # the workers start meanwhile
        with devices, dask_hosts(asked, devices, answers) as hosts:
            for spec in specs:
                devices.check(spec)
            # What was asked for is known to be right before anything but decoding takes long.
            imported = _imported(network, asked, run)
            with run.stage("decode"):
                calibration = _decode_calibration(chosen, network, run)

            compiler = partial(_compile, imported, calibration, devices, run)
            compiled, tuning = compiler(specs), dict[str, TuningRecord]()
            if asked.tune:
                decoded.result()  # while something is measured, nothing else may have the cores
                alike = {asked.batch_size: compiled, **_in_other_batches(asked, specs, compiler)}
                with run.stage("tune"):
                    batch, tuning = _tuned(alike, devices, run.store)
                asked, compiled = asked.model_copy(update={"batch_size": batch}), alike[batch]
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
                    begun=run.begun,
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


def _imported(network: Network, asked: EvaluateParameters, run: Run) -> ImportedNetwork:
    if network.to_fetch is not None:
        with run.stage("fetch"):
            fetch_network(network.to_fetch)
    with run.stage("import"):
        imported = import_network(network, run.store)
    check_keep_float(imported.files, asked.keep_float)
    return imported


def _in_other_batches(
    asked: EvaluateParameters,
    specs: Sequence[BuildSpec],
    compiler: Callable[[Sequence[BuildSpec]], list[Compiled]],
) -> dict[int, list[Compiled]]:
    """Return what the usual batch is compared with: nothing where the batch was asked for."""
    compiled = {}
    for batch in other_batches(asked.engine, asked.batch_size) if asked.batch_open else ():
        try:
            compiled[batch] = compiler([replace(spec, batch_size=batch) for spec in specs])
        except DeviceError as error:
            remark(f"batches of {batch} are not tried: {error.where}: {error.what}")
    return compiled


def _tuned(
    alike: Mapping[int, list[Compiled]], devices: DevicePool, store: Store
) -> tuple[int, dict[str, TuningRecord]]:
    """Return the best batch, and how devices are best kept busy with it.

    A device may have no room for all that is compared; then it does what it usually does.
    """
    (batch, *others), searches = alike, dict[str, TuningRecord]()
    try:
        if others:
            batch, searches = search_batch(devices, alike, store)
        searches |= tune_networks(devices, alike[batch], batch, store)
    except DeviceError as error:
        remark(f"what could not be tuned is left as usual: {error.where}: {error.what}")
    return batch, searches


def _compile(
    imported: ImportedNetwork,
    calibration: CalibrationImages | None,
    devices: DevicePool,
    run: Run,
    specs: Sequence[BuildSpec],
) -> list[Compiled]:
    with run.stage("compile"):
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
