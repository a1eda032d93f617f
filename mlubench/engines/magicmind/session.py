"""A model loaded on a card: contexts and queues in turn, so that copying and computing overlap."""

from __future__ import annotations

from collections import deque
from pathlib import Path
from types import ModuleType
from typing import Any, Deque, List, Optional, Tuple

import numpy as np

from mlubench.engines.batches import as_input, least_batch
from mlubench.engines.interface import BuildSpec, Consume, Session
from mlubench.engines.magicmind.sdk import TYPES, Checks, load_sdk
from mlubench.errors import EngineError

#: ``dump_mode`` of a ContextDumpInfo: all tensors.
_DUMP_ALL = 1
_ARITHMETIC = {
    "force_float32": "float32",
    "force_float16": "float16",
    "qint8_mixed_float16": "int8 + float16",
    "qint8_mixed_float32": "int8 + float32",
    "qint16_mixed_float16": "int16 + float16",
    "qint16_mixed_float32": "int16 + float32",
}


class Slot:
    """One batch in flight: a context, its queue and its tensors.

    Args:
        engine: the SDK's engine.
        device: the SDK's device, which is active.
        checks: of the device.
        outputs: how many the model has.
    """

    def __init__(self, engine: Any, device: Any, checks: Checks, outputs: int) -> None:
        self._checks = checks
        self._count = outputs
        self._device = device
        self._context = checks.made(engine.create_i_context(), "Engine.create_i_context")
        self._queue = checks.made(device.create_queue(), "Device.create_queue")
        inputs = self._context.create_inputs()
        self._inputs = checks.listed(inputs, "Context.create_inputs", 1)
        self._outputs: List[Any] = []
        #: First image and number of images of the batch in flight, without what fills it up.
        self.batch: Optional[Tuple[int, int]] = None
        #: The runtime may read the array until the queue is done.
        self._array: Optional[np.ndarray] = None

    def copy_in(self, array: np.ndarray) -> None:
        """Copy a batch to the device."""
        status = self._inputs[0].from_numpy(array)
        shape = list(array.shape)
        self._checks.ok(status, "Tensor.from_numpy", shape=shape, dtype=array.dtype)
        copied = self._inputs[0].to(self._device)
        self._checks.ok_or_nothing(copied, "Tensor.to", device=self._checks.device)
        self._array = array

    def enqueue(self) -> None:
        """Put the computation of what was copied in into the queue."""
        self._outputs = []  # a list that was filled before is another thing to the runtime
        status = self._context.enqueue(self._inputs, self._outputs, self._queue)
        shape = None if self._array is None else list(self._array.shape)
        self._checks.ok(status, "Context.enqueue", shape=shape)

    def sync(self) -> None:
        """Wait until the queue is done."""
        self._checks.ok(self._queue.sync(), "Queue.sync")

    def read(self) -> List[np.ndarray]:
        """Return the outputs, on the host."""
        outputs = self._checks.listed(self._outputs, "Context.enqueue, outputs", self._count)
        arrays = [self._checks.made(output.asnumpy(), "Tensor.asnumpy") for output in outputs]
        return [np.asarray(array) for array in arrays]

    def dump(self, runtime: ModuleType, folder: Path) -> None:
        """Let the context write every tensor that it computes, in the SDK's own form."""
        info = runtime.Context.ContextDumpInfo(
            path=str(folder),
            tensor_name=[],
            dump_mode=_DUMP_ALL,
            file_format=runtime.FileFormat.kBinary,
        )
        status = self._context.set_context_dump_info(info)
        self._checks.ok_or_nothing(status, "Context.set_context_dump_info", path=folder)

    def close(self) -> None:
        """Give back the SDK's objects, in the reverse order of their making."""
        for name in ("_outputs", "_inputs", "_queue", "_context"):
            setattr(self, name, None)


