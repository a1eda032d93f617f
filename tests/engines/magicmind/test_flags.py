"""What of a build's flags MagicMind is told, key by key, and what is refused."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from mlubench.engines.interface import BuildSpec
from mlubench.engines.magicmind.flags import check, settings
from mlubench.errors import ConfigError

SPEC = BuildSpec(
    precision="force_float32",
    batch_size=4,
    dynamic_shape=False,
    input_size=(16, 16),
    means=(104.0, 117.0, 123.0),
    variances=(2.0, 3.0, 4.0),
)
PLAIN = dataclasses.replace(SPEC, means=(0.0,) * 3, variances=(1.0,) * 3)
INT8 = dataclasses.replace(SPEC, precision="qint8_mixed_float16")


def _json(spec: BuildSpec) -> list[Any]:
    check(spec)
    return [value for _, value in settings(spec)]


def test_the_whole_configuration_in_the_samples_order() -> None:
    assert _json(SPEC) == [
        {"precision_config": {"precision_mode": "force_float32"}},
        {
            "insert_bn_before_firstnode": {
                "0": {"mean": [104.0, 117.0, 123.0], "var": [2.0, 3.0, 4.0]}
            }
        },
        {"convert_input_layout": {"0": {"src": "NCHW", "dst": "NHWC"}}},
        {"graph_shape_mutable": False},
    ]


@pytest.mark.parametrize(
    ("spec", "flags", "expected"),
    [
        (
            INT8,
            {"weight_quant_granularity": "per_axis"},
            {"precision_config": {"weight_quant_granularity": "per_axis"}},
        ),
        (
            INT8,
            {"activation_quant_algo": "asymmetric"},
            {"precision_config": {"activation_quant_algo": "asymmetric"}},
        ),
        (SPEC, {"mlu_arch": ("mtp_372",)}, {"archs": ["mtp_372"]}),
        (
            SPEC,
            {"mlu_arch": ("mtp_372", "mtp_592"), "cluster_num": ("6,8", "12")},
            {"archs": [{"mtp_372": [6, 8]}, {"mtp_592": [12]}]},
        ),
        (SPEC, {"toolchain_path": "/opt/gcc/"}, {"cross_compile_toolchain_path": "/opt/gcc/"}),
        (
            SPEC,
            {"output_layout": "NHWC"},
            {"convert_output_layout": {"0": {"src": "NCHW", "dst": "NHWC"}}},
        ),
        (SPEC, {"dynamic_shape": True}, {"graph_shape_mutable": True}),
        (
            SPEC,
            {"dynamic_shape": True, "dim_range": (1, 64)},
            {"dim_range": {"0": {"min": [1, 3, 16, 16], "max": [64, 3, 16, 16]}}},
        ),
        (
            SPEC,
            {"computation_preference": "high_precision"},
            {"computation_preference": "high_precision"},
        ),
        (SPEC, {"type64to32_conversion": True}, {"opt_config": {"type64to32_conversion": True}}),
        (SPEC, {"conv_scale_fold": False}, {"opt_config": {"conv_scale_fold": False}}),
        (
            INT8,
            {"random_calib_range": (-1.0, 2.0)},
            {"custom_ranges": {"": {"max": [2.0], "min": [-1.0]}}},
        ),
        (
            SPEC,
            {"build_config": '{"compute_determinism": true}'},
            {"compute_determinism": True},
        ),
    ],
)
def test_each_flag_is_its_key(
    spec: BuildSpec, flags: dict[str, Any], expected: dict[str, Any]
) -> None:
    assert expected not in _json(spec)
    assert expected in _json(dataclasses.replace(spec, **flags))


def test_a_layout_that_is_so_already_is_not_converted() -> None:
    keys = [key for value in _json(dataclasses.replace(SPEC, input_layout="NCHW")) for key in value]
    assert "convert_input_layout" not in keys


def test_nothing_is_normalised_where_means_and_variances_do_nothing() -> None:
    keys = [key for value in _json(PLAIN) for key in value]
    assert "insert_bn_before_firstnode" not in keys


def test_flags_of_quantisation_are_for_quantised_networks() -> None:
    spec = dataclasses.replace(SPEC, activation_quant_algo="asymmetric")
    assert _json(spec)[0] == {"precision_config": {"precision_mode": "force_float32"}}
    assert len(_json(spec)) == len(_json(SPEC))


@pytest.mark.parametrize(
    ("spec", "flags", "where", "words"),
    [
        (SPEC, {"precision": "force_int4"}, "--precision", "has no 'force_int4'"),
        (SPEC, {"input_layout": "CHWN"}, "--input_layout", "has no 'CHWN'"),
        (SPEC, {"input_dtypes": "INT16"}, "--input_dtypes", "has no 'INT16'"),
        (SPEC, {"input_dtypes": "FLOAT"}, "--input_dtypes", "make its input UINT8"),
        (SPEC, {"output_dtypes": "INT8"}, "--output_dtypes", "has no 'INT8'"),
        (
            INT8,
            {"calibration_algo": "eqnm", "activation_quant_algo": "asymmetric"},
            "--activation_quant_algo",
            "does not go with",
        ),
        (SPEC, {"random_calib_range": (0, 1)}, "--random_calib_range", "is not calibrated"),
        (INT8, {"random_calib_range": (1, 1)}, "--random_calib_range", "1 is not below 1"),
        (SPEC, {"dim_range": (1, 8)}, "--dim_range_min", "a static network has one shape"),
        (
            SPEC,
            {"dim_range": (8, 16), "dynamic_shape": True},
            "--dim_range_min",
            "not within batches of 8 to 16",
        ),
        (SPEC, {"mlu_arch": ("gpu",)}, "--mlu_arch", "gpu names no chip"),
        (SPEC, {"cluster_num": ("6",)}, "--cluster_num", "1 lists for 0 chips"),
        (
            SPEC,
            {"cluster_num": ("six",), "mlu_arch": ("mtp_372",)},
            "--cluster_num",
            "six are no numbers",
        ),
        (SPEC, {"plugin": ("absent.so",)}, "--plugin", "there is no file absent.so"),
        (SPEC, {"rpc_server": "somewhere"}, "--rpc_server", "no address:port"),
        *(
            (SPEC, {"build_config": json.dumps(config)}, f"--build_config, {key}", "refuses")
            for key, config in {
                "precision_config.precision_mode": {
                    "precision_config": {"precision_mode": "force_float16"}
                },
                "graph_shape_mutable": {"graph_shape_mutable": True},
                "dim_range": {"dim_range": {}},
                "insert_bn_before_firstnode": {"insert_bn_before_firstnode": {}},
                "custom_ranges": {"custom_ranges": {}},
            }.items()
        ),
    ],
)
def test_refusals(spec: BuildSpec, flags: dict[str, Any], where: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words) as caught:
        check(dataclasses.replace(spec, **flags))
    assert caught.value.where == where
    assert caught.value.fix


def test_a_plugin_that_is_there_passes(tmp_path: Path) -> None:
    (tmp_path / "ops.so").touch()
    check(dataclasses.replace(SPEC, plugin=(str(tmp_path / "ops.so"),)))
