"""A model loaded by OpenVINO to be measured: requests in flight, layers' times and outputs."""

from __future__ import annotations

import queue
import time
from collections import OrderedDict
from pathlib import Path
from typing import Any, Dict, List, Sequence, Set, Tuple, Union

import numpy as np
import openvino as ov

from mlubench.engines.measuring import (
    Lane,
    Lanes,
    LayerTime,
    Measured,
    NotifiedLanes,
    TensorInfo,
)
from mlubench.engines.openvino.session import executed_precision
from mlubench.errors import EngineError

#: Seconds that a request may take before the device counts as hung.
_PATIENCE = 300.0


class OpenVinoLane(Lane):
    """An inference request.

    Args:
        request: OpenVINO's.
    """

    def __init__(self, request: ov.InferRequest) -> None:
        self._request = request
        self._inputs = [request.get_input_tensor(i) for i in range(len(request.model_inputs))]
        self._outputs = range(len(request.model_outputs))
        self._started_at = 0.0
        self.done_at = 0.0

    def copy_in(self, arrays: Sequence[np.ndarray]) -> None:
        """Copy into the request's own tensors, which take the arrays' shapes."""
        for tensor, array in zip(self._inputs, arrays):
            if tuple(tensor.shape) != array.shape:
                tensor.shape = array.shape
            tensor.data[:] = array

    def start(self) -> None:
        """Start the request."""
        self._started_at = time.perf_counter()
        self._request.start_async()

    def wait(self) -> None:
        """Wait for the request, and read its time off OpenVINO's clock, which is the host's."""
        try:
            self._request.wait()
        except RuntimeError as error:
            raise _failed(error) from error
        self.take_times()

    def take_times(self) -> None:
        """Note how long the last request took; it is computed."""
        self.device_seconds = self._request.latency / 1e3
        self.done_at = self._started_at + self.device_seconds

    def copy_out(self) -> List[np.ndarray]:
        """Copy the request's outputs."""
        return [np.array(self._request.get_output_tensor(i).data) for i in self._outputs]

    def profile(self) -> List[Any]:
        """Return OpenVINO's times of the last request's nodes."""
        return list(self._request.profiling_info)


class QueuedLane(OpenVinoLane):
    """A request of a queue of OpenVINO's, which says whose turn it is."""

    def __init__(self, request: ov.InferRequest, requests: ov.AsyncInferQueue) -> None:
        super().__init__(request)
        self._queue = requests

    def start(self) -> None:
        """Let the queue start the request that it named last, which is this one."""
        self._started_at = time.perf_counter()
        try:
            self._queue.start_async()
        except RuntimeError as error:  # of an earlier request, too
            raise _failed(error) from error


class OpenVinoLanes(Lanes):
    """Requests of one thread, in OpenVINO's own queue.

    It waits without Python: a callback in it would hold up the device's thread until the
    interpreter is free, some percent of a short inference.
    """

    def __init__(self, compiled: ov.CompiledModel, count: int) -> None:
        self._queue = ov.AsyncInferQueue(compiled, count)
        self.lanes = [QueuedLane(request, self._queue) for request in self._queue]
        self._begun: Set[int] = set()

    def next_free(self) -> Lane:
        """Wait for the queue; those computed first come first."""
        try:
            place: int = self._queue.get_idle_request_id()
        except RuntimeError as error:
            raise _failed(error) from error
        lane: QueuedLane = self.lanes[place]
        if place in self._begun:
            lane.take_times()
        self._begun.add(place)
        return lane


class NotifiedLane(OpenVinoLane):
    """A request whose end is told.

    Args:
        request: OpenVINO's.
        done: gets the lane when its request is computed.
    """

    def __init__(self, request: ov.InferRequest, done: queue.SimpleQueue[Any]) -> None:
        super().__init__(request)
        request.set_callback(done.put, self)


class OpenVinoNotifiedLanes(NotifiedLanes):
    """Requests whose callbacks fill a queue of Python's."""

    def __init__(self, compiled: ov.CompiledModel, count: int) -> None:
        self._done: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self.lanes = [
            NotifiedLane(compiled.create_infer_request(), self._done) for _ in range(count)
        ]

    def next_done(self) -> Lane:
        """Wait for a callback."""
        try:
            lane: OpenVinoLane = self._done.get(timeout=_PATIENCE)
        except queue.Empty:
            raise EngineError(
                f"no request has finished for {_PATIENCE:g} s", where="inference"
            ) from None
        lane.wait()
        return lane


