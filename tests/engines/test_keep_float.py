"""Layers that are kept in float, seen in what OpenVINO has compiled."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from mlubench.engines.interface import BuildSpec, Calibration, NetworkFiles, load_engine
from mlubench.engines.magicmind.flags import check
from mlubench.engines.openvino.quantise import operations_of
from mlubench.errors import ConfigError
from tests.engines.test_openvino import SPEC
from tests.support.networks import random_images, write_small_network

INT8 = dataclasses.replace(SPEC, precision="qint8_mixed_float32")


def _quantised(folder: Path) -> set[str]:
    """Return the layers whose weights are quantised, which NNCF says in their names."""
    import openvino as ov

    model = ov.Core().read_model(str(folder / "model.xml"))
    found = set()
    for op in model.get_ordered_ops():
        if op.get_type_name() in ("Convolution", "MatMul"):
            weights = op.input_value(1).get_node()
            if "/fq_weights" in weights.get_friendly_name():
                found.add(op.get_friendly_name().partition("/")[0])
    return found


@pytest.mark.parametrize(
    ("kept", "expected"),
    [
        ((), {"conv1", "conv2", "fc"}),
        (("conv2",), {"conv1", "fc"}),
        (("conv1", "fc"), {"conv2"}),
        (("conv1", "conv2", "fc"), set()),
    ],
)
def test_only_the_others_are_quantised(
    tmp_path: Path, kept: tuple[str, ...], expected: set[str]
) -> None:
    network = write_small_network(tmp_path / "network.onnx")
    spec = dataclasses.replace(INT8, keep_float=kept)
    folder = tmp_path / "model"
    folder.mkdir()
    load_engine("openvino").build(
        NetworkFiles(network), spec, Calibration(random_images(8)), folder
    )
    assert _quantised(folder) == expected


def test_parts_of_a_layer_go_with_it(tmp_path: Path) -> None:
    import openvino as ov

    model = ov.Core().read_model(str(write_small_network(tmp_path / "network.onnx")))
    assert operations_of(model, ["fc"]) == [
        op.get_friendly_name()
        for op in model.get_ordered_ops()
        if op.get_friendly_name().partition("/")[0] == "fc" and op.get_type_name() != "Constant"
    ]
    assert "conv1" in operations_of(model, ["conv1"])
    assert operations_of(model, []) == []


def test_a_layer_named_behind_another_is_none_of_its_parts() -> None:
    """As in inception/3x3: what multiplies weights under a name of its own stays apart."""
    import openvino as ov

    opset = ov.opset13
    data = opset.parameter([1, 3, 8, 8], np.float32, name="data")
    first = opset.relu(data, name="inception")
    filters = opset.constant(np.zeros((3, 3, 1, 1), np.float32))
    second = opset.convolution(first, filters, [1, 1], [0, 0], [0, 0], [1, 1])
    second.set_friendly_name("inception/3x3")
    second.output(0).set_names({"inception/3x3"})
    model = ov.Model([second], [data], "two")
    assert operations_of(model, ["inception"]) == ["inception"]
    assert operations_of(model, ["inception/3x3"]) == ["inception/3x3"]


def test_magicmind_refuses_it() -> None:
    with pytest.raises(ConfigError, match="documents no key that keeps single layers"):
        check(dataclasses.replace(INT8, keep_float=("conv1",)))


def test_it_survives_as_json() -> None:
    spec = dataclasses.replace(INT8, keep_float=("a", "b"))
    assert BuildSpec.from_json(spec.to_json()) == spec
