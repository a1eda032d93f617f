"""A model loaded on a card to be measured: contexts and queues in flight."""

from __future__ import annotations

import time
from collections import deque
from types import ModuleType
from typing import Any, Deque, List, Sequence, Tuple

import numpy as np

from mlubench.engines.interface import BuildSpec
from mlubench.engines.magicmind.sdk import TYPES, Checks, load_sdk
from mlubench.engines.magicmind.session import Slot, executed_precision, make_engine
from mlubench.engines.measuring import (
    Lane,
    Lanes,
    LayerTime,
    Measured,
    NotifiedLanes,
    TensorInfo,
)
from mlubench.errors import ConfigError


class MagicMindLane(Lane):
    """A slot, timed.

    Args:
        slot: its context and queue.
        started: gets the lane when its request was put into its queue.
    """

    def __init__(self, slot: Slot, started: Deque[MagicMindLane]) -> None:
        self._slot = slot
        self._started = started
        self.done_at = 0.0

    def copy_in(self, arrays: Sequence[np.ndarray]) -> None:
        """Copy to the card."""
        self._slot.copy_in(arrays[0])

    def start(self) -> None:
        """Put the computation into the queue."""
        self._slot.enqueue()
        self._started.append(self)

    def wait(self) -> None:
        """Wait for the queue; the Python API has no event to ask the card's own clock."""
        self._slot.sync()
        self.done_at = time.perf_counter()
        self._started.remove(self)

    def copy_out(self) -> List[np.ndarray]:
        """Copy from the card."""
        return self._slot.read()

    def close(self) -> None:
        """Give back the SDK's objects."""
        self._slot.close()


class MagicMindLanes(Lanes, NotifiedLanes):
    """Slots that are waited for in the order in which they were started.

    A queue's end cannot be told; the card computes one request after the other anyway.
    """

    def __init__(self, slots: Sequence[Slot]) -> None:
        self._started: Deque[MagicMindLane] = deque()
        self.lanes = [MagicMindLane(slot, self._started) for slot in slots]

    def next_free(self) -> Lane:
        """Return one that is not in flight, or wait for the oldest."""
        if len(self._started) < len(self.lanes):
            idle: Lane = next(lane for lane in self.lanes if lane not in self._started)
            return idle
        return self.next_done()

    def next_done(self) -> Lane:
        """Wait for the oldest."""
        lane = self._started[0]
        lane.wait()
        return lane


class MagicMindMeasured(Measured):
    """A loaded model.

    Args:
        runtime: ``magicmind.python.runtime``.
        model: the SDK's model.
        device: the SDK's device, which is active.
        checks: of the device.
        spec: what the model was built for.
    """

    def __init__(
        self, runtime: ModuleType, model: Any, device: Any, checks: Checks, spec: BuildSpec
    ) -> None:
        self.executed_precision = executed_precision(runtime, spec)
        self.inputs = _infos(model, "input")
        self.outputs = _infos(model, "output")
        self._device, self._checks = device, checks
        self._model: Any = model
        self._engine = make_engine(runtime, model, checks)
        self._made: List[MagicMindLanes] = []

    def lanes(self, count: int) -> Lanes:
        """Return contexts and queues of the model."""
        return self._lanes(count)

    def notified_lanes(self, count: int) -> NotifiedLanes:
        """Return contexts and queues of the model; one thread may wait while another starts."""
        return self._lanes(count)

    def _lanes(self, count: int) -> MagicMindLanes:
        outputs = len(self.outputs)
        made = MagicMindLanes(
            [Slot(self._engine, self._device, self._checks, outputs) for _ in range(count)]
        )
        self._made.append(made)
        return made

    def bind_thread(self) -> None:
        """Activate the card for this thread."""
        self._checks.ok(self._device.active(), "Device.active")

    def layer_times(self) -> List[LayerTime]:
        """Refuse: the SDK's profiler writes files of a form that is not documented."""
        raise ConfigError(
            "MagicMind's Python API tells no layer's time",
            where="--perf_path",
            expected="mm_run, which writes them with the SDK's own profiler",
            fix="run it with --native",
        )

    def close(self) -> None:
        """Give back contexts and queues, then the engine, then the model."""
        for made in self._made:
            for lane in made.lanes:
                lane.close()
        self._made.clear()
        self._engine = self._model = None


def _infos(model: Any, which: str) -> Tuple[TensorInfo, ...]:
    """Return the model's inputs or outputs."""
    names = getattr(model, f"get_{which}_names")()
    dims = getattr(model, f"get_{which}_dimensions")()
    types = getattr(model, f"get_{which}_data_types")()
    as_numpy = load_sdk(TYPES).get_numpy_dtype_by_datatype
    return tuple(
        TensorInfo(str(name), tuple(dim.GetDims()), np.dtype(as_numpy(kind)).name)
        for name, dim, kind in zip(names, dims, types)
    )