class MagicMindSession(Session):
    """A loaded model.

    Args:
        runtime: ``magicmind.python.runtime``.
        model: the SDK's model.
        device: the SDK's device, which is active.
        checks: of the device.
        spec: what the model was built for.
        depth: batches in flight.
    """

    def __init__(
        self,
        runtime: ModuleType,
        model: Any,
        device: Any,
        checks: Checks,
        spec: BuildSpec,
        depth: int,
    ) -> None:
        self.executed_precision = executed_precision(runtime, spec)
        self.batch_size = spec.batch_size
        self._spec = spec
        self._checks = checks
        self._dtype, self._layout = input_of(model, spec, checks)
        self.classes = _classes_of(model, checks)
        self._model: Any = model
        self._engine = make_engine(runtime, model, checks)
        self._slots = [Slot(self._engine, device, checks, 1) for _ in range(depth)]

    def run(self, images: np.ndarray, consume: Consume) -> None:
        """Keep every slot busy; scores are consumed in the images' order."""
        least = least_batch(self._spec, self.batch_size)
        waiting: Deque[Slot] = deque(self._slots)
        for slot in self._slots:
            slot.batch = None  # what a failure may have left
        for first in range(0, len(images), self.batch_size):
            slot = waiting.popleft()
            self._take(slot, consume)
            batch = images[first : first + self.batch_size]
            if self._spec.rgb2bgr:
                batch = batch[..., ::-1]  # BuilderConfig has no key for it
            slot.copy_in(as_input(batch, least, self._layout, self._dtype))
            slot.enqueue()
            slot.batch = (first, len(batch))
            waiting.append(slot)
        while waiting:
            self._take(waiting.popleft(), consume)

    def close(self) -> None:
        """Give back the contexts and queues, then the engine, then the model."""
        for slot in self._slots:
            slot.close()
        self._slots.clear()
        self._engine = self._model = None

    def _take(self, slot: Slot, consume: Consume) -> None:
        """Hand on the scores of a slot's batch, where it has one in flight."""
        if slot.batch is None:
            return
        (first, count), slot.batch = slot.batch, None
        slot.sync()
        (scores,) = slot.read()
        rows = max(count, least_batch(self._spec, self.batch_size))
        if scores.size != rows * self.classes:
            raise EngineError(
                f"MagicMind's Context.enqueue and Tensor.asnumpy gave scores {list(scores.shape)}",
                where=self._checks.device,
                expected=f"{rows} images of {self.classes} classes",
            )
        scores = scores.reshape(rows, self.classes)[:count]
        consume(first, scores.astype(np.float32, copy=False))


def make_engine(runtime: ModuleType, model: Any, checks: Checks) -> Any:
    """Return the SDK's engine of a model."""
    config = runtime.Model.EngineConfig()
    config.device_type = "MLU"
    return checks.made(model.create_i_engine(config), "Model.create_i_engine")


def executed_precision(runtime: ModuleType, spec: BuildSpec) -> str:
    """Return the arithmetic that the model was compiled for; the SDK says no more of it."""
    simulated = " (simulated)" if getattr(runtime, "SIMULATED", "") else ""
    return _ARITHMETIC[spec.precision] + simulated


def input_of(model: Any, spec: BuildSpec, checks: Checks) -> Tuple[type, str]:
    """Return the NumPy type and the layout of the model's input, as the model has them."""
    count = model.get_input_num()
    if count != 1:
        raise EngineError(
            f"the model has {count} inputs", where=checks.device, expected="1, images"
        )
    data_type = model.get_input_data_types()[0]
    dtype = np.dtype(load_sdk(TYPES).get_numpy_dtype_by_datatype(data_type)).type
    dims = list(model.get_input_dimensions()[0].GetDims())
    channels, pixels = len(spec.means), list(spec.input_size)
    for layout, shape in (("NHWC", [*pixels, channels]), ("NCHW", [channels, *pixels])):
        if dims[1:] == shape:
            return dtype, layout
    raise EngineError(
        f"the model's input is {dims}",
        where=checks.device,
        expected=f"[batch, {pixels[0]}, {pixels[1]}, {channels}] or its NCHW",
        fix="compile the network again",
    )


def _classes_of(model: Any, checks: Checks) -> int:
    count = model.get_output_num()
    if count != 1:
        raise EngineError(
            f"the model has {count} outputs", where=checks.device, expected="1, scores"
        )
    return int(np.prod(model.get_output_dimensions()[0].GetDims()[1:]))