class OpenVinoMeasured(Measured):
    """A compiled model.

    Args:
        compiled: the model, on its device.
        tensors: the names that the network itself gives its tensors, and so its layers.
    """

    def __init__(self, compiled: ov.CompiledModel, tensors: Set[str]) -> None:
        self._compiled = compiled
        self._tensors = tensors
        self._made: List[Union[OpenVinoLanes, OpenVinoNotifiedLanes]] = []
        self.inputs = tuple(_info(port, place) for place, port in enumerate(compiled.inputs))
        self.outputs = tuple(_info(port, place) for place, port in enumerate(compiled.outputs))
        self.executed_precision = executed_precision(compiled)

    def lanes(self, count: int) -> Lanes:
        """Return requests of the model."""
        made = OpenVinoLanes(self._compiled, count)
        self._made.append(made)
        return made

    def notified_lanes(self, count: int) -> NotifiedLanes:
        """Return requests of the model with callbacks."""
        made = OpenVinoNotifiedLanes(self._compiled, count)
        self._made.append(made)
        return made

    def layer_times(self) -> List[LayerTime]:
        """Return the mean over the last request of each lane, by the network's own names.

        OpenVINO names the layers that it runs as one in ``originalLayersNames``; what it adds
        itself (changes of type and order) has no layer.
        """
        layers = _layers(self._compiled, self._tensors)
        seconds: Dict[Tuple[str, str, str], float] = OrderedDict()
        lanes = [lane for made in self._made for lane in made.lanes]
        for lane in lanes:
            # What is not run has no time; nor has what took less than a microsecond this time.
            for node in lane.profile():
                kind = str(node.node_type)
                key = (layers.get(node.node_name, f"({kind})"), kind, str(node.exec_type))
                seconds[key] = seconds.get(key, 0.0) + node.real_time.total_seconds()
        return [LayerTime(*key, whole / len(lanes)) for key, whole in seconds.items()]

    def close(self) -> None:
        """Let the requests go before their model."""
        self._made.clear()
        del self._compiled


def _failed(error: RuntimeError) -> EngineError:
    return EngineError(f"OpenVINO failed while it ran: {str(error).strip()}", where="inference")


def _info(port: Any, place: int) -> TensorInfo:
    names = sorted(port.get_names())
    dims = [axis.get_length() if axis.is_static else -1 for axis in port.get_partial_shape()]
    dtype = np.dtype(port.get_element_type().to_dtype()).name
    return TensorInfo(names[0] if names else f"{place}", tuple(dims), dtype)


def _layers(compiled: ov.CompiledModel, tensors: Set[str]) -> Dict[str, str]:
    """Return the network's layers of each node of the execution graph that has any."""
    found = {}
    for op in compiled.get_runtime_model().get_ordered_ops():
        facts = op.get_rt_info()
        if "originalLayersNames" in facts:
            original = str(facts["originalLayersNames"].astype(str)).split(",")
            named = filter(None, (own_layer(name, tensors) for name in original))
            layers = " + ".join(OrderedDict.fromkeys(named))
            if layers:
                found[op.get_friendly_name()] = layers
    return found


def own_layer(name: str, tensors: Set[str]) -> str:
    """Return the layer that a node of OpenVINO's was made of; empty where it is its own.

    Quantisation and fusion put parts behind a layer's name, as in ``conv1/fq_output_0``.
    """
    while name not in tensors:
        name, slash, _ = name.rpartition("/")
        if not slash:
            return ""
    return name


def dump_layers(
    core: ov.Core,
    model_file: Path,
    properties: Dict[str, Any],
    inputs: Sequence[np.ndarray],
    folder: Path,
) -> List[str]:
    """Run a model once with every layer's tensor among its outputs; write each as a .npy file.

    Returns:
        The names of the layers, as the tensors are named, in the order of the graph.

    Raises:
        EngineError: OpenVINO failed.
    """
    try:
        model = core.read_model(str(model_file))
        names = tensor_names(model)
        outputs = {name for port in model.outputs for name in port.get_names()}
        model.add_outputs([name for name in names if name not in outputs])
        compiled = core.compile_model(model, "CPU", properties)
        results = compiled(list(inputs))
    except RuntimeError as error:
        raise EngineError(
            f"OpenVINO failed while it ran: {str(error).strip()}", where=str(model_file)
        ) from error
    for name, file in zip(names, file_names(names)):
        np.save(folder / (file + ".npy"), results[compiled.output(name)])
    return names


def tensor_names(model: ov.Model) -> List[str]:
    """Return a name of each tensor that the network itself names."""
    found = []
    for op in model.get_ordered_ops():
        if op.get_type_name() in ("Parameter", "Constant", "Result"):
            continue
        for output in op.outputs():
            names = sorted(output.get_names())
            if names:
                found.append(names[0])
    return found


def file_names(layers: Sequence[str]) -> List[str]:
    """Return layers' names as files': what no file may have is an underscore, none occurs twice."""
    found: List[str] = []
    for layer in layers:
        name = plain = layer.replace("/", "_").replace("\0", "_")
        count = 1
        while name in found:
            count += 1
            name = f"{plain}_{count}"
        found.append(name)
    return found
