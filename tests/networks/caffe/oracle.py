"""What the importer is checked against: OpenCV's own Caffe importer, and three ways to run it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import onnx
    import openvino

Array = npt.NDArray[np.float32]
Blobs = Mapping[str, Array]

_LAYER = re.compile(r"^layers?\s*\{.*?^\}", re.MULTILINE | re.DOTALL)
_BOTTOM = re.compile(r"bottom:\s*\"[^\"]*\"")


def image(shape: Sequence[int], seed: int = 0) -> Array:
    """Return random pixels with their mean subtracted."""
    pixels = np.random.default_rng(seed).uniform(0, 255, shape)
    return (pixels - 117).astype(np.float32)


def for_opencv(text: str) -> str:
    """Return a network's text as OpenCV must be given it.

    OpenCV takes bottom[1] of Axpy as the summand and bottom[2] as the factor; it reads no
    `layers` with a string for a type; it wants the batch size of its input.
    """
    text = re.sub(r"dim:\s*10(?=\s+dim: 3)", "dim: 1", text)
    return _LAYER.sub(lambda found: _layer_for_opencv(found.group()), text)


def _layer_for_opencv(layer: str) -> str:
    if 'type: "' in layer:
        layer = re.sub(r"^layers", "layer", layer)
    if '"Axpy"' not in layer:
        return layer
    first, second, third = _BOTTOM.findall(layer)
    order = iter([first, third, second])
    return _BOTTOM.sub(lambda _: next(order), layer)


def run_opencv(text: str, weights: Path, data: Array, layers: Sequence[str]) -> Blobs:
    """Return the blobs that layers make, as OpenCV computes them, by layer name."""
    import cv2

    prototxt = np.frombuffer(for_opencv(text).encode(), np.uint8)
    net = cv2.dnn.readNetFromCaffe(prototxt, np.fromfile(weights, np.uint8))
    net.enableFusion(False)
    net.enableWinograd(False)
    net.setInput(data)
    blobs = net.forward(list(layers))
    return {layer: np.asarray(blob) for layer, blob in zip(layers, blobs, strict=True)}


def run_onnxruntime(model: onnx.ModelProto, data: Array) -> Blobs:
    """Return every layer's tensor as ONNX Runtime computes it, by tensor name."""
    from mlubench.networks.caffe import with_all_outputs

    everything = with_all_outputs(model)
    return _onnxruntime(everything, everything.SerializeToString(), data)


def run_both(model: onnx.ModelProto, data: Array) -> tuple[Blobs, Blobs]:
    """Return every layer's tensor as ONNX Runtime and as OpenVINO in float32 compute it."""
    import openvino

    from mlubench.networks.caffe import with_all_outputs

    everything = with_all_outputs(model)
    content = everything.SerializeToString()  # once: it may be large
    results = compile_openvino(openvino.Core().read_model(content))(data)
    openvinos = {output.name: results[output.name] for output in everything.graph.output}
    return _onnxruntime(everything, content, data), openvinos


def _onnxruntime(model: onnx.ModelProto, content: bytes, data: Array) -> Blobs:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1  # more would wait for each other by computing
    session = onnxruntime.InferenceSession(content, options)
    names = [output.name for output in model.graph.output]
    return dict(zip(names, session.run(names, {model.graph.input[0].name: data}), strict=True))


def compile_openvino(network: openvino.Model) -> openvino.CompiledModel:
    """Compile a network for the CPU in float32."""
    import openvino

    return openvino.Core().compile_model(network, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})


def tensor_of(model: onnx.ModelProto, layer: str) -> str:
    """Return the output tensor of the node that bears a layer's name."""
    return next(str(node.output[0]) for node in model.graph.node if node.name == layer)


def difference(ours: Array, theirs: Array) -> float:
    """Return the largest difference of two blobs, as a fraction of the second one's range."""
    span = float(theirs.max() - theirs.min()) or 1.0
    return float(np.abs(ours.reshape(theirs.shape) - theirs).max()) / span
