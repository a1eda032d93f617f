"""An engine for tests that fails on demand: `tests.support.fault_engine`.

It answers class = (first byte of the image) and takes its faults from the environment:
``MLUBENCH_FAULTS`` is a JSON list of objects with ``device``, ``do`` (start, load, run), ``how``
(die, hang, error, print, nan) and ``times``. How often each has happened is counted in files
of the folder ``MLUBENCH_FAULT_COUNTS``, since a fault may end the process.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import numpy as np

from mlubench.engines.interface import (
    BuildSpec,
    Calibration,
    Concurrency,
    Consume,
    Engine,
    NetworkFiles,
    Session,
)
from mlubench.errors import ConfigError, EngineError

CLASSES = 256
_BATCH = 4


def create() -> Engine:
    return FaultEngine()


class FaultEngine(Engine):
    precisions = ("force_float32",)

    def __init__(self) -> None:
        self.device = ""

    def describe(self) -> dict[str, str]:
        return {"version": "0"}

    def count_devices(self) -> int:
        return 9

    def use_device(self, device: str) -> str:
        self.device = device
        if device == "card:9":
            raise ConfigError("there is no device card:9", where="--devices")
        self.fault("start")
        return "a test device"

    def build(
        self,
        network: NetworkFiles,
        spec: BuildSpec,
        calibration: Calibration | None,
        folder: Path,
    ) -> None:
        (folder / "model").write_bytes(b"model")

    def load(self, model: Path, concurrency: Concurrency = Concurrency()) -> Session:
        self.fault("load")
        return FaultSession(self)

    def fault(self, verb: str) -> str | None:
        for number, fault in enumerate(json.loads(os.environ.get("MLUBENCH_FAULTS", "[]"))):
            if fault["device"] == self.device and fault["do"] == verb:
                counter = Path(os.environ["MLUBENCH_FAULT_COUNTS"]) / str(number)
                happened = counter.stat().st_size if counter.exists() else 0
                if happened < fault["times"]:
                    with counter.open("ab") as stream:
                        stream.write(b"x")
                    return _happen(fault["how"])
        return None


def _happen(how: str) -> str:
    if how == "die":
        os.write(2, b"segmentation fault in the vendor's library\n")
        os._exit(139)
    if how == "hang":
        time.sleep(3600)
    if how == "error":
        raise EngineError("the device said no", where="enqueue")
    if how == "print":
        os.write(1, b"a library that prints to standard output\n")
    return how


class FaultSession(Session):
    executed_precision = "float32"
    classes = CLASSES

    def __init__(self, engine: FaultEngine) -> None:
        self._engine = engine

    def run(self, images: np.ndarray, consume: Consume) -> None:
        how = self._engine.fault("run")
        for first in range(0, len(images), _BATCH):
            batch = images[first : first + _BATCH]
            scores = np.zeros((len(batch), CLASSES), np.float32)
            scores[np.arange(len(batch)), batch[:, 0, 0, 0]] = np.nan if how == "nan" else 1
            consume(first, scores)
