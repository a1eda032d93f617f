"""The OpenVINO engine, slower by a tenth: what a benchmark must notice."""

from __future__ import annotations

import os
import time
from pathlib import Path

from mlubench.engines.measuring import Lanes, Measured, MeasureSetup
from mlubench.engines.openvino.engine import OpenVinoEngine
from mlubench.engines.traits import Traits

TRAITS = Traits(family="cpu")
#: How much longer each request takes, as a fraction of what it took.
SLOWER = float(os.environ.get("MLUBENCH_SLOWER", "0.111"))


def create() -> SlowEngine:
    return SlowEngine()


class SlowEngine(OpenVinoEngine):
    def measure(self, model: Path, setup: MeasureSetup) -> Measured:
        measured = super().measure(model, setup)
        made = measured.lanes
        measured.lanes = lambda count: _slowed(made(count))  # type: ignore[method-assign]
        return measured


def _slowed(lanes: Lanes) -> Lanes:
    wait = lanes.next_free

    def next_free() -> object:
        begin = time.perf_counter()
        lane = wait()
        # Nothing is started meanwhile: the device idles for as long as the host is late. A sleep
        # would last longer than asked for.
        end = time.perf_counter()
        while time.perf_counter() < end + (end - begin) * SLOWER:
            pass
        lane.done_at = time.perf_counter()
        return lane

    lanes.next_free = next_free  # type: ignore[assignment,method-assign]
    return lanes
