"""A model loaded by OpenVINO: batches in flight, and what arithmetic it really uses."""

from __future__ import annotations

from typing import Any, List, Set

import numpy as np
import openvino as ov

from mlubench.engines.batches import as_input, least_batch
from mlubench.engines.interface import BuildSpec, Consume, Session
from mlubench.errors import EngineError

_TYPE_NAMES = {
    "f32": "float32",
    "f16": "float16",
    "bf16": "bfloat16",
    "i8": "int8",
    "u8": "int8",
}
#: The layer types of OpenVINO's execution graph that do a network's multiplications.
_COMPUTE = {"Convolution", "FullyConnected", "MatMul", "Deconvolution"}


class OpenVinoSession(Session):
    """A compiled model and its queue of inference requests.

    Args:
        compiled: the model, on its device.
        spec: what it was built for.
        requests: how many batches may be in flight; one more than there are streams, so that
            no stream waits for Python.
    """

    def __init__(self, compiled: ov.CompiledModel, spec: BuildSpec, requests: int) -> None:
        self.executed_precision = executed_precision(compiled)
        scores = compiled.output(0).get_partial_shape()
        self.classes = int(np.prod([scores[axis].get_length() for axis in range(1, len(scores))]))
        self.batch_size = spec.batch_size
        self._spec = spec
        self._queue = ov.AsyncInferQueue(compiled, max(2, requests))
        self._errors: List[BaseException] = []

    def run(self, images: np.ndarray, consume: Consume) -> None:
        """Keep the queue full; scores are consumed as batches finish."""
        self._errors.clear()
        self._queue.set_callback(lambda request, place: self._finish(request, place, consume))
        step, least = self.batch_size, least_batch(self._spec, self.batch_size)
        dtype = {"UINT8": np.uint8, "FLOAT": np.float32}[self._spec.input_dtypes]
        try:
            for first in range(0, len(images), step):
                if self._errors:
                    break
                batch = images[first : first + step]
                filled = as_input(batch, least, self._spec.input_layout, dtype)
                # The request reads the array's own memory, so the array goes along with it.
                self._queue.start_async(
                    {0: ov.Tensor(filled, shared_memory=True)}, (first, len(batch), filled)
                )
            self._queue.wait_all()
        except RuntimeError as error:
            raise EngineError(
                f"OpenVINO failed while it ran: {str(error).strip()}", where="inference"
            ) from error
        if self._errors:
            raise self._errors[0]

    def _finish(self, request: Any, place: Any, consume: Consume) -> None:
        """Hand a finished batch on; an exception may not cross OpenVINO's own thread."""
        first, count, _ = place
        try:
            scores = request.get_output_tensor(0).data
            scores = scores.reshape(len(scores), -1)[:count]
            consume(first, scores.astype(np.float32, copy=False))
        except BaseException as error:  # it is raised again by run()
            self._errors.append(error)


def executed_precision(compiled: ov.CompiledModel) -> str:
    """Return the arithmetic of the model's convolutions and products, as the plug-in runs them.

    One name (``float32``, ``bfloat16``), or several joined by `` + ``; int8 comes first.
    """
    names: Set[str] = set()
    for op in compiled.get_runtime_model().get_ordered_ops():
        facts = op.get_rt_info()
        if str(facts["layerType"].astype(str)) in _COMPUTE:
            # The kernel's name ends in its arithmetic (brgconv_avx512_f32); runtimePrecision is
            # that of the stored weights where float16 ones are computed with in float32.
            kernel = str(facts["primitiveType"].astype(str)).rpartition("_")[2]
            stored = str(facts["runtimePrecision"].astype(str))
            kind = kernel if kernel in _TYPE_NAMES else stored
            names.add(_TYPE_NAMES.get(kind, kind))
    if names == {"int8"}:  # the rest, activations and sums, is of the float type
        hint = compiled.get_property("INFERENCE_PRECISION_HINT").get_type_name()
        names.add(_TYPE_NAMES.get(hint, hint))
    return " + ".join(sorted(names, key=lambda name: (name != "int8", name)))
