"""What of a build's flags OpenVINO has, and the reasons for what it has not.

Nothing here needs OpenVINO, and nothing is ever ignored: a flag has its effect or is refused.
"""

from __future__ import annotations

import dataclasses
import json
from typing import Any, Callable, Dict, List, Mapping, Tuple

from mlubench.engines.checks import check_choices, check_quantisation, check_range, refused
from mlubench.engines.interface import BuildSpec
from mlubench.errors import ConfigError

#: The floating-point type that runs what is not quantised. OpenVINO calls it a hint: a CPU
#: without float16 arithmetic runs f16 as bf16, which the session reports.
FLOAT_HINTS = {
    "force_float32": "f32",
    "force_float16": "f16",
    "qint8_mixed_float16": "f16",
    "qint8_mixed_float32": "f32",
}
#: Flags that speak of an MLU and its tools.
MLU_ONLY = ("mlu_arch", "cluster_num", "plugin", "toolchain_path", "rpc_server")

INPUT_TYPES = {"UINT8": "u8", "FLOAT": "f32"}
OUTPUT_TYPES = {"FLOAT": "f32", "HALF": "f16"}
_ENGINE = "openvino"
_LAYOUTS = ("NHWC", "NCHW")


def effective(spec: BuildSpec) -> BuildSpec:
    """Return the spec with its ``build_config`` merged in, checked.

    Raises:
        ConfigError: it asks for what OpenVINO has not got; names flag or key and the reason.
    """
    spec = _merged(spec)
    if spec.precision not in FLOAT_HINTS:
        raise ConfigError(
            f"the openvino engine has no {spec.precision}",
            where="--precision",
            expected="one of " + ", ".join(FLOAT_HINTS),
            fix="leave it out, or run it with --engine magicmind",
        )
    _check_mlu(spec)
    check_choices(_ENGINE, spec, _CHOICES)
    check_quantisation(_ENGINE, spec)
    check_range(_ENGINE, spec)
    return spec


def _check_mlu(spec: BuildSpec) -> None:
    for flag in MLU_ONLY:
        if getattr(spec, flag):
            raise refused(_ENGINE, flag, "only with --engine magicmind", "leave it out")
    if spec.type64to32_conversion:
        raise refused(
            _ENGINE,
            "type64to32_conversion",
            "true only with --engine magicmind: OpenVINO runs 64-bit integers as they are",
            "leave it out",
        )
    if spec.conv_scale_fold is False:
        raise refused(
            _ENGINE,
            "conv_scale_fold",
            "OpenVINO always folds scales into convolutions",
            "leave it out",
        )


_CHOICES = (
    ("input_layout", _LAYOUTS),
    ("output_layout", ("", *_LAYOUTS)),
    ("input_dtypes", tuple(INPUT_TYPES)),
    ("output_dtypes", tuple(OUTPUT_TYPES)),
    ("calibration_algo", ("", "linear", "eqnm")),
    ("weight_quant_granularity", ("", "per_tensor", "per_axis")),
    ("activation_quant_algo", ("symmetric", "asymmetric")),
    ("computation_preference", ("auto", "fast", "high_precision")),
)


def _merged(spec: BuildSpec) -> BuildSpec:
    """Merge the JSON of ``--build_config`` over the flags, as MagicMind merges it: last."""
    if not spec.build_config:
        return spec
    changes: Dict[str, Any] = {}
    for key, value in _leaves(json.loads(spec.build_config)):
        if key not in BUILD_CONFIG_KEYS:
            raise ConfigError(
                f"the openvino engine refuses the key {key}",
                where=f"--build_config, {key}",
                expected="one of " + ", ".join(BUILD_CONFIG_KEYS),
                fix=_INSTEAD.get(key, "leave it out, or use it with --engine magicmind"),
            )
        try:
            changes.update(BUILD_CONFIG_KEYS[key](value))
        except ValueError as error:
            raise ConfigError(
                f"has a wrong value: {json.dumps(value)}",
                where=f"--build_config, {key}",
                expected=str(error),
                fix="see docs/flags.md",
            ) from error
    return dataclasses.replace(spec, build_config="", **changes)


