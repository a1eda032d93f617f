"""What the real SDK may take silently while a model is built is refused."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.simulated_sdk_tests.lifecycle import (
    Plan,
    build,
    configure,
    parse,
    prepared,
)
from tests.support.networks import SIDE
from tests.support.simulated_sdk import misuse

ORIGINAL = [4, 3, SIDE, SIDE]


# ---- configuration


@pytest.mark.parametrize(
    ("piece", "told"),
    [
        ({"no_such_key": 1}, "key 'no_such_key': there is no such key"),
        ({"precision_config": {"mode": "x"}}, "key 'precision_config.mode': there is no such"),
        ({"precision_config": {"precision_mode": "forced_float32"}}, "is none of force_float32"),
        ({"precision_config": {"weight_quant_granularity": "axis"}}, "none of per_tensor"),
        ({"precision_config": {"activation_quant_algo": True}}, "none of symmetric"),
        ({"precision_config": "force_float32"}, "there is no such key"),
        ({"archs": "mtp_372"}, "no list of chips"),
        ({"archs": ["mtp_371"]}, "'mtp_371' is none of the chips"),
        ({"archs": [{"mtp_372": ["6"]}]}, "no list of numbers of clusters"),
        ({"archs": [{"mtp_372": [0]}]}, "no list of numbers of clusters"),
        ({"graph_shape_mutable": 1}, "1 is none of True"),
        ({"graph_shape_mutable": "true"}, "'true' is none of True"),
        ({"dim_range": {"0": {"min": [1, 3]}}}, "has not the keys max, min"),
        ({"dim_range": {"data": {"min": [1], "max": [2]}}}, "tensors' numbers"),
        ({"dim_range": {"0": {"min": [0], "max": [2]}}}, "are no sizes"),
        ({"insert_bn_before_firstnode": {"0": {"mean": [1]}}}, "has not the keys mean, var"),
        ({"insert_bn_before_firstnode": {"0": {"mean": [1], "var": [0]}}}, "are no variances"),
        ({"convert_input_layout": {"0": {"src": "NCHW", "dst": "NCHW"}}}, "what it already is"),
        ({"convert_input_layout": {"0": {"src": "NCHW", "dst": "NTC"}}}, "is no conversion"),
        ({"opt_config": {"conv_scale_fold": "true"}}, "none of True"),
        ({"opt_config": {"clustering_launch_enable": False}}, "gone since MagicMind 1.6"),
        ({"computation_preference": "precise"}, "none of auto, fast, high_precision"),
        ({"cross_compile_toolchain_path": 1}, "is no string"),
        ({"debug_config": {"print_ir": {"print_level": "1"}}}, "is no integer"),
        ({"custom_ranges": {"conv1": {"min": [-1], "max": [1]}}}, "only the empty name"),
        ({"custom_ranges": {"": {"min": [1], "max": [1]}}}, "is no range"),
    ],
)
def test_keys_and_values_that_there_are_not(piece: Any, told: str, mm: Any) -> None:
    config = mm.BuilderConfig()
    with misuse(told):
        config.parse_from_string(json.dumps(piece))


def test_all_documented_keys_are_taken(mm: Any, tmp_path: Path) -> None:
    config = mm.BuilderConfig()
    pieces = [
        {"precision_config": {"precision_mode": "qint16_mixed_float16"}},
        {"precision_config": {"weight_quant_granularity": "per_axis"}},
        {"precision_config": {"activation_quant_algo": "asymmetric"}},
        {"archs": ["mtp_322.10", "mtp_372"]},
        {"archs": [{"mtp_372": [2, 6, 8]}]},
        {"graph_shape_mutable": True},
        {"dim_range": {"0": {"min": [1, 3, 16, 16], "max": [64, 3, 16, 16]}}},
        {"insert_bn_before_firstnode": {"0": {"mean": [103.94], "var": [3460.2]}}},
        {"convert_input_layout": {"0": {"src": "NCHW", "dst": "NHWC"}}},
        {"convert_output_layout": {"0": {"src": "NCDHW", "dst": "NDHWC"}}},
        {"opt_config": {"type64to32_conversion": True, "conv_scale_fold": False}},
        {"cross_compile_toolchain_path": "/opt/toolchain/"},
        {"computation_preference": "high_precision", "compute_determinism": True},
        {"debug_config": {"fusion_enable": False, "print_ir": {"print_level": 1}}},
        {"custom_ranges": {"": {"max": [1], "min": [-1]}}},
    ]
    for piece in pieces:
        assert config.parse_from_string(json.dumps(piece)).ok()
    path = tmp_path / "config.json"
    path.write_text(json.dumps({"precision_config": {"precision_mode": "force_float16"}}))
    assert config.parse_from_file(str(path)).ok()
    assert config._get("precision_config.precision_mode") == "force_float16"
    assert config._get("precision_config.weight_quant_granularity") == "per_axis"


def test_text_that_is_no_json_is_a_bad_status(mm: Any, tmp_path: Path) -> None:
    config = mm.BuilderConfig()
    assert not config.parse_from_string("{'graph_shape_mutable': True}").ok()
    assert not config.parse_from_string("[]").ok()
    assert not config.parse_from_file(str(tmp_path / "absent.json")).ok()


@pytest.mark.parametrize(
    ("act", "told"),
    [
        (lambda config: config.parse_from_string({"a": 1}), "json_text is a dict"),
        (lambda config: config.parse_from_file(Path("x")), "path is a .*Path"),
        (lambda config: setattr(config, "archs", ["mtp_372"]), "BuilderConfig.archs: there is no"),
        (lambda config: setattr(config, "mlu_archs", "mtp_372"), "mlu_archs is a str"),
        (lambda config: setattr(config, "mlu_archs", ["x"]), "none of the chips"),
        (
            lambda config: config.parse_from_string(
                '{"computation_preference": "fast", "computation_preference": "auto"}'
            ),
            "it stands there twice",
        ),
    ],
)
def test_a_config_used_wrongly(act: Callable[[Any], Any], told: str, mm: Any) -> None:
    config = mm.BuilderConfig()
    with misuse(told):
        act(config)


def test_two_lists_of_chips_that_differ(mm: Any, small: Plan, tmp_path: Path) -> None:
    more = [{"archs": ["mtp_592"]}]
    with misuse("but mlu_archs has"):
        build(mm, dataclasses.replace(small, more=more), tmp_path / "model")


# ---- parsing and networks


def test_what_a_parser_takes(mm: Any, small: Plan, tmp_path: Path) -> None:
    from magicmind.python.runtime.parser import Parser
    from magicmind.simulation.ledger import SimulatedSdkLimit

    path = str(small.files[0])
    onnx, caffe = mm.ModelKind.kOnnx, mm.ModelKind.kCaffe
    with misuse("the kind is a str"):
        Parser("kOnnx")
    with pytest.raises(SimulatedSdkLimit):
        Parser(mm.ModelKind.kPytorch)
    with misuse("network is a .*, not a Network"):
        Parser(onnx).parse(path, mm.Network())
    with misuse("onnx is a PosixPath"):
        Parser(onnx).parse(mm.Network(), small.files[0])
    with misuse("kCaffe takes the files caffemodel, prototxt"):
        Parser(caffe).parse(mm.Network(), path)
    with misuse("kCaffe has no parameter 'onnx-input-dtypes'"):
        Parser(caffe).set_model_param("onnx-input-dtypes", [mm.DataType.FLOAT32])
    with misuse("a type is a str"):
        Parser(onnx).set_model_param("onnx-input-dtypes", ["FLOAT"])
    assert Parser(onnx).set_model_param("onnx-input-dtypes", [mm.DataType.FLOAT32]).ok()
    assert not Parser(onnx).parse(mm.Network(), str(tmp_path / "absent.onnx")).ok()
    assert not Parser(onnx).parse(mm.Network(), __file__).ok()
    network = parse(mm, small)
    with misuse("the network holds a parsed network already"):
        Parser(onnx).parse(network, path)


def test_caffe_files_the_wrong_way_round_are_a_bad_status(mm: Any) -> None:
    from magicmind.python.runtime.parser import Parser

    sample = Path(__file__).resolve().parents[2] / "conf" / "sample"
    files = [str(sample / f"se_resnet50_digits.{end}") for end in ("prototxt", "caffemodel")]
    status = Parser(mm.ModelKind.kCaffe).parse(mm.Network(), *files)
    assert not status.ok()
    assert "se_resnet50_digits" in status.error_message()


def test_an_empty_network(mm: Any) -> None:
    with misuse("nothing was parsed"):
        mm.Network().get_input_count()


def test_calls_after_the_build(mm: Any, small: Plan) -> None:
    from magicmind.python.runtime.parser import Parser

    network, config = prepared(mm, small)
    assert mm.Builder().build_model("model", network, config) is not None
    with misuse("Parser.parse: the network was built already"):
        Parser(mm.ModelKind.kOnnx).parse(network, str(small.files[0]))
    with misuse("it comes after build_model"):
        network.get_input(0).set_dimension(mm.Dims(ORIGINAL))
    with misuse("it comes after build_model"):
        network.get_input(0).set_data_type(mm.DataType.UINT8)
    with misuse("it comes after build_model"):
        mm.Builder().build_model("model", network, config)
    with misuse("the config was used by Builder.build_model already"):
        config.parse_from_string("{}")
    with misuse("the config was used by Builder.build_model already"):
        config.mlu_archs = ["mtp_372"]


@pytest.mark.parametrize(
    ("act", "told"),
    [
        (lambda mm, tensor: mm.Dims(4), "sizes is a int"),
        (lambda mm, tensor: mm.Dims([4.0]), "a size of the shape is a float"),
        (lambda mm, tensor: mm.Dims([0, 3]), r"\[0, 3\] is no shape"),
        (lambda mm, tensor: mm.Dims([4, 3]).GetDimValue(2), "has no axis 2"),
        (lambda mm, tensor: mm.Dims([4]) == mm.Dims([4]), "compared with =="),
        (lambda mm, tensor: tensor.set_dimension([4, 3, 16, 16]), "dims is a list"),
        (lambda mm, tensor: tensor.set_data_type("UINT8"), "data_type is a str"),
        (lambda mm, tensor: mm.QuantizationAlgorithm(1) and mm.Status("bad"), "not a mm.Code"),
    ],
)
def test_shapes_and_types_of_the_wrong_kind(
    act: Callable[[Any, Any], Any], told: str, mm: Any, small: Plan
) -> None:
    tensor = parse(mm, small).get_input(0)
    with misuse(told):
        act(mm, tensor)


def test_a_shape_that_the_network_has_not_is_a_bad_status(mm: Any, small: Plan) -> None:
    network = parse(mm, small)
    assert not network.get_input(0).set_dimension(mm.Dims([4, 3, 32, 32])).ok()
    assert not network.get_input(0).set_dimension(mm.Dims([4, SIDE, SIDE, 3])).ok()
    assert network.get_input(0).get_dimension().GetDims() == [-1, 3, SIDE, SIDE]
    with misuse("an output has the shape that the network gives"):
        network.get_output(0).set_dimension(mm.Dims([4, 10]))
    with misuse("there is no number 1"):
        network.get_input(1)


# ---- building


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({"dim_range": {"0": {"min": ORIGINAL, "max": ORIGINAL}}}, "graph_shape_mutable true only"),
        ({"insert_bn_before_firstnode": {"0": {"mean": [1, 2], "var": [1, 2]}}}, "each channel"),
        ({"convert_input_layout": {"0": {"src": "NHWC", "dst": "NCHW"}}}, "own layout is not"),
        ({"convert_input_layout": {"0": {"src": "NCT", "dst": "NTC"}}}, "number of axes than 4"),
        ({"convert_output_layout": {"0": {"src": "NCHW", "dst": "NHWC"}}}, "number of axes than 2"),
        (
            {"convert_input_layout": {str(one): {"src": "NCHW", "dst": "NHWC"} for one in (0, 1)}},
            "convert_input_layout has 1, there is no such tensor",
        ),
    ],
)
def test_settings_that_do_not_fit_the_network(
    more: Any, told: str, mm: Any, small: Plan, tmp_path: Path
) -> None:
    with misuse(told):
        build(mm, dataclasses.replace(small, more=[more]), tmp_path / "model")


@pytest.mark.parametrize(
    ("least", "most", "told"),
    [
        ([1, SIDE, SIDE, 3], [8, SIDE, SIDE, 3], "in the network's original layout"),
        ([5, 3, SIDE, SIDE], [8, 3, SIDE, SIDE], "does not hold the original shape"),
        ([1], [8], "dim_range has not 4 sizes"),
    ],
)
def test_ranges_of_a_dynamic_network(
    least: list[int], most: list[int], told: str, mm: Any, small: Plan, tmp_path: Path
) -> None:
    more = [{"dim_range": {"0": {"min": least, "max": most}}}]
    with misuse(told):
        build(mm, dataclasses.replace(small, dynamic=True, more=more), tmp_path / "model")


def test_a_static_network_without_a_fixed_shape(mm: Any, small: Plan) -> None:
    network = parse(mm, small)
    with misuse("a static model needs a fixed shape"):
        mm.Builder().build_model("model", network, configure(mm, small))


@pytest.mark.parametrize(
    ("missing", "told"),
    [
        ("graph_shape_mutable", "graph_shape_mutable is not set"),
        ("precision_config.precision_mode", "no precision_config.precision_mode is set"),
    ],
)
def test_defaults_that_are_not_documented(missing: str, told: str, mm: Any, small: Plan) -> None:
    network, config = prepared(mm, small)
    del config._values[missing]
    with misuse(told):
        mm.Builder().build_model("model", network, config)


def test_bn_makes_the_input_uint8(mm: Any, small: Plan) -> None:
    network, config = prepared(mm, small)
    assert network.get_input(0).set_data_type(mm.DataType.FLOAT32).ok()
    with misuse("insert_bn_before_firstnode makes it UINT8"):
        mm.Builder().build_model("model", network, config)


def test_a_builder_given_the_wrong_things(mm: Any, small: Plan) -> None:
    network, config = prepared(mm, small)
    with misuse("name is a Network"):
        mm.Builder().build_model(network, config, "model")
    with misuse("nothing was parsed"):
        mm.Builder().build_model("model", mm.Network(), config)


def test_numpys_types(mm: Any) -> None:
    from magicmind.python.common.types import get_datatype_by_numpy, get_numpy_dtype_by_datatype

    for data_type in mm.DataType:
        if not data_type.name.startswith("Q"):
            assert get_datatype_by_numpy(get_numpy_dtype_by_datatype(data_type)) is data_type
    with misuse("NumPy has no QINT8"):
        get_numpy_dtype_by_datatype(mm.DataType.QINT8)
    with misuse("there is no float64"):
        get_datatype_by_numpy(np.float64)
