"""Post-training quantisation by NNCF, as MagicMind's flags ask for it."""

from __future__ import annotations

from typing import Any, List, Optional, Sequence, Tuple

import numpy as np
import openvino as ov
from openvino import opset13 as ops

from mlubench.engines.interface import BuildSpec, Calibration
from mlubench.errors import ConfigError

#: Operations of OpenVINO that multiply weights.
_WEIGHTED = ("Convolution", "ConvolutionBackpropData", "GroupConvolution", "MatMul")


def quantise(model: ov.Model, spec: BuildSpec, calibration: Optional[Calibration]) -> ov.Model:
    """Return the network with quantised convolutions and products.

    It is calibrated on the network's original input, normalised float32 NCHW. ``linear`` takes
    each activation's smallest and largest value over all images, ``eqnm`` the range whose
    quantisation error is the least on their histogram; without either NNCF takes the mean of
    the images' smallest and largest values, so that one odd image does not set the range.

    Raises:
        ConfigError: there are no calibration images, nor a range in their place.
    """
    import nncf  # a second of imports, only where something is quantised
    from nncf.quantization.advanced_parameters import (
        AdvancedQuantizationParameters,
        QuantizationParameters,
    )
    from nncf.quantization.range_estimator import RangeEstimatorParametersSet

    ranges = {
        "": None,
        "linear": RangeEstimatorParametersSet.MINMAX,
        "eqnm": RangeEstimatorParametersSet.HISTOGRAM,
    }
    per_axis = spec.weight_quant_granularity != "per_tensor"
    images, count = _images(spec, calibration)
    ignored = operations_of(model, spec.keep_float)
    quantised = nncf.quantize(
        model,
        nncf.Dataset(images),
        # What of a layer is no operation that NNCF sees, such as a change of shape, is no fault.
        ignored_scope=nncf.IgnoredScope(names=ignored, validate=False) if ignored else None,
        subset_size=count,
        preset={
            "symmetric": nncf.QuantizationPreset.PERFORMANCE,
            "asymmetric": nncf.QuantizationPreset.MIXED,
        }[spec.activation_quant_algo],
        advanced_parameters=AdvancedQuantizationParameters(
            activations_range_estimator_params=ranges[spec.calibration_algo],
            weights_quantization_params=QuantizationParameters(per_channel=per_axis),
            disable_bias_correction=spec.random_calib_range is not None,
        ),
    )
    if spec.random_calib_range is not None:
        _set_ranges(quantised, spec.random_calib_range)
    return quantised


def operations_of(model: ov.Model, layers: Sequence[str]) -> List[str]:
    """Return the names of the operations that layers of the network have become.

    A layer's last operation has its name; parts before that are named behind it, ``fc/MatMul``. A
    part that multiplies weights is a layer of its own, ``inception/3x3`` of ``inception``.
    """
    wanted = set(layers)
    return [
        op.get_friendly_name()
        for op in model.get_ordered_ops()
        if op.get_type_name() not in ("Constant", "Parameter", "Result")
        and (
            op.get_friendly_name() in wanted
            or (op.get_friendly_name().rpartition("/")[0] in wanted and not _is_layer(op))
        )
    ]


def _is_layer(op: ov.Node) -> bool:
    """Whether an operation is one that multiplies weights and that the network itself names."""
    named = any(op.get_friendly_name() in output.get_names() for output in op.outputs())
    return named and op.get_type_name() in _WEIGHTED


def _images(spec: BuildSpec, calibration: Optional[Calibration]) -> Tuple[Any, int]:
    """Return what to calibrate on and how many of them."""
    if spec.random_calib_range is not None:
        # One run, for NNCF to find the activations; their ranges are set afterwards.
        low, high = spec.random_calib_range
        shape = (1, len(spec.means), *spec.input_size)
        noise = np.random.default_rng(0).uniform(low, high, shape)
        one: List[np.ndarray] = [noise.astype(np.float32)]
        return one, 1
    if calibration is None or not len(calibration):
        raise ConfigError(
            f"{spec.precision} needs calibration images and has none",
            where="--calibration_dir",
            fix="name a folder of images that are not scored",
        )
    return calibration.normalised(spec), len(calibration)


def _set_ranges(model: ov.Model, bounds: Tuple[float, float]) -> None:
    """Give every activation the same range, as MagicMind's ``custom_ranges`` does."""
    for op in model.get_ops():
        if op.get_type_name() != "FakeQuantize":
            continue
        if op.input_value(0).get_node().get_type_name() == "Constant":
            continue  # weights
        for place in range(1, 5):
            shape = list(op.input_value(place).get_shape())
            value = np.full(shape, bounds[(place - 1) % 2], np.float32)
            op.input(place).replace_source_output(ops.constant(value).output(0))