def _leaves(config: Mapping[str, Any]) -> List[Tuple[str, Any]]:
    """Return the keys with the groups that MagicMind has (``opt_config``) written out."""
    found: List[Tuple[str, Any]] = []
    for key, value in config.items():
        if key.endswith("_config") and isinstance(value, dict):
            found.extend((f"{key}.{name}", leaf) for name, leaf in value.items())
        else:
            found.append((key, value))
    return found


# Each of these takes the value of a key and returns the flags that it changes, or raises
# ValueError with what the value should be.


def _set(flag: str, kind: type, form: str) -> Callable[[Any], Dict[str, Any]]:
    def change(value: Any) -> Dict[str, Any]:
        fits = isinstance(value, kind)
        if not fits:
            raise ValueError(form)
        return {flag: value}

    return change


def _of_first_input(value: Any, first: str, second: str, form: str) -> Tuple[Any, Any]:
    """Return the two members of ``{"0": {first: ..., second: ...}}``."""
    inner = value.get("0") if isinstance(value, dict) else None
    if not isinstance(inner, dict) or not {first, second} <= set(inner):
        raise ValueError(form)
    return inner[first], inner[second]


def _numbers(value: Any, count: int) -> bool:
    return (
        isinstance(value, list)
        and len(value) == count
        and all(isinstance(one, (int, float)) and not isinstance(one, bool) for one in value)
    )


def _bn(value: Any) -> Dict[str, Any]:
    form = '{"0": {"mean": [B, G, R], "var": [B, G, R]}}, three numbers each, variances above 0'
    means, variances = _of_first_input(value, "mean", "var", form)
    if not (_numbers(means, 3) and _numbers(variances, 3) and min(variances) > 0):
        raise ValueError(form)
    return {"means": tuple(map(float, means)), "variances": tuple(map(float, variances))}


def _layout(flag: str) -> Callable[[Any], Dict[str, Any]]:
    form = '{"0": {"src": "NCHW", "dst": ...}}: networks of Caffe are NCHW'

    def change(value: Any) -> Dict[str, Any]:
        source, target = _of_first_input(value, "src", "dst", form)
        if source != "NCHW" or not isinstance(target, str):
            raise ValueError(form)
        return {flag: target}

    return change


def _dim_range(value: Any) -> Dict[str, Any]:
    form = '{"0": {"min": [N, 3, H, W], "max": [N, 3, H, W]}}, of which only the batch may vary'
    low, high = _of_first_input(value, "min", "max", form)
    if not (_numbers(low, 4) and _numbers(high, 4) and low[1:] == high[1:]):
        raise ValueError(form)
    return {"dim_range": (int(low[0]), int(high[0]))}


def _determinism(value: Any) -> Dict[str, Any]:
    if value is not True:
        raise ValueError("true: builds are always deterministic")
    return {}


#: The keys of MagicMind's BuilderConfig that mean something here, and what they change.
BUILD_CONFIG_KEYS = {
    "precision_config.weight_quant_granularity": _set(
        "weight_quant_granularity", str, "per_tensor or per_axis"
    ),
    "precision_config.activation_quant_algo": _set(
        "activation_quant_algo", str, "symmetric or asymmetric"
    ),
    "insert_bn_before_firstnode": _bn,
    "convert_input_layout": _layout("input_layout"),
    "convert_output_layout": _layout("output_layout"),
    "dim_range": _dim_range,
    "computation_preference": _set("computation_preference", str, "auto, fast or high_precision"),
    "compute_determinism": _determinism,
    "opt_config.conv_scale_fold": _set("conv_scale_fold", bool, "true or false"),
    "opt_config.type64to32_conversion": _set("type64to32_conversion", bool, "true or false"),
}
_INSTEAD = {
    "precision_config.precision_mode": "give --precision: files are named by it",
    "graph_shape_mutable": "give --dynamic_shape: files are named by it",
    "custom_ranges": "give --random_calib_range: such a network is marked by it",
}
