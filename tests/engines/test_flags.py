"""Every compile flag: its effect on the compiled network, or its refusal by name."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import openvino as ov
import pytest
from onnx import TensorProto, helper

from mlubench.engines.interface import BuildSpec, Calibration, NetworkFiles, load_engine
from mlubench.engines.openvino.flags import BUILD_CONFIG_KEYS, MLU_ONLY
from mlubench.errors import ConfigError
from tests.engines.test_openvino import SPEC, _reference, _scores
from tests.support.networks import CLASSES, SIDE, random_images, write_small_network

INT8 = dataclasses.replace(SPEC, precision="qint8_mixed_float32")
IMAGES = random_images(11)


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_small_network(tmp_path_factory.mktemp("network") / "network.onnx")


class Built:
    """A compiled network: its IR, and its scores of some images."""

    def __init__(self, network: Path, folder: Path, spec: BuildSpec) -> None:
        folder.mkdir(parents=True)
        calibration = Calibration(random_images(30, seed=2))
        load_engine("openvino").build(NetworkFiles(network), spec, calibration, folder)
        self.folder = folder
        self.model = ov.Core().read_model(folder / "model.xml")
        self.input, self.output = self.model.input(0), self.model.output(0)

    def scores(self) -> np.ndarray:
        return _scores(self.folder, IMAGES)

    def activation_ranges(self) -> list[tuple[float, float]]:
        return [
            tuple(float(op.input_value(place).get_node().data.item()) for place in (1, 2))
            for op in self.model.get_ops()
            if op.get_type_name() == "FakeQuantize"
        ]

    def weight_scales(self) -> list[int]:
        """How many scales the int8 weights of each layer have."""
        found = []
        for op in self.model.get_ordered_ops():
            if op.get_type_name() == "Multiply":
                sources = [op.input_value(place).get_node() for place in (0, 1)]
                kinds = [source.get_type_name() for source in sources]
                if kinds == ["Convert", "Constant"]:
                    found.append(int(np.prod(sources[1].get_output_shape(0))))
        return sorted(found)

    def digest(self) -> str:
        files = sorted(self.folder.iterdir())
        return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()


@pytest.fixture
def build(network: Path, tmp_path: Path) -> Any:
    count = iter(range(99))

    def build(spec: BuildSpec = SPEC, **flags: Any) -> Built:
        return Built(network, tmp_path / str(next(count)), dataclasses.replace(spec, **flags))

    return build


def test_input_layout_and_type_change_the_input_and_no_score(build: Any) -> None:
    plain = build()
    assert (list(plain.input.shape), plain.input.element_type) == ([4, SIDE, SIDE, 3], ov.Type.u8)
    scores = plain.scores()
    planar = build(input_layout="NCHW")
    assert list(planar.input.shape) == [4, 3, SIDE, SIDE]
    np.testing.assert_array_equal(planar.scores(), scores)
    real = build(input_dtypes="FLOAT")
    assert real.input.element_type == ov.Type.f32
    np.testing.assert_array_equal(real.scores(), scores)


def test_half_scores(build: Any) -> None:
    half = build(output_dtypes="HALF")
    assert half.output.element_type == ov.Type.f16
    scores = half.scores()
    assert scores.dtype == np.float32
    np.testing.assert_array_equal(scores, build().scores().astype(np.float16))


def test_output_layout_needs_four_axes(network: Path, build: Any, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="2 axes") as caught:
        build(output_layout="NHWC")
    assert caught.value.where == "--output_layout"
    four = onnx.load(network)
    del four.graph.output[:]
    four.graph.node.append(helper.make_node("Unsqueeze", ["prob", "axes"], ["prob4"], "prob4"))
    four.graph.initializer.append(helper.make_tensor("axes", TensorProto.INT64, [2], [2, 3]))
    shape = ["N", CLASSES, 1, 1]
    four.graph.output.append(helper.make_tensor_value_info("prob4", TensorProto.FLOAT, shape))
    onnx.save(four, tmp_path / "four.onnx")
    for layout, expected in (("", [4, CLASSES, 1, 1]), ("NHWC", [4, 1, 1, CLASSES])):
        spec = dataclasses.replace(SPEC, output_layout=layout)
        built = Built(tmp_path / "four.onnx", tmp_path / f"four{layout}", spec)
        assert list(built.output.shape) == expected
        np.testing.assert_allclose(built.scores(), _reference(network, IMAGES), atol=1e-5)


def test_rgb2bgr_reverses_the_channels_before_means_and_variances(
    network: Path, build: Any
) -> None:
    expected = _reference(network, IMAGES[..., ::-1])
    np.testing.assert_allclose(build(rgb2bgr=True).scores(), expected, atol=1e-5)
    assert np.abs(expected - _reference(network, IMAGES)).max() > 1e-3
    # int8 must be calibrated on the reversed images too.
    np.testing.assert_allclose(build(INT8, rgb2bgr=True).scores(), expected, atol=0.05)


def test_calibration_sees_reversed_channels() -> None:
    images = random_images(1)
    spec = dataclasses.replace(SPEC, rgb2bgr=True)
    (reversed_,) = Calibration(images).normalised(spec)
    (plain,) = Calibration(images[..., ::-1]).normalised(SPEC)
    np.testing.assert_array_equal(reversed_, plain)


def test_a_range_of_batches(build: Any) -> None:
    built = build(dynamic_shape=True, dim_range=(3, 64))
    batch = built.input.partial_shape[0]
    assert (batch.get_min_length(), batch.get_max_length()) == (3, 64)
    # 11 images in batches of 4: the last is full enough, a single image is filled up.
    np.testing.assert_array_equal(built.scores(), build().scores())
    alone = _scores(built.folder, IMAGES[:1])
    np.testing.assert_allclose(alone, built.scores()[:1], atol=1e-6)


def test_linear_and_eqnm_ranges(build: Any) -> None:
    linear = build(INT8, calibration_algo="linear").activation_ranges()
    usual = build(INT8).activation_ranges()
    eqnm = build(INT8, calibration_algo="eqnm").activation_ranges()
    pixels = list(Calibration(random_images(30, seed=2)).normalised(SPEC))
    largest = max(float(np.abs(image).max()) for image in pixels)
    # Symmetric int8 is -128 to 127 steps: its low end is the largest magnitude or one step over.
    assert any(abs(-low - largest) / largest < 0.01 for low, _ in linear)
    assert len(linear) == len(eqnm) == 4
    assert linear != eqnm
    assert usual not in (linear, eqnm)
    assert all(high <= over * 1.001 for (_, high), (_, over) in zip(eqnm, linear, strict=True))


def test_weight_granularity(build: Any) -> None:
    assert build(INT8).weight_scales() == [8, CLASSES, 16]
    assert build(INT8, weight_quant_granularity="per_axis").weight_scales() == [8, CLASSES, 16]
    assert build(INT8, weight_quant_granularity="per_tensor").weight_scales() == [1, 1, 1]


def test_activation_symmetry(build: Any) -> None:
    def lopsided(built: Built) -> list[float]:
        return [abs(low + high) / high for low, high in built.activation_ranges() if low < 0]

    assert max(lopsided(build(INT8))) < 0.01
    assert max(lopsided(build(INT8, activation_quant_algo="asymmetric"))) > 0.01


def test_random_ranges_are_every_activations(network: Path, tmp_path: Path) -> None:
    spec = dataclasses.replace(INT8, random_calib_range=(-1.5, 2.0))
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        load_engine("openvino").build(NetworkFiles(network), spec, None, tmp_path / name)
    built = ov.Core().read_model(tmp_path / "first" / "model.xml")
    ends = {
        tuple(float(op.input_value(place).get_node().data.item()) for place in range(1, 5))
        for op in built.get_ops()
        if op.get_type_name() == "FakeQuantize"
    }
    assert ends == {(-1.5, 2.0, -1.5, 2.0)}
    assert load_engine("openvino").load(tmp_path / "first").executed_precision.startswith("int8")
    for file in (tmp_path / "first").iterdir():
        assert file.read_bytes() == (tmp_path / "second" / file.name).read_bytes()


@pytest.mark.parametrize(
    ("preference", "precision", "executed"),
    [
        ("auto", "force_float32", "float32"),
        ("fast", "force_float32", "float32"),
        ("high_precision", "force_float16", "float32"),
        ("high_precision", "qint8_mixed_float16", "int8 + float32"),
        ("auto", "qint8_mixed_float32", "int8 + float32"),
        ("fast", "qint8_mixed_float32", "int8 + {fastest}"),
    ],
)
def test_computation_preference(build: Any, preference: str, precision: str, executed: str) -> None:
    engine = load_engine("openvino")
    abilities = engine.describe()["arithmetic"].split()
    fastest = next(
        (name for key, name in (("BF16", "bfloat16"), ("FP16", "float16")) if key in abilities),
        "float32",
    )
    built = build(SPEC, precision=precision, computation_preference=preference)
    assert engine.load(built.folder).executed_precision == executed.format(fastest=fastest)


def test_conv_scale_fold_is_what_always_happens(build: Any) -> None:
    folded, plain = build(conv_scale_fold=True), build()
    np.testing.assert_array_equal(folded.scores(), plain.scores())


@pytest.mark.parametrize(
    "flags",
    [{"calibration_algo": "eqnm"}, {"weight_quant_granularity": "per_tensor", "rgb2bgr": True}],
)
def test_the_same_flags_give_the_same_bytes(build: Any, flags: dict[str, Any]) -> None:
    assert build(INT8, **flags).digest() == build(INT8, **flags).digest()


CONFIGS = {
    "precision_config.weight_quant_granularity": ("per_tensor", "weight_quant_granularity"),
    "precision_config.activation_quant_algo": ("asymmetric", "activation_quant_algo"),
    "insert_bn_before_firstnode": ({"0": {"mean": [1, 2, 3], "var": [4, 5, 6]}}, "means"),
    "convert_input_layout": ({"0": {"src": "NCHW", "dst": "NCHW"}}, "input_layout"),
    "convert_output_layout": ({"0": {"src": "NCHW", "dst": "NHWC"}}, "output_layout"),
    "dim_range": ({"0": {"min": [1, 3, 16, 16], "max": [9, 3, 16, 16]}}, "dim_range"),
    "computation_preference": ("high_precision", "computation_preference"),
    "compute_determinism": (True, None),
    "opt_config.conv_scale_fold": (True, "conv_scale_fold"),
    "opt_config.type64to32_conversion": (False, "type64to32_conversion"),
}
VALUES = {
    "means": (1.0, 2.0, 3.0),
    "input_layout": "NCHW",
    "output_layout": "NHWC",
    "dim_range": (1, 9),
}


@pytest.mark.parametrize("key", BUILD_CONFIG_KEYS)
def test_build_config_goes_over_the_flags(key: str) -> None:
    from mlubench.engines.openvino.flags import effective

    value, field = CONFIGS[key]
    group, _, leaf = key.rpartition(".")
    text = json.dumps({group: {leaf: value}} if group else {key: value})
    spec = dataclasses.replace(INT8, dynamic_shape=True, build_config=text)
    merged = effective(spec)
    plain = dataclasses.replace(spec, build_config="")
    changed = {
        name: after
        for name, after in dataclasses.asdict(merged).items()
        if after != dataclasses.asdict(plain)[name]
    }
    if key == "insert_bn_before_firstnode":
        assert changed.pop("variances") == (4.0, 5.0, 6.0)
    assert changed == ({field: VALUES.get(field, value)} if field else {})


def test_build_config_changes_what_is_built(network: Path, build: Any) -> None:
    config = json.dumps({"convert_input_layout": {"0": {"src": "NCHW", "dst": "NCHW"}}})
    built = build(build_config=config)
    assert list(built.input.shape) == [4, 3, SIDE, SIDE]
    np.testing.assert_allclose(built.scores(), _reference(network, IMAGES), atol=1e-5)


REFUSED: list[tuple[dict[str, Any], str, str]] = [
    *(({flag: ("x",)}, flag, "only with --engine magicmind") for flag in MLU_ONLY),
    ({"type64to32_conversion": True}, "type64to32_conversion", "magicmind"),
    ({"conv_scale_fold": False}, "conv_scale_fold", "always folds"),
    ({"input_layout": "NTC"}, "input_layout", "no 'NTC'"),
    ({"output_layout": "NTC"}, "output_layout", "no 'NTC'"),
    ({"input_dtypes": "INT16"}, "input_dtypes", "no 'INT16'"),
    ({"output_dtypes": "INT8"}, "output_dtypes", "no 'INT8'"),
    ({"calibration_algo": "kl"}, "calibration_algo", "no 'kl'"),
    ({"weight_quant_granularity": "per_row"}, "weight_quant_granularity", "no 'per_row'"),
    ({"activation_quant_algo": "odd"}, "activation_quant_algo", "no 'odd'"),
    ({"computation_preference": "slow"}, "computation_preference", "no 'slow'"),
    (
        {"calibration_algo": "eqnm", "activation_quant_algo": "asymmetric"},
        "activation_quant_algo",
        "eqnm",
    ),
    ({"precision": "qint16_mixed_float16"}, "precision", "no qint16_mixed_float16"),
    ({"random_calib_range": (1.0, 1.0)}, "random_calib_range", "not below"),
    (
        {"random_calib_range": (-1.0, 1.0), "precision": "force_float32"},
        "random_calib_range",
        "not calibrated",
    ),
    ({"dim_range": (1, 8)}, "dim_range_min", "static"),
    ({"dim_range": (5, 8), "dynamic_shape": True}, "dim_range_min", "not within"),
    ({"build_config": '{"archs": ["mtp_372"]}'}, "build_config, archs", "refuses the key"),
    ({"build_config": '{"custom_ranges": {}}'}, "build_config, custom_ranges", "refuses the key"),
    (
        {"build_config": '{"precision_config": {"precision_mode": "force_float32"}}'},
        "build_config, precision_config.precision_mode",
        "refuses the key",
    ),
    ({"build_config": '{"dim_range": 3}'}, "build_config, dim_range", "wrong value"),
    (
        {"build_config": '{"compute_determinism": false}'},
        "build_config, compute_determinism",
        "wrong value",
    ),
]


@pytest.mark.parametrize(("flags", "flag", "words"), REFUSED)
def test_what_it_has_not_got_is_refused_by_name(
    flags: dict[str, Any], flag: str, words: str
) -> None:
    with pytest.raises(ConfigError, match=words) as caught:
        load_engine("openvino").check(dataclasses.replace(INT8, **flags))
    assert caught.value.where == f"--{flag}"
    assert caught.value.exit_status == 2


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("dim_range", "3", "only the batch may vary"),
        ("dim_range", '{"1": {}}', "only the batch may vary"),
        ("dim_range", '{"0": {"min": [1, 3, 8, 8]}}', "only the batch may vary"),
        ("dim_range", '{"0": {"min": [1, 3, 8, 8], "max": "many"}}', "only the batch may vary"),
        ("insert_bn_before_firstnode", "null", "three numbers each"),
        ("insert_bn_before_firstnode", '{"0": {"mean": 1, "var": [1, 1, 1]}}', "three numbers"),
        (
            "insert_bn_before_firstnode",
            '{"0": {"mean": ["a", 1, 1], "var": [1, 1, 0]}}',
            "variances above 0",
        ),
        ("convert_input_layout", '{"0": {"src": "NHWC", "dst": "NCHW"}}', "are NCHW"),
        ("convert_output_layout", '{"0": {"src": "NCHW", "dst": 1}}', "are NCHW"),
        ("compute_determinism", "false", "always deterministic"),
        ("computation_preference", "1", "auto, fast or high_precision"),
        ("opt_config", '{"conv_scale_fold": "yes"}', "true or false"),
        ("precision_config", '{"activation_quant_algo": 1}', "symmetric or asymmetric"),
    ],
)
def test_wrong_values_of_build_config_are_told_in_words(
    key: str, value: str, expected: str
) -> None:
    spec = dataclasses.replace(INT8, build_config=f'{{"{key}": {value}}}')
    with pytest.raises(ConfigError, match="has a wrong value: ") as caught:
        load_engine("openvino").check(spec)
    assert caught.value.where.startswith(f"--build_config, {key}")
    assert expected in caught.value.expected
    assert "Error" not in str(caught.value)


def test_a_spec_survives_the_pipe() -> None:
    spec = dataclasses.replace(INT8, dim_range=(1, 8), mlu_arch=("a",), conv_scale_fold=True)
    assert BuildSpec.from_json(json.loads(json.dumps(spec.to_json()))) == spec
