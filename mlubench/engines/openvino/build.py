"""From ONNX to OpenVINO's IR: quantisation, uint8 input, means and variances, batch."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Dict, Optional, Set

import openvino as ov
from openvino.preprocess import PrePostProcessor

from mlubench.engines.interface import BuildSpec, Calibration
from mlubench.engines.precisions import is_quantised
from mlubench.errors import ConfigError

_INPUT_LAYOUT, _NETWORK_LAYOUT = "NHWC", "NCHW"


def build_model(
    core: ov.Core, network: Path, spec: BuildSpec, calibration: Optional[Calibration]
) -> ov.Model:
    """Return the model to save: uint8 NHWC in, scores out, quantised where the spec says so."""
    model = core.read_model(str(network))
    if is_quantised(spec.precision):
        model = _quantise(model, spec, calibration)
    model = _with_image_input(model, spec)
    _name_by_position(model)
    return model


def _quantise(model: ov.Model, spec: BuildSpec, calibration: Optional[Calibration]) -> ov.Model:
    """Post-training quantisation by NNCF, on the network's original float32 NCHW input."""
    if calibration is None or not len(calibration):
        raise ConfigError(
            f"{spec.precision} needs calibration images and has none",
            where="--calibration_dir",
            fix="name a folder of images that are not scored",
        )
    import nncf  # a second of imports, only where something is quantised

    dataset = nncf.Dataset(calibration.normalised(spec))
    return nncf.quantize(model, dataset, subset_size=len(calibration))


def _with_image_input(model: ov.Model, spec: BuildSpec) -> ov.Model:
    """Put the conversion from decoded pixels into the model and fix its batch."""
    steps = PrePostProcessor(model)
    image = steps.input()
    image.tensor().set_element_type(ov.Type.u8).set_layout(ov.Layout(_INPUT_LAYOUT))
    deviations = [variance**0.5 for variance in spec.variances]
    image.preprocess().convert_element_type(ov.Type.f32).mean(list(spec.means)).scale(deviations)
    image.model().set_layout(ov.Layout(_NETWORK_LAYOUT))
    model = steps.build()
    batch = -1 if spec.dynamic_shape else spec.batch_size
    model.reshape([batch, *spec.input_size, len(spec.means)])
    return model


def _name_by_position(model: ov.Model) -> None:
    """Rename the operations that OpenVINO named by a counter of this process.

    Such a name (``Constant_5814``) depends on what the process did before, and it would make
    the bytes of the saved model depend on it. The network's own names are kept: a layer of the
    network gives its name to its output tensor too.
    """
    taken = {op.get_friendly_name() for op in model.get_ops()}
    seen: Dict[str, int] = {}
    for op in model.get_ordered_ops():
        name = op.get_friendly_name()
        tensors = {tensor for output in op.outputs() for tensor in output.get_names()}
        if re.fullmatch(r"[A-Za-z]+_\d+", name) and name not in tensors:
            op.set_friendly_name(_next_free(op.get_type_name(), seen, taken))


def _next_free(kind: str, seen: Dict[str, int], taken: Set[str]) -> str:
    while True:
        seen[kind] = seen.get(kind, 0) + 1
        name = f"{kind}.{seen[kind]}"
        if name not in taken:
            return name
