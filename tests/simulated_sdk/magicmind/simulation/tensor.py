"""What goes in and comes out: Tensor."""

from __future__ import annotations

import weakref
import zlib

import numpy as np

from magicmind.simulation import faults
from magicmind.simulation.devices import Device, expect_active
from magicmind.simulation.kinds import DataType, Dims, fits, get_numpy_dtype_by_datatype
from magicmind.simulation.ledger import SimulatedSdkLimit, misuse
from magicmind.simulation.status import Status, failure
from magicmind.simulation.strict import lock, need, sdk_call


class Tensor:
    """An input or an output of a context, which makes it."""

    def __init__(self, *_, **__):
        raise SimulatedSdkLimit("the simulated SDK has only the tensors that contexts create")

    @classmethod
    def _create(cls, context, facts, role):
        """Return a tensor of a context.

        Args:
            context: whose card and memory it uses.
            facts: ``name``, ``dims``, ``type`` and, of inputs, ``ranges``.
            role: ``input`` or ``output``.
        """
        tensor = object.__new__(cls)
        tensor._owner = weakref.ref(context)
        tensor._card = context._card
        tensor._facts = facts
        tensor._role = role
        tensor._dtype = np.dtype(get_numpy_dtype_by_datatype(DataType[facts["type"]]))
        tensor._host = None  # an input's array, not copied; an output's buffer
        tensor._checksum = None
        tensor._device = None  # an input's copy on the card
        tensor._tasks = []  # that read or write it and were not waited for
        tensor._memory = [0]
        tensor._busy = lock()
        world = faults.world()
        weakref.finalize(tensor, _release, world, tensor._card, tensor._memory)
        return tensor

    @property
    def shape(self):
        """The shape; that it is a Dims is not documented."""
        return Dims(self._facts["dims"] if self._host is None else list(self._host.shape))

    @sdk_call("Tensor.from_numpy", returns="status")
    def from_numpy(self, array):
        """Take an array of the model's type and shape.

        Whether the real SDK copies it is not documented: it may not change before :meth:`to`
        or, without that, before the queue was waited for.
        """
        call = "Tensor.from_numpy"
        need(array, np.ndarray, call, "array")
        self._expect_idle(call)
        if self._role != "input":
            raise misuse(call, "it is an output", "write into it")
        if array.dtype != self._dtype:
            raise misuse(
                call,
                f"the array is {array.dtype}, input {self._facts['name']!r} is {self._dtype}",
                "cast it without a word: 127.6 to 127, -1 to 255",
            )
        if not array.flags.c_contiguous:
            raise misuse(call, "the array is not C-contiguous", "read its bytes in another order")
        if not fits(array.shape, self._facts["dims"], self._facts["ranges"]):
            raise misuse(
                call,
                f"the array is {list(array.shape)}; the model was built for {self._built_for()}",
                "read beyond the array, or compute with what was in memory",
            )
        self._host, self._device = array, None
        self._checksum = zlib.crc32(array)
        return Status()

    def _built_for(self):
        pairs = self._facts["ranges"]
        return [low if low == high else f"{low} to {high}" for low, high in pairs]

    @sdk_call("Tensor.to", returns="status")
    def to(self, device):
        """Copy the input to the card, now."""
        call = "Tensor.to"
        need(device, Device, call, "device")
        expect_active(self, call)
        self._expect_idle(call)
        if device._card != self._card:
            raise misuse(call, "the device is another than the context's", "copy it there")
        if self._role != "input" or self._host is None:
            raise misuse(call, "nothing was put into it with from_numpy", "copy what is there")
        self._expect_unchanged(call)
        if not self._reserve(self._host.nbytes):
            return failure(f"card {self._card} has no memory left")
        self._device = self._host.copy()
        return Status()

    @sdk_call("Tensor.asnumpy", returns="object")
    def asnumpy(self, _wrong_shape=False):
        """Return the array; it is the tensor's own, so a further enqueue into it changes it."""
        call = "Tensor.asnumpy"
        expect_active(self, call)
        if self._host is None:
            raise misuse(call, "the tensor is empty", "return what is in memory")
        self._expect_idle(call)
        return self._host[:-1] if _wrong_shape else self._host

    def _expect_idle(self, call):
        """Raise where a task that uses it was not waited for."""
        self._tasks = [task for task in self._tasks if not task.synced]
        if self._tasks:
            raise misuse(
                call,
                "a task that uses the tensor was enqueued, and its queue was not waited for "
                "with sync()",
                "mix what was there with what is computed meanwhile",
            )

    def _expect_unchanged(self, call):
        if zlib.crc32(self._host) != self._checksum:
            raise misuse(
                call,
                "the array was changed after from_numpy and before it was copied to the card",
                "infer either content: whether from_numpy copies is not documented",
            )

    def _reserve(self, size):
        """Return whether the card has the memory."""
        more = size - self._memory[0]
        if more > 0:
            if not faults.world().take_memory(self._card, more):
                return False
            self._memory[0] = size
        return True

    def _allocate(self, shape):
        """Make an output's buffer; return whether the card has the memory."""
        size = int(np.prod(shape)) * self._dtype.itemsize
        if not self._reserve(size):
            return False
        if self._host is None or self._host.shape != tuple(shape):
            self._host = np.zeros(shape, self._dtype)
        return True


def _release(world, card, memory):
    world.give_memory(card, memory[0])
