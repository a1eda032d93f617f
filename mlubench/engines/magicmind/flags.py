"""From a build's flags to the JSON of MagicMind's BuilderConfig, in the samples' own order.

Nothing here needs the SDK, and nothing is ever ignored: a flag has its effect or is refused.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, Dict, Iterator, List, Mapping, Tuple

from mlubench.engines.checks import check_choices, check_quantisation, check_range, refused
from mlubench.engines.interface import BuildSpec
from mlubench.engines.precisions import PRECISIONS, is_quantised
from mlubench.errors import ConfigError

ENGINE = "magicmind"
#: Names of data types on the command line, and those of ``mm.DataType``.
DATA_TYPES = {"UINT8": "UINT8", "FLOAT": "FLOAT32", "HALF": "FLOAT16"}
ALGORITHMS = {"": "LINEAR_ALGORITHM", "linear": "LINEAR_ALGORITHM", "eqnm": "EQNM_ALGORITHM"}
NETWORK_LAYOUT = "NCHW"

_CHOICES = (
    ("precision", PRECISIONS),
    ("input_layout", ("NHWC", "NCHW")),
    ("output_layout", ("", "NHWC", "NCHW")),
    ("input_dtypes", ("UINT8", "FLOAT")),
    ("output_dtypes", ("FLOAT", "HALF")),
    ("calibration_algo", tuple(ALGORITHMS)),
    ("weight_quant_granularity", ("", "per_tensor", "per_axis")),
    ("activation_quant_algo", ("symmetric", "asymmetric")),
    ("computation_preference", ("auto", "fast", "high_precision")),
)
Setting = Tuple[str, Mapping[str, Any]]
#: Keys of ``--build_config`` that would make a network other than what its files' names say.
REFUSED_KEYS = {
    "precision_config.precision_mode": "give --precision: files are named by it",
    "graph_shape_mutable": "give --dynamic_shape: files are named by it",
    "dim_range": "give --dim_range_min and --dim_range_max: batches are cut by them",
    "insert_bn_before_firstnode": "give --means and --vars: calibration images are made by them",
    "custom_ranges": "give --random_calib_range: such a network is marked by it",
}


def check(spec: BuildSpec) -> None:
    """Refuse what MagicMind has not got.

    Raises:
        ConfigError: names the flag and the reason.
    """
    check_choices(ENGINE, spec, _CHOICES)
    check_quantisation(ENGINE, spec)
    check_range(ENGINE, spec)
    if spec.keep_float:
        raise refused(
            ENGINE,
            "keep_float",
            "MagicMind documents no key that keeps single layers from being quantised",
            "leave it out, or choose a precision that is not quantised",
        )
    if spec.input_dtypes == "FLOAT" and normalises(spec):
        raise refused(
            ENGINE,
            "input_dtypes",
            "means and variances inside the network make its input UINT8",
            "leave it out, or give --means 0 0 0 --vars 1 1 1",
        )
    _check_chips(spec)
    for library in spec.plugin:
        if not Path(library).is_file():
            raise refused(ENGINE, "plugin", f"there is no file {library}", "name the library")
    if spec.rpc_server and not re.fullmatch(r"[^\s:]+:[0-9]+", spec.rpc_server):
        reason = f"{spec.rpc_server} is no address:port"
        raise refused(ENGINE, "rpc_server", reason, "give, say, 192.168.1.2:9009")
    _build_config(spec)


def normalises(spec: BuildSpec) -> bool:
    """Whether means and variances do anything; if so they go into the network."""
    return any(spec.means) or any(variance != 1 for variance in spec.variances)


def settings(spec: BuildSpec) -> Iterator[Setting]:
    """Yield (flag, JSON object) for each call of ``parse_from_string``, later ones going over.

    The keys are those that the vendor's samples use, in the order in which those set them.
    """
    for part in (_precision, _chips, _input, _shape, _computation, _overrides):
        yield from part(spec)


def _precision(spec: BuildSpec) -> Iterator[Setting]:
    yield "precision", {"precision_config": {"precision_mode": spec.precision}}
    for flag in ("weight_quant_granularity", "activation_quant_algo"):
        if is_quantised(spec.precision) and getattr(spec, flag):
            yield flag, {"precision_config": {flag: getattr(spec, flag)}}


def _chips(spec: BuildSpec) -> Iterator[Setting]:
    """Yield the chips, with the cluster counts to specialise for where they are given."""
    counts = [[int(count) for count in one.split(",")] for one in spec.cluster_num]
    with_counts = [{arch: count} for arch, count in zip(spec.mlu_arch, counts)]
    if spec.mlu_arch:
        yield "mlu_arch", {"archs": with_counts or list(spec.mlu_arch)}
    if spec.toolchain_path:
        yield "toolchain_path", {"cross_compile_toolchain_path": spec.toolchain_path}


def _input(spec: BuildSpec) -> Iterator[Setting]:
    if normalises(spec):
        bn = {"mean": list(spec.means), "var": list(spec.variances)}
        yield "means", {"insert_bn_before_firstnode": {"0": bn}}
    for flag in ("input_layout", "output_layout"):
        layout = getattr(spec, flag)
        if layout not in ("", NETWORK_LAYOUT):  # to what it is already would be an error
            yield flag, {f"convert_{flag}": {"0": {"src": NETWORK_LAYOUT, "dst": layout}}}


def _shape(spec: BuildSpec) -> Iterator[Setting]:
    yield "dynamic_shape", {"graph_shape_mutable": spec.dynamic_shape}
    if spec.dim_range is not None:
        low, high = ([batch, *image_dims(spec)] for batch in spec.dim_range)
        yield "dim_range_min", {"dim_range": {"0": {"min": low, "max": high}}}


def _computation(spec: BuildSpec) -> Iterator[Setting]:
    if spec.computation_preference != "auto":
        yield "computation_preference", {"computation_preference": spec.computation_preference}
    for flag in ("type64to32_conversion", "conv_scale_fold"):
        if getattr(spec, flag) is not None:
            yield flag, {"opt_config": {flag: getattr(spec, flag)}}


def _overrides(spec: BuildSpec) -> Iterator[Setting]:
    if spec.random_calib_range is not None:
        low, high = spec.random_calib_range
        yield "random_calib_range", {"custom_ranges": {"": {"max": [high], "min": [low]}}}
    config = _build_config(spec)
    if config:
        yield "build_config", config


def image_dims(spec: BuildSpec) -> List[int]:
    """Return channels, height and width: an image in the network's original layout."""
    return [len(spec.means), *spec.input_size]


