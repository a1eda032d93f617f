"""What the real SDK may take silently while a network is calibrated is refused."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.simulated_sdk_tests.lifecycle import (
    Plan,
    activate,
    build,
    calibrate,
    calibration_data,
    configure,
    prepared,
)
from tests.support.networks import SIDE
from tests.support.simulated_sdk import misuse

ORIGINAL = [4, 3, SIDE, SIDE]


def test_quantised_without_calibration(mm: Any, quantised: Plan, tmp_path: Path) -> None:
    with misuse("was not calibrated and there are no custom_ranges"):
        build(mm, dataclasses.replace(quantised, samples=()), tmp_path / "model")


def test_custom_ranges_take_the_place_of_calibration(
    mm: Any, quantised: Plan, tmp_path: Path
) -> None:
    more = [{"custom_ranges": {"": {"max": [1], "min": [-1]}}}]
    build(mm, dataclasses.replace(quantised, samples=(), more=more), tmp_path / "model")
    with misuse("the config has custom_ranges, too"):
        build(mm, dataclasses.replace(quantised, more=more), tmp_path / "model")


def test_calibration_of_what_is_not_quantised(mm: Any, quantised: Plan, tmp_path: Path) -> None:
    with misuse("the precision is not quantised"):
        build(mm, dataclasses.replace(quantised, precision="force_float16"), tmp_path / "model")


def test_calibration_without_a_card(mm: Any, quantised: Plan) -> None:
    network, config = prepared(mm, quantised)
    calibrator = mm.Calibrator([calibration_data(mm, quantised.samples)])
    assert calibrator.set_quantization_algorithm(mm.QuantizationAlgorithm.LINEAR_ALGORITHM).ok()
    with misuse("there is no card"):
        calibrator.calibrate(network, config)


def test_calibration_on_a_remote_card(mm: Any, quantised: Plan) -> None:
    network, config = prepared(mm, quantised)
    calibrator = mm.Calibrator([calibration_data(mm, quantised.samples)])
    assert calibrator.set_quantization_algorithm(mm.QuantizationAlgorithm.LINEAR_ALGORITHM).ok()
    remote = mm.RemoteConfig()
    with misuse("the address '' is no ip:port"):
        calibrator.set_remote(remote)
    remote.address = "127.0.0.1:9009"
    assert calibrator.set_remote(remote).ok()
    assert calibrator.calibrate(network, config).ok()
    with misuse("RemoteConfig.port: there is no such field"):
        remote.port = 9009


def test_calibration_without_an_algorithm(mm: Any, quantised: Plan) -> None:
    network, config = prepared(mm, quantised)
    activate(mm)
    with misuse("set_quantization_algorithm was not called"):
        mm.Calibrator([calibration_data(mm, quantised.samples)]).calibrate(network, config)


def test_eqnm_with_asymmetric_activations(mm: Any, quantised: Plan, tmp_path: Path) -> None:
    more = [{"precision_config": {"activation_quant_algo": "asymmetric"}}]
    plan = dataclasses.replace(quantised, algorithm="EQNM_ALGORITHM", more=more)
    with misuse("EQNM does not go with asymmetric"):
        build(mm, plan, tmp_path / "model")


def test_the_order_around_calibration(mm: Any, quantised: Plan) -> None:
    network, config = prepared(mm, quantised)
    assert network.get_input(0).set_data_type(mm.DataType.UINT8).ok()
    with misuse("set_data_type was called before"):
        calibrate(mm, network, config, quantised)

    network, config = prepared(mm, quantised)
    calibrate(mm, network, config, quantised)
    with misuse("it comes after calibrate; shapes are set before"):
        network.get_input(0).set_dimension(mm.Dims(ORIGINAL))
    with misuse("the config was used by Calibrator.calibrate already"):
        config.parse_from_string("{}")
    with misuse("the network is calibrated already"):
        calibrate(mm, network, config, quantised)
    with misuse("the config is another than the network was calibrated with"):
        mm.Builder().build_model("model", network, configure(mm, quantised))
    assert network.get_input(0).set_data_type(mm.DataType.UINT8).ok()
    assert mm.Builder().build_model("model", network, config) is not None


def _samples_of(change: Callable[[np.ndarray], np.ndarray]) -> Callable[[Plan], list[np.ndarray]]:
    return lambda plan: [change(sample) for sample in plan.samples]


@pytest.mark.parametrize(
    ("samples", "told"),
    [
        (lambda plan: [], "there is no sample"),
        (_samples_of(lambda one: one.astype(np.float64)), "there is no float64"),
        (_samples_of(lambda one: one.astype(np.uint8)), "a sample is uint8"),
        (_samples_of(lambda one: one.transpose(0, 2, 3, 1)), "the network's original input is"),
        (_samples_of(lambda one: one[:1]), "the network's original input is"),
        (_samples_of(lambda one: one[0]), "the network's original input is"),
        (_samples_of(lambda one: one * 58 + 110), "values that no normalised pixel has"),
    ],
)
def test_calibration_data_that_are_not_the_original_input(
    samples: Callable[[Plan], list[np.ndarray]], told: str, mm: Any, quantised: Plan, tmp_path: Path
) -> None:
    plan = dataclasses.replace(quantised, samples=samples(quantised))
    network, config = prepared(mm, plan)
    with misuse(told):
        calibrate(mm, network, config, plan)


def _data(mm: Any, plan: Plan, **methods: Any) -> Any:
    base = type(calibration_data(mm, plan.samples))
    return type("Data", (base,), methods)()


@pytest.mark.parametrize(
    ("name", "method", "told"),
    [
        ("next", lambda self: True, "the answer is a bool"),
        ("reset", lambda self: None, "CalibDataInterface.reset: the answer is None"),
        ("get_sample", lambda self: self.current.tolist(), "the answer is a list"),
        ("get_sample", lambda self: self.current.astype(np.float64), "a sample is float64"),
        ("get_sample", lambda self: self.current.transpose(3, 1, 2, 0), "not C-contiguous"),
        ("get_shape", lambda self: self.current.shape, "the answer is a tuple"),
        ("get_data_type", lambda self: self.current.dtype, "the answer is a "),
    ],
)
def test_calibration_data_of_the_wrong_kind(
    name: str, method: Any, told: str, mm: Any, quantised: Plan
) -> None:
    network, config = prepared(mm, quantised)
    activate(mm)
    calibrator = mm.Calibrator([_data(mm, quantised, **{name: method})])
    assert calibrator.set_quantization_algorithm(mm.QuantizationAlgorithm.LINEAR_ALGORITHM).ok()
    with misuse(told):
        calibrator.calibrate(network, config)


def test_a_reset_that_does_not_go_back(mm: Any, quantised: Plan) -> None:
    """Of an algorithm that reads twice the second reading would have other samples, or none."""
    network, config = prepared(mm, quantised)
    activate(mm)

    def reset(self: Any) -> Any:
        self.next_index, self.resets = self.resets, self.resets + 1
        return mm.Status.OK()

    calibrator = mm.Calibrator([_data(mm, quantised, reset=reset)])
    assert calibrator.set_quantization_algorithm(mm.QuantizationAlgorithm.LINEAR_ALGORITHM).ok()
    with misuse(r"after reset\(\) the samples are others"):
        calibrator.calibrate(network, config)


def test_what_data_may_report(mm: Any, quantised: Plan) -> None:
    """Other Statuses than the end of the data are failures of the calibration."""
    network, config = prepared(mm, quantised)
    activate(mm)
    bad = mm.Status(mm.Code.SIMULATED_FAILURE, "the disk is gone")
    calibrator = mm.Calibrator([_data(mm, quantised, next=lambda self: bad)])
    assert calibrator.set_quantization_algorithm(mm.QuantizationAlgorithm.LINEAR_ALGORITHM).ok()
    status = calibrator.calibrate(network, config)
    assert not status.ok()
    assert "the disk is gone" in str(status)


def test_who_may_give_calibration_data(mm: Any, quantised: Plan) -> None:
    class WithoutInit(mm.CalibDataInterface):
        def __init__(self) -> None:
            pass

    class Incomplete(mm.CalibDataInterface):
        pass

    with misuse("data is a WithoutInit"):
        mm.Calibrator(WithoutInit())
    with misuse("calibration data is a list"):
        mm.Calibrator([[1]])
    with misuse(r"WithoutInit did not call super\(\).__init__"):
        mm.Calibrator([WithoutInit()])
    network, config = prepared(mm, quantised)
    activate(mm)
    calibrator = mm.Calibrator([Incomplete()])
    assert calibrator.set_quantization_algorithm(mm.QuantizationAlgorithm.LINEAR_ALGORITHM).ok()
    with misuse("Incomplete does not define all of next"):
        calibrator.calibrate(network, config)
    network, config = prepared(mm, quantised)
    two = mm.Calibrator([calibration_data(mm, quantised.samples) for _ in range(2)])
    assert two.set_quantization_algorithm(mm.QuantizationAlgorithm.LINEAR_ALGORITHM).ok()
    with misuse("there are data for 2 inputs, the network has 1"):
        two.calibrate(network, config)
