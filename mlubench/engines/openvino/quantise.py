"""Post-training quantisation by NNCF, as MagicMind's flags ask for it."""

from __future__ import annotations

from typing import Any, List, Optional, Tuple

import numpy as np
import openvino as ov
from openvino import opset13 as ops

from mlubench.engines.interface import BuildSpec, Calibration
from mlubench.errors import ConfigError


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
    quantised = nncf.quantize(
        model,
        nncf.Dataset(images),
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
