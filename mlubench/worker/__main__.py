"""``python -m mlubench.worker --engine NAME [--device DEVICE]``: the worker's main loop.

It ends when its standard input closes, whatever it is doing, so that no worker outlives the
process that started it.
"""

from __future__ import annotations

import argparse
import os
import queue
import sys
import threading
import time
from pathlib import Path
from typing import Any, BinaryIO, Callable, Dict, Mapping, Optional

import numpy as np

from mlubench.engines.interface import (
    BuildSpec,
    Calibration,
    Concurrency,
    Engine,
    NetworkFiles,
    Session,
    load_engine,
)
from mlubench.errors import EngineError
from mlubench.worker import protocol
from mlubench.worker.measure.bench import Bench
from mlubench.worker.noise import layer_noise
from mlubench.worker.shard import run_shard

#: Progress is said at most this often, in seconds; a line for each batch would be noise.
_PROGRESS_SECONDS = 0.2
#: Signs of life of a measurement are rarer: each takes a little of the processor's time.
_SIGN_SECONDS = 5.0


class _Worker:
    """Carries out requests one after the other and says how each went."""

    def __init__(self, engine: Engine, say: Callable[[Mapping[str, Any]], None]) -> None:
        self._engine = engine
        self._say = say
        self._session: Optional[Session] = None
        self._bench = Bench(engine, self._alive)
        self._said = 0.0

    def carry_out(self, request: Mapping[str, Any]) -> None:
        """Do one request; its failure is an answer, not the end of the worker."""
        try:
            verbs = {
                "count": self._count,
                "check": self._check,
                "build": self._build,
                "load": self._load,
                "run": self._run,
                "prepare": self._bench.prepare,
                "configure": self._bench.configure,
                "warm_up": self._bench.warm_up,
                "measure": self._bench.measure,
                "serve": self._bench.serve,
                "scenario": self._bench.scenario,
                "layers": self._bench.layers,
                "dump": self._bench.dump,
                "forget": self._bench.forget,
                "noise": self._noise,
            }
            verb = verbs[request["do"]]
            self._say(dict(verb(request), event="done"))
        except Exception as error:  # whatever it is, the flow is told
            self._say(protocol.failure(error))

    def _count(self, _: Mapping[str, Any]) -> Dict[str, Any]:
        return {"devices": self._engine.count_devices()}

    def _check(self, request: Mapping[str, Any]) -> Dict[str, Any]:
        self._engine.check(BuildSpec.from_json(request["spec"]))
        return {}

    def _build(self, request: Mapping[str, Any]) -> Dict[str, Any]:
        calibration = None
        if request["calibration"] is not None:
            images = np.memmap(
                request["calibration"]["pixels"],
                np.uint8,
                mode="r",
                shape=tuple(request["calibration"]["shape"]),
            )
            calibration = Calibration(images[request["calibration"]["rows"]])
        spec = BuildSpec.from_json(request["spec"])
        network = NetworkFiles.from_json(request["network"])
        self._engine.build(network, spec, calibration, Path(request["folder"]))
        return {}

    def _load(self, request: Mapping[str, Any]) -> Dict[str, Any]:
        if self._session is not None:
            self._session.close()  # a device may have no room for two
            self._session = None
        concurrency = Concurrency(**request.get("concurrency", {}))
        self._session = self._engine.load(Path(request["model"]), concurrency)
        if request.get("batch_size"):
            self._session.batch_size = int(request["batch_size"])
        return {
            "executed_precision": self._session.executed_precision,
            "classes": self._session.classes,
        }

    def _run(self, request: Mapping[str, Any]) -> Dict[str, Any]:
        if self._session is None:
            raise EngineError("asked to run before a network was loaded", where="worker")
        return run_shard(self._session, request, self._progress)

    def _noise(self, request: Mapping[str, Any]) -> Dict[str, Any]:
        return layer_noise(self._engine, request, self._progress)

    def _progress(self, done: int) -> None:
        if time.monotonic() - self._said >= _PROGRESS_SECONDS:
            self._said = time.monotonic()
            self._say({"event": "progress", "done": done})

    def _alive(self) -> None:
        """Say now and then that a measurement goes on; for any thread."""
        if time.monotonic() - self._said >= _SIGN_SECONDS:
            self._progress(0)


def main() -> None:
    """Start the engine on the device, say so, and carry out requests until the pipe closes."""
    arguments = _arguments()
    answers = _private_output()

    def say(message: Mapping[str, Any]) -> None:
        answers.write(protocol.to_line(message))
        answers.flush()

    requests = _requests()
    try:
        engine = load_engine(arguments.engine)
        device = engine.use_device(arguments.device) if arguments.device else ""
        say({"event": "ready", "engine": engine.describe(), "device": device})
    except Exception as error:  # whatever it is, the flow is told
        say(protocol.failure(error))
        return
    worker = _Worker(engine, say)
    while True:
        worker.carry_out(requests.get())


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="mlubench.worker", description=__doc__)
    parser.add_argument("--engine", required=True)
    parser.add_argument("--device", help="what it binds itself to; without it, nothing")
    return parser.parse_args()


def _private_output() -> BinaryIO:
    """Take standard output for the protocol and point file descriptor 1 at standard error.

    Engines print what they like to standard output, from C++ too; that must not reach the flow.
    """
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    return answers


def _requests() -> queue.Queue[Dict[str, Any]]:
    """Return the queue that a thread fills from standard input; its end ends the process."""
    waiting: queue.Queue[Dict[str, Any]] = queue.Queue()

    def read() -> None:
        for line in sys.stdin.buffer:
            waiting.put(protocol.from_line(line))
        os._exit(0)  # the flow is gone or done with us; a running inference is not waited for

    threading.Thread(target=read, daemon=True).start()
    return waiting


if __name__ == "__main__":
    main()