def _check_chips(spec: BuildSpec) -> None:
    for arch in spec.mlu_arch:
        if not re.fullmatch(r"m?tp_[0-9]+(\.[0-9]+)?", arch):
            raise refused(ENGINE, "mlu_arch", f"{arch} names no chip", "give, say, mtp_372")
    if spec.cluster_num and len(spec.cluster_num) != len(spec.mlu_arch):
        raise refused(
            ENGINE,
            "cluster_num",
            f"{len(spec.cluster_num)} lists for {len(spec.mlu_arch)} chips",
            "give one for each of --mlu_arch, such as --mlu_arch mtp_372 --cluster_num 6,8",
        )
    for counts in spec.cluster_num:
        if not re.fullmatch(r"[1-9][0-9]*(,[1-9][0-9]*)*", counts):
            reason = f"{counts} are no numbers of clusters"
            raise refused(ENGINE, "cluster_num", reason, "give, say, 6,8")


def _build_config(spec: BuildSpec) -> Mapping[str, Any]:
    """Return the object of ``--build_config``; MagicMind has any key of it but a few."""
    if not spec.build_config:
        return {}
    config: Dict[str, Any] = json.loads(spec.build_config)
    for key, instead in REFUSED_KEYS.items():
        group, _, name = key.rpartition(".")
        if name in (config.get(group, {}) if group else config):
            raise ConfigError(
                f"the {ENGINE} engine refuses the key {key}",
                where=f"--build_config, {key}",
                fix=instead,
            )
    return config
