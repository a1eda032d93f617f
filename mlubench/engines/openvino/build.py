"""From ONNX to OpenVINO's IR: quantisation, image input, means and variances, batch."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Dict, Optional, Set

import openvino as ov
from openvino.preprocess import PrePostProcessor

from mlubench.engines.interface import BuildSpec, Calibration
from mlubench.engines.openvino.flags import INPUT_TYPES, OUTPUT_TYPES
from mlubench.engines.openvino.quantise import quantise
from mlubench.engines.precisions import is_quantised
from mlubench.errors import ConfigError

_NETWORK_LAYOUT = "NCHW"


def build_model(
    core: ov.Core, network: Path, spec: BuildSpec, calibration: Optional[Calibration]
) -> ov.Model:
    """Return the model to save: uint8 NHWC in, scores out, quantised where the spec says so."""
    model = core.read_model(str(network))
    if is_quantised(spec.precision):
        model = quantise(model, spec, calibration)
    model = _with_image_input(model, spec)
    _name_by_position(model)
    return model


def _with_image_input(model: ov.Model, spec: BuildSpec) -> ov.Model:
    """Put the conversion from decoded pixels into the model and fix its batch."""
    steps = PrePostProcessor(model)
    image = steps.input()
    image.tensor().set_element_type(getattr(ov.Type, INPUT_TYPES[spec.input_dtypes]))
    image.tensor().set_layout(ov.Layout(spec.input_layout))
    deviations = [variance**0.5 for variance in spec.variances]
    if INPUT_TYPES[spec.input_dtypes] != "f32":
        image.preprocess().convert_element_type(ov.Type.f32)
    if spec.rgb2bgr:
        image.preprocess().reverse_channels()
    image.preprocess().mean(list(spec.means)).scale(deviations)
    image.model().set_layout(ov.Layout(_NETWORK_LAYOUT))
    _convert_scores(model, steps, spec)
    model = steps.build()
    model.reshape({0: _input_shape(spec)})
    return model


def _convert_scores(model: ov.Model, steps: PrePostProcessor, spec: BuildSpec) -> None:
    """Put the scores' conversion into the model, where one is asked for."""
    if spec.output_layout:
        axes = len(model.output(0).get_partial_shape())
        if axes != len(_NETWORK_LAYOUT):
            raise ConfigError(
                f"the network's scores have {axes} axes and so no layout",
                where="--output_layout",
                expected="scores [images, classes, 1, 1]",
                fix="leave it out",
            )
        steps.output().model().set_layout(ov.Layout(_NETWORK_LAYOUT))
        steps.output().tensor().set_layout(ov.Layout(spec.output_layout))
    if OUTPUT_TYPES[spec.output_dtypes] != "f32":
        steps.output().tensor().set_element_type(getattr(ov.Type, OUTPUT_TYPES[spec.output_dtypes]))


def _input_shape(spec: BuildSpec) -> ov.PartialShape:
    batch = ov.Dimension(spec.batch_size)
    if spec.dynamic_shape:
        batch = ov.Dimension(*spec.dim_range) if spec.dim_range else ov.Dimension(-1)
    pixels = [ov.Dimension(side) for side in spec.input_size]
    channels = ov.Dimension(len(spec.means))
    shape = [*pixels, channels] if spec.input_layout == "NHWC" else [channels, *pixels]
    return ov.PartialShape([batch, *shape])


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
