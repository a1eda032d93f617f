"""Every layer's output of two compilations of one network, image by image."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Dict, Iterable, List

import numpy as np
import openvino as ov

from mlubench.engines.batches import as_input
from mlubench.engines.interface import BuildSpec, ConsumeLayer
from mlubench.engines.openvino.measuring import tensor_names
from mlubench.errors import EngineError

_INPUT_TYPES = {"UINT8": np.uint8, "FLOAT": np.float32}


class OpenVinoLayers:
    """A model that gives its layers' tensors besides its scores, one image at a time.

    A tensor that is an output cannot be fused away, so that what runs is not quite the network
    that is measured; each operation keeps its arithmetic.

    Args:
        core: OpenVINO.
        model_file: the IR.
        spec: what it was built for.
        properties: those that choose its arithmetic.
    """

    def __init__(
        self, core: ov.Core, model_file: Path, spec: BuildSpec, properties: Dict[str, Any]
    ) -> None:
        self._spec = spec
        self._file = model_file
        try:
            model = core.read_model(str(model_file))
            shape = model.input(0).get_partial_shape()
            shape[0] = ov.Dimension(1)
            model.reshape({0: shape})
            self.layers = tensor_names(model)
            outputs = {name for port in model.outputs for name in port.get_names()}
            model.add_outputs([name for name in self.layers if name not in outputs])
            self._compiled = core.compile_model(model, "CPU", properties)
        except RuntimeError as error:
            raise self._failed(error) from error

    def run(self, image: np.ndarray) -> Dict[str, np.ndarray]:
        """Return each layer's output of one image, uint8 [height, width, 3]."""
        dtype = _INPUT_TYPES[self._spec.input_dtypes]
        pixels = as_input(image[np.newaxis], 1, self._spec.input_layout, dtype)
        try:
            results = self._compiled([pixels])
        except RuntimeError as error:
            raise self._failed(error) from error
        return {name: results[self._compiled.output(name)] for name in self.layers}

    def _failed(self, error: RuntimeError) -> EngineError:
        return EngineError(
            "OpenVINO failed while it ran: {}".format(str(error).strip()), where=str(self._file)
        )


def compare(
    reference: OpenVinoLayers,
    candidate: OpenVinoLayers,
    images: Iterable[np.ndarray],
    consume: ConsumeLayer,
) -> None:
    """Give every common layer's two outputs of each image, in the candidate's order."""
    known = set(reference.layers)
    common: List[str] = [name for name in candidate.layers if name in known]
    for image in images:
        before, after = reference.run(image), candidate.run(image)
        for name in common:
            if before[name].shape == after[name].shape:
                consume(name, before[name], after[name])
