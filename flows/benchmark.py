"""Measure how fast one network is in several precisions.

fetch the network and import it -> compile once per precision, batch and shape -> (tune) -> load
all of them -> measure every configuration in each round, in turn -> write the tables.
"""

from __future__ import annotations

from dataclasses import replace

from prefect import flow
from prefect.client.schemas.objects import State

from flows.ending import ended
from flows.service.lifeline import end_with_worker
from mlubench.devices.engine_host import engine_host
from mlubench.devices.names import build_addresses
from mlubench.engines.precisions import is_quantised
from mlubench.images.decoding.decoder import Decoding
from mlubench.networks.calibration import CalibrationImages, calibration_dataset
from mlubench.networks.choose import Network, network_in_any_order
from mlubench.runs.folders import Run
from mlubench.runs.sharing import RUNS
from mlubench.speed.benchmark.options import BenchParameters
from mlubench.speed.benchmark.results import Benchmark, BenchOutcome
from mlubench.speed.benchmark.rounds import bench_spec, variants
from mlubench.speed.measure.session import Measuring
from tasks.benchmark import (
    measure_rounds,
    publish_benchmark,
    tune_configurations,
    write_benchmark,
)
from tasks.images import decode_images
from tasks.networks import compile_network, fetch_network, import_network
from tasks.sharing import open_run, share


@flow(name="benchmark", flow_run_name="{parameters.name}")
def benchmark(parameters: BenchParameters) -> State[BenchOutcome]:
    """Measure throughput and latency of a network; see ``mlubench bench --help``."""
    end_with_worker()
    run = open_run(parameters)
    with run.in_use():
        outcome = _benchmark(parameters, run)
    if run.depot is not None:
        unshared = share(run.depot, run.out, RUNS, outcome.record.run_id)
        outcome = replace(outcome, unshared=unshared)
    publish_benchmark(outcome)
    return ended(outcome, outcome.unshared or "measured", passed=outcome.exit_status == 0)


def _benchmark(asked: BenchParameters, run: Run) -> BenchOutcome:
    network = network_in_any_order(asked)
    if network.to_fetch is not None:
        with run.stage("fetch"):
            fetch_network(network.to_fetch)
    with run.stage("import"):
        imported = import_network(network, run.store, ordered=False)
    calibration = _decode_calibration(asked, network, run)
    engine = engine_host(asked.engine, asked.conf)
    with Measuring(engine, asked.devices) as measuring:
        with run.stage("compile"):
            compiled = {
                variant: compile_network(
                    imported,
                    bench_spec(network, asked, variant, calibrated=calibration is not None),
                    calibration,
                    engine,
                    measuring.engine,
                    run.store,
                    build_addresses(engine.name, asked.devices),
                )
                for variant in variants(asked)
            }
        tuning = {}
        if asked.tune:
            with run.stage("tune"):
                tuning = tune_configurations(measuring, asked, compiled, run.store)
        with run.stage("measure"):
            measured = measure_rounds(measuring, asked, compiled, tuning)
        return write_benchmark(
            Benchmark(
                asked=asked,
                network=network,
                imported=imported,
                measured=measured,
                engine_name=measuring.label(engine.name),
                engine=measuring.engine,
                devices=measuring.descriptions,
                seconds=run.seconds,
                tuning=tuning,
            ),
            run.runs,
        )


def _decode_calibration(
    asked: BenchParameters, network: Network, run: Run
) -> CalibrationImages | None:
    """Decode the images to calibrate on, where there are some and something is calibrated."""
    images = calibration_dataset(asked, network, run.data)
    if images is None or not any(map(is_quantised, asked.precision)):
        return None
    with run.stage("decode"):
        decoding = Decoding(images, network.preprocess, run.decoded, run.depot)
        pixels = decode_images(decoding, "calibration")
    return CalibrationImages(pixels, network.preprocess)
