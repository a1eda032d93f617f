"""What an engine gives to be measured: a loaded network with several requests in flight.

A session (:mod:`mlubench.engines.interface`) answers images; this one is timed stage by stage
and takes whatever tensors the network has.

Standard library and NumPy only, Python 3.7 syntax.
"""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from typing import Any, Dict, List, Optional, Sequence, Tuple

import numpy as np


@dataclasses.dataclass(frozen=True)
class TensorInfo:
    """An input or output.

    Attributes:
        name: the network's.
        dims: -1 is a dimension that is open.
        dtype: NumPy's name of its type.
    """

    name: str
    dims: Tuple[int, ...]
    dtype: str


@dataclasses.dataclass(frozen=True)
class LayerTime:
    """How long a layer took, on average over the runs that were profiled.

    Attributes:
        layer: the network's own name of it; several, joined by `` + ``, where the engine runs
            them as one; where the engine added it itself, its kind in parentheses.
        kind: the engine's name of what it ran.
        arithmetic: in which it was done, as the engine says it.
        seconds: of one run.
    """

    layer: str
    kind: str
    arithmetic: str
    seconds: float


@dataclasses.dataclass(frozen=True)
class MeasureSetup:
    """How a network is loaded to be measured.

    Attributes:
        streams: inferences that the device runs side by side; 0 is what an evaluation uses, but no
            more than ``requests``.
        profile: whether layers are to be timed, which slows everything else.
        requests: how many will be in flight; 0 says nothing.
        pinned: whether each stream's threads are bound to cores, or clusters, of their own.
        one_thread: whether each stream has one thread, as in an evaluation; else streams share
            all the device's cores.
        plugin: libraries of further operations.
    """

    streams: int = 0
    profile: bool = False
    requests: int = 0
    pinned: bool = False
    one_thread: bool = False
    plugin: Tuple[str, ...] = ()

    @staticmethod
    def from_json(fields: Dict[str, Any]) -> MeasureSetup:
        """Return the set-up of a request."""
        return MeasureSetup(**dict(fields, plugin=tuple(fields.get("plugin", ()))))


class Lane(ABC):
    """A place for one request in flight, with buffers of its own.

    Attributes:
        done_at: ``time.perf_counter()`` when the device had computed the last request.
        device_seconds: how long that took by the device's own clock; None where it has none.
    """

    done_at: float
    device_seconds: Optional[float] = None

    @abstractmethod
    def copy_in(self, arrays: Sequence[np.ndarray]) -> None:
        """Copy a request's inputs to where the device reads them.

        Args:
            arrays: one for each input, C-contiguous, of its type.

        Raises:
            EngineError: the engine failed.
        """

    @abstractmethod
    def start(self) -> None:
        """Begin to compute, and return at once.

        Raises:
            EngineError: the engine failed.
        """

    @abstractmethod
    def wait(self) -> None:
        """Wait until the request is computed.

        Raises:
            EngineError: the engine failed.
        """

    @abstractmethod
    def copy_out(self) -> List[np.ndarray]:
        """Return copies of the outputs, in the network's order.

        Raises:
            EngineError: the engine failed.
        """


class Lanes(ABC):
    """Lanes that are filled by one thread of the host.

    Attributes:
        lanes: all of them.
    """

    lanes: List[Any]

    @abstractmethod
    def next_free(self) -> Lane:
        """Wait until a lane has nothing in flight, and return it: it is the next to be started.

        It has computed its last request, or has had none. For the thread that starts them.

        Raises:
            EngineError: the engine failed.
        """


class NotifiedLanes(ABC):
    """Lanes that one thread starts while another waits for whichever is computed next.

    Attributes:
        lanes: all of them.
    """

    lanes: List[Any]

    @abstractmethod
    def next_done(self) -> Lane:
        """Wait until a request that was started is computed, and return its lane.

        Raises:
            EngineError: the engine failed.
        """


class Measured(ABC):
    """A loaded network.

    Attributes:
        inputs: in its order.
        outputs: likewise.
        executed_precision: as a session's.
    """

    inputs: Tuple[TensorInfo, ...]
    outputs: Tuple[TensorInfo, ...]
    executed_precision: str

    @abstractmethod
    def lanes(self, count: int) -> Lanes:
        """Return so many new lanes.

        Raises:
            EngineError: the device has no room for them.
        """

    @abstractmethod
    def notified_lanes(self, count: int) -> NotifiedLanes:
        """Return so many new lanes whose ends are told at once, which costs a little.

        Raises:
            EngineError: the device has no room for them.
        """

    def bind_thread(self) -> None:  # noqa: B027  # most engines need nothing
        """Make the device the calling thread's own, where more than one thread uses it.

        Raises:
            EngineError: the engine failed.
        """

    def layer_times(self) -> List[LayerTime]:
        """Return the layers' mean times of the requests so far, in the order of execution.

        Raises:
            ConfigError: the engine does not tell them.
        """
        raise NotImplementedError

    def close(self) -> None:  # noqa: B027  # most engines need nothing
        """Give back what the device holds of it; it runs nothing more."""
