"""OpenVINO on the host's CPU: the embedded default engine.

A device is a group of cores, pinned: ``cpu:I/G`` is the group I of G equal groups of the cores
that the process may use. Every inference stream has one thread, so an image's scores do not
depend on the number of cores.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlubench.engines.traits import Traits

if TYPE_CHECKING:
    from mlubench.engines.interface import Engine

TRAITS = Traits(
    family="cpu",
    streams=True,
    not_in_run={
        "kernel_capture": "a CPU launches no kernels that could be captured",
        "trace_pmu": "OpenVINO does not tell the CPU's bandwidths",
    },
)


def create() -> Engine:
    """Return the engine; OpenVINO is imported here and not before."""
    from mlubench.engines.openvino.engine import OpenVinoEngine

    return OpenVinoEngine()
