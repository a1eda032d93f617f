"""Running a model: Engine, Context."""

from __future__ import annotations

import threading
import weakref
from pathlib import Path

from magicmind.simulation import faults, graphs
from magicmind.simulation.devices import Queue, expect_active
from magicmind.simulation.kinds import DumpMode, FileFormat
from magicmind.simulation.ledger import SimulatedSdkLimit, misuse
from magicmind.simulation.status import Status, failure
from magicmind.simulation.strict import Fields, _alone, lock, need, sdk_call
from magicmind.simulation.tensor import Tensor

_OFF, _ALL, _OUTPUTS = -1, 1, 2  # documented values of dump_mode that the simulator has


class Engine:
    """A model on a card. A Model makes it."""

    def __init__(self, model, card):
        self._model = weakref.ref(model)
        self._card = card
        self._busy = lock()

    @sdk_call("Engine.create_i_context", returns="object")
    def create_i_context(self):
        """Return a Context, or None where the card has no memory left."""
        call = "Engine.create_i_context"
        expect_active(self, call)
        model = _alive(self._model, call, "Model")
        if not faults.world().take_memory(self._card, len(model._graph)):
            return None
        return Context(self, model)


def _alive(reference, call, name):
    owner = reference()
    if owner is None:
        raise misuse(
            call,
            f"the {name} that it came from is gone; keep it as long as what it made",
            "crash: nothing says that it is kept",
        )
    return owner


class _DumpSettings(Fields):
    _fields = {
        "path": str,
        "tensor_name": list,
        "dump_mode": (int, DumpMode),
        "file_format": (int, FileFormat),
    }


class _ContextDumpInfo(Fields):
    """What to dump: its fields may be set as arguments or on ``val``."""

    def __init__(self, **fields):
        self._val = _DumpSettings()
        for name, value in fields.items():
            setattr(self._val, name, value)

    @property
    def val(self):
        """The fields."""
        return self._val


