"""OpenVINO's networks measured: right answers from every lane, layers by name, real pinning."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from mlubench.engines.interface import BuildSpec, Calibration, Engine, NetworkFiles, load_engine
from mlubench.engines.measuring import MeasureSetup
from mlubench.engines.openvino.measuring import file_names, own_layer
from mlubench.errors import ConfigError
from tests.support.networks import CLASSES, SIDE, random_images, write_small_network

SPEC = BuildSpec(
    precision="force_float32",
    batch_size=2,
    dynamic_shape=False,
    input_size=(SIDE, SIDE),
    means=(104.0, 117.0, 123.0),
    variances=(3460.0, 3400.0, 3300.0),
)
CORES = len(os.sched_getaffinity(0))


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_small_network(tmp_path_factory.mktemp("network") / "network.onnx")


def _build(network: Path, folder: Path, **changes: Any) -> Path:
    spec = dataclasses.replace(SPEC, **changes)
    folder.mkdir(parents=True, exist_ok=True)
    images = Calibration(random_images(8))
    load_engine("openvino").build(NetworkFiles(network), spec, images, folder)
    return folder


@pytest.fixture(scope="module")
def model(network: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _build(network, tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def engine() -> Engine:
    return load_engine("openvino")


def _reference(network: Path, images: np.ndarray, tensor: str = "prob") -> np.ndarray:
    import onnxruntime

    loaded = onnx.load(network)
    if tensor != "prob":
        loaded.graph.output.add().name = tensor
    session = onnxruntime.InferenceSession(
        loaded.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    pixels = (images - np.array(SPEC.means)) / np.sqrt(np.array(SPEC.variances))
    (found,) = session.run([tensor], {"data": pixels.transpose(0, 3, 1, 2).astype(np.float32)})
    return np.asarray(found)


def test_the_network_tells_its_tensors(engine: Engine, model: Path) -> None:
    measured = engine.measure(model, MeasureSetup())
    (data,), (prob,) = measured.inputs, measured.outputs
    assert (data.name, data.dims, data.dtype) == ("data", (2, SIDE, SIDE, 3), "uint8")
    assert (prob.name, prob.dims, prob.dtype) == ("prob", (2, CLASSES), "float32")
    assert measured.executed_precision == "float32"


def test_open_dimensions_are_told_and_filled(engine: Engine, network: Path, tmp_path: Path) -> None:
    measured = engine.measure(
        _build(network, tmp_path, dynamic_shape=True), MeasureSetup(requests=1)
    )
    assert measured.inputs[0].dims == (-1, SIDE, SIDE, 3)
    lanes = measured.lanes(1)
    for count in (3, 1, 5):
        images = random_images(count, seed=count)
        lane = lanes.next_free()
        lane.copy_in([images])
        lane.start()
        lane.wait()
        np.testing.assert_allclose(
            lane.copy_out()[0], _reference(network, images), rtol=1e-4, atol=1e-5
        )


@pytest.mark.parametrize("count", [1, 3])
def test_lanes_answer_with_what_they_were_given(
    engine: Engine, network: Path, model: Path, count: int
) -> None:
    batches = [random_images(2, seed=seed) for seed in range(9)]
    lanes = engine.measure(model, MeasureSetup()).lanes(count)
    given: dict[int, int] = {}
    answers: dict[int, np.ndarray] = {}
    for number, batch in enumerate(batches):
        lane = lanes.next_free()
        if id(lane) in given:
            answers[given.pop(id(lane))] = lane.copy_out()[0]
        lane.copy_in([batch])
        lane.start()
        given[id(lane)] = number
    for lane in lanes.lanes:
        if id(lane) in given:
            lane.wait()
            answers[given.pop(id(lane))] = lane.copy_out()[0]
    assert sorted(answers) == list(range(9))
    for number, batch in enumerate(batches):
        np.testing.assert_allclose(
            answers[number], _reference(network, batch), rtol=1e-4, atol=1e-5
        )


def test_lanes_are_free_again_in_a_second_run(engine: Engine, model: Path) -> None:
    lanes = engine.measure(model, MeasureSetup()).lanes(3)
    for _ in range(2):
        started = []
        for _ in range(3):
            lane = lanes.next_free()
            lane.copy_in([random_images(2)])
            lane.start()
            started.append(lane)
        assert len({id(lane) for lane in started}) == 3
        for lane in started:
            lane.wait()


def test_a_request_has_its_time_by_openvinos_clock(engine: Engine, model: Path) -> None:
    lane = engine.measure(model, MeasureSetup()).lanes(1).next_free()
    lane.copy_in([random_images(2)])
    lane.start()
    lane.wait()
    assert lane.device_seconds is not None
    assert lane.device_seconds > 0
    assert lane.done_at > 0


def test_notified_lanes_tell_whichever_is_done(engine: Engine, network: Path, model: Path) -> None:
    lanes = engine.measure(model, MeasureSetup()).notified_lanes(3)
    batches = {id(lane): random_images(2, seed=7 + n) for n, lane in enumerate(lanes.lanes)}
    for lane in lanes.lanes:
        lane.copy_in([batches[id(lane)]])
        lane.start()
    done = [lanes.next_done() for _ in range(3)]
    assert {id(lane) for lane in done} == set(batches)
    for lane in done:
        np.testing.assert_allclose(
            lane.copy_out()[0], _reference(network, batches[id(lane)]), rtol=1e-4, atol=1e-5
        )


@pytest.mark.parametrize(
    ("setup", "streams"),
    [
        (MeasureSetup(), CORES),
        (MeasureSetup(streams=1), 1),
        (MeasureSetup(requests=1), 1),
        (MeasureSetup(requests=CORES + 9), CORES),
    ],
    ids=str,
)
def test_streams(engine: Engine, model: Path, setup: MeasureSetup, streams: int) -> None:
    measured: Any = engine.measure(model, setup)
    assert measured._compiled.get_property("NUM_STREAMS") == streams


def test_more_streams_than_cores_are_refused(engine: Engine, model: Path) -> None:
    with pytest.raises(ConfigError, match="--streams") as raised:
        engine.measure(model, MeasureSetup(streams=CORES + 1))
    assert f"1 to {CORES}" in raised.value.expected


def test_further_operations_are_refused(engine: Engine, model: Path) -> None:
    with pytest.raises(ConfigError, match="--plugin"):
        engine.measure(model, MeasureSetup(plugin=("libmine.so",)))


@pytest.mark.parametrize("precision", ["force_float32", "qint8_mixed_float32"])
def test_layers_have_the_networks_own_names(
    engine: Engine, network: Path, tmp_path: Path, precision: str
) -> None:
    built = _build(network, tmp_path, precision=precision)
    measured = engine.measure(built, MeasureSetup(profile=True))
    lanes = measured.lanes(2)
    for _ in range(6):
        lane = lanes.next_free()
        lane.copy_in([random_images(2)])
        lane.start()
    for lane in lanes.lanes:
        lane.wait()
    layers = measured.layer_times()
    names = {name for one in layers for name in one.layer.split(" + ")}
    own = {name for name in names if not name.startswith("(")}
    assert {"conv1", "relu1", "conv2", "pool", "fc"} <= own
    assert own <= {"conv1", "relu1", "conv2", "pool", "flat", "fc", "prob"}
    assert all(one.seconds >= 0 for one in layers)
    convolutions = [one for one in layers if one.kind == "Convolution"]
    assert len(convolutions) == 2
    assert all(one.seconds > 0 for one in convolutions)
    if precision == "qint8_mixed_float32":
        assert any(one.arithmetic.endswith("I8") for one in convolutions)


def test_what_quantisation_put_behind_a_name_is_taken_off() -> None:
    tensors = {"conv1", "fire2/squeeze1x1"}
    assert own_layer("conv1", tensors) == "conv1"
    assert own_layer("conv1/fq_output_0", tensors) == "conv1"
    assert own_layer("fire2/squeeze1x1/fq_weights_1/x", tensors) == "fire2/squeeze1x1"
    assert own_layer("Convert_17", tensors) == ""
    assert file_names(["fire2/squeeze1x1"]) == ["fire2_squeeze1x1"]
    assert file_names(["a/b", "a_b", "a/b_2"]) == ["a_b", "a_b_2", "a_b_2_2"]


def test_a_dump_has_every_layer(engine: Engine, network: Path, model: Path, tmp_path: Path) -> None:
    images = random_images(2, seed=9)
    names = engine.dump(model, [images], tmp_path)
    assert {"conv1", "relu1", "conv2", "pool", "fc", "prob"} <= set(names)
    assert {path.name for path in tmp_path.iterdir()} == {f"{name}.npy" for name in names}
    for name in ("conv1", "relu1", "conv2", "fc", "prob"):
        np.testing.assert_allclose(
            np.load(tmp_path / f"{name}.npy"),
            _reference(network, images, name),
            rtol=1e-3,
            atol=1e-4,
        )