class Context:
    """What inferences need beside the model. An Engine makes it."""

    ContextDumpInfo = _ContextDumpInfo

    def __init__(self, engine, model):
        self._engine = weakref.ref(engine)
        self._card = engine._card
        self._meta = model._meta
        self._runner = model._runner()
        self._dumper = model._dumper
        self._inner = []
        self._busy = lock()
        self._tasks = []
        self._dump_folder = None
        world = faults.world()
        weakref.finalize(self, world.give_memory, self._card, len(model._graph))

    @sdk_call("Context.set_context_dump_info", returns="status")
    def set_context_dump_info(self, info):
        """Dump all tensors (mode 1) or outputs (mode 2) as raw bytes, or nothing (mode -1)."""
        call = "Context.set_context_dump_info"
        need(info, _ContextDumpInfo, call, "info")
        mode = getattr(info.val, "dump_mode", _OFF)
        mode = mode.value if isinstance(mode, DumpMode) else mode
        if mode not in (-1, 0, 1, 2):
            raise misuse(call, f"there is no dump_mode {mode}", "ignore it")
        if mode not in (_OFF, _ALL, _OUTPUTS):
            raise SimulatedSdkLimit("the simulated SDK dumps all tensors or outputs only")
        if mode != _OFF and getattr(info.val, "file_format", None) is not FileFormat.kBinary:
            raise SimulatedSdkLimit("the simulated SDK dumps FileFormat.kBinary only")
        self._dump_folder = None if mode == _OFF else info.val.path
        self._inner = self._meta["inner"] if mode == _ALL else []
        if mode == _ALL:
            self._runner = self._dumper()
        return Status()

    @sdk_call("Context.create_inputs", returns="list")
    def create_inputs(self):
        """Return a list of Tensors to be filled, or a Status."""
        self._expect_usable("Context.create_inputs")
        return [Tensor._create(self, one, "input") for one in self._meta["inputs"]]

    @sdk_call("Context.create_outputs", returns="list")
    def create_outputs(self, inputs, suppress_infer_shape_error=False, _wrong_shape=False):
        """Return a list of Tensors that an enqueue may fill, or a Status."""
        call = "Context.create_outputs"
        self._expect_usable(call)
        need(suppress_infer_shape_error, bool, call, "suppress_infer_shape_error")
        self._expect_own(call, inputs)
        if any(tensor._host is None for tensor in inputs):
            return failure("the outputs' shapes cannot be told before the inputs are filled")
        outputs = self._new_outputs()
        if not all(map(Tensor._allocate, outputs, self._output_shapes(inputs, _wrong_shape))):
            return failure(f"card {self._card} has no memory left")
        return outputs

    @sdk_call("Context.enqueue", returns="status")
    def enqueue(self, inputs, outputs, queue, input_by_tensor_order=True, _wrong_shape=False):
        """Begin an inference; ``outputs`` is filled where it is empty."""
        call = "Context.enqueue"
        self._expect_usable(call)
        need(input_by_tensor_order, bool, call, "input_by_tensor_order")
        need(outputs, list, call, "outputs")
        need(queue, Queue, call, "queue")
        self._expect_own(call, inputs)
        self._expect_queue(call, queue)
        shapes = self._output_shapes(inputs, _wrong_shape)
        tensors = self._outputs_to_fill(call, outputs, shapes)
        if not all(map(Tensor._allocate, tensors, shapes)):
            return failure(f"card {self._card} has no memory left")
        for tensor in inputs:
            if not tensor._reserve(tensor._host.nbytes):
                return failure(f"card {self._card} has no memory left")
        task = _Task(self, queue, inputs, tensors)
        for tensor in (*inputs, *tensors):
            tensor._tasks.append(task)
        self._tasks.append(task)
        outputs[:] = tensors
        with _alone(queue, call):
            queue._put(task)
        return Status()

    def _expect_usable(self, call):
        expect_active(self, call)
        _alive(self._engine, call, "Engine")

    def _expect_own(self, call, inputs):
        names = [one["name"] for one in self._meta["inputs"]]
        need(inputs, list, call, "inputs")
        for tensor in inputs:
            need(tensor, Tensor, call, "an input")
            if tensor._owner() is not self:
                raise misuse(call, "an input is another context's", "read that one's memory")
        if [tensor._facts["name"] for tensor in inputs] != names:
            raise misuse(call, f"the inputs are not {names}", "crash, or mix them up")
        filled = [tensor for tensor in inputs if tensor._host is not None]
        if call.endswith("enqueue"):
            if len(filled) < len(inputs):
                raise misuse(call, "an input was not filled", "infer what is in memory")
            for tensor in inputs:
                if tensor._device is None:
                    tensor._expect_unchanged(call)
        if len({len(tensor._host) for tensor in filled}) > 1:
            raise misuse(call, "the inputs' batches differ", "read beyond the smaller one")

    def _expect_queue(self, call, queue):
        if queue._card != self._card:
            raise misuse(call, "the queue is another card's", "crash")
        self._tasks = [task for task in self._tasks if not task.synced]
        if any(task.queue() is not queue for task in self._tasks):
            raise misuse(
                call,
                "a task of the context is on another queue, not waited for",
                "let both use the same memory at once",
            )

    def _new_outputs(self):
        return [Tensor._create(self, one, "output") for one in self._meta["outputs"]]

    def _output_shapes(self, inputs, too_short):
        batch = len(inputs[0]._host)
        shapes = [[batch, *one["dims"][1:]] for one in self._meta["outputs"]]
        if too_short:
            shapes = [[*shape[:1], max(1, shape[1] - 1), *shape[2:]] for shape in shapes]
        return shapes

    def _outputs_to_fill(self, call, outputs, shapes):
        if not outputs:
            return self._new_outputs()
        for tensor in outputs:
            need(tensor, Tensor, call, "an output")
            tensor._expect_idle(call)
            if tensor._owner() is not self or tensor._role != "output":
                raise misuse(call, "an output is none of this context's", "write elsewhere")
        given = [list(tensor._host.shape) for tensor in outputs]
        if given != shapes:
            raise misuse(
                call,
                f"the outputs are filled with {given}, this inference gives {shapes}; "
                "pass an empty list",
                "write beyond them",
            )
        return list(outputs)


class _Task:
    """An inference on a queue."""

    def __init__(self, context, queue, inputs, outputs):
        self.queue = weakref.ref(queue)
        self.done = threading.Event()
        self.synced = False
        self.error = None
        self._runner = context._runner
        self._dump_folder = context._dump_folder
        self._inner = context._inner
        self._inputs = inputs = list(inputs)
        self._outputs = outputs
        # What was copied with to() is read as it was then; else the host's array as it is now.
        self._arrays = [one._host if one._device is None else one._device for one in inputs]

    def run(self):
        """Compute, on the queue's thread."""
        try:
            names = [one._facts["name"] for one in self._inputs]
            results = graphs.run_images(self._runner, dict(zip(names, self._arrays)))
            for tensor, result in zip(self._outputs, results):
                # Cut where a fault made the output too short.
                tensor._host[...] = result[tuple(slice(size) for size in tensor._host.shape)]
            self._dump(results[len(self._outputs) :])
        except Exception as error:  # the queue goes on; sync() tells
            self.error = error
        finally:
            self.done.set()

    def _dump(self, inner):
        """Write the outputs, and what inner tensors there are; real files have other names."""
        if self._dump_folder is None:
            return
        arrays = {tensor._facts["name"]: tensor._host for tensor in self._outputs}
        arrays.update(zip(self._inner, inner))
        for name, array in arrays.items():
            path = Path(self._dump_folder) / f"{name.replace('/', '_')}.simulated.bin"
            path.write_bytes(array.tobytes())

    def settle(self):
        """Let tensors be used again; the queue was waited for."""
        self.synced = True
        for tensor in self._inputs:
            if tensor._device is None:
                tensor._expect_unchanged("Queue.sync")
        self._inputs = self._outputs = self._arrays = ()
