"""Measuring a loaded network: what the worker's verbs ``prepare``, ``measure`` and so on do.

Standard library and NumPy only, Python 3.7 syntax.
"""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence

import numpy as np

from mlubench.engines.interface import Engine
from mlubench.engines.measuring import Measured, MeasureSetup, TensorInfo
from mlubench.errors import ConfigError, EngineError, StoreError
from mlubench.store import atomic_path
from mlubench.worker.measure.pump import Feed, Moments, Pump, WarmUp, as_arrays
from mlubench.worker.measure.scenarios import LaneSystem, run_scenario, some_latencies
from mlubench.worker.measure.usage import usage

#: Random inputs are drawn anew for each buffer from this.
_SEED = 0


class Bench:
    """The networks that a worker has loaded to be measured, by keys of the flow's own.

    Args:
        engine: that loads them.
        alive: called for each request of a measurement, from any of its threads; cheap.
    """

    def __init__(self, engine: Engine, alive: Callable[[], None] = lambda: None) -> None:
        self._engine = engine
        self._alive = alive
        self._prepared: Dict[str, Measured] = {}
        self._pumps: Dict[str, List[Pump]] = {}
        #: Pumps of one thread of the run, which share its iterations.
        self._sharing: Dict[str, int] = {}
        self._systems: Dict[str, LaneSystem] = {}

    def prepare(self, request: Mapping[str, Any]) -> Dict[str, Any]:
        """Load a network under a key, in place of what that key had.

        Args:
            request: ``key``, ``model`` (path), ``setup`` (fields of a MeasureSetup).

        Returns:
            ``inputs`` and ``outputs``, a [name, dims, dtype] each, ``executed_precision``,
            ``process``.
        """
        key = request["key"]
        self.forget(request)
        setup = MeasureSetup.from_json(request["setup"])
        measured = self._engine.measure(Path(request["model"]), setup)
        self._prepared[key] = measured
        return {
            "inputs": [[one.name, list(one.dims), one.dtype] for one in measured.inputs],
            "outputs": [[one.name, list(one.dims), one.dtype] for one in measured.outputs],
            "executed_precision": measured.executed_precision,
            "process": os.getpid(),
            "usage": usage(),
        }

    def forget(self, request: Mapping[str, Any]) -> Dict[str, Any]:
        """Give back what a key has."""
        self._pumps.pop(request["key"], None)
        system = self._systems.pop(request["key"], None)
        if system is not None:
            system.close()
        measured = self._prepared.pop(request["key"], None)
        if measured is not None:
            measured.close()
        return {}

    def configure(self, request: Mapping[str, Any]) -> Dict[str, Any]:
        """Make the lanes of a key's network and warm it up.

        Args:
            request: ``key``; ``shapes`` (groups of one shape for each input), ``inputs`` (a file of
                raw bytes for each, or null for random data), ``threads``, ``infer_depth`` (lanes of
                each thread), ``buffer_depth`` (buffers of inputs that take turns), ``copy``,
                ``host_async`` (whether each lane has a thread of its own), ``warmup`` (seconds).

        Returns:
            ``warmup_seconds``, ``steady`` of the thread that was slowest.
        """
        measured = self._measured(request["key"])
        groups = input_groups(
            measured.inputs, request["shapes"], request["inputs"], int(request["buffer_depth"])
        )
        threads, depth = int(request["threads"]), int(request["infer_depth"])
        sharing, lanes = (depth, 1) if request["host_async"] else (1, depth)
        self._sharing[request["key"]] = sharing
        self._pumps[request["key"]] = [
            Pump(measured.lanes(lanes), Feed(groups, first), bool(request["copy"]))
            for _ in range(threads)
            for first in range(sharing)
        ]
        return self.warm_up(request)

    def warm_up(self, request: Mapping[str, Any]) -> Dict[str, Any]:
        """Warm a key's network up again, as :meth:`configure` does."""
        pumps = self._pumps_of(request["key"])
        warm_ups = [WarmUp(float(request["warmup"])) for _ in pumps]
        tasks = [
            _task(warm_up.run, self._signed(pump.some_times))
            for warm_up, pump in zip(warm_ups, pumps)
        ]
        self._together(request["key"], tasks)
        return {
            "warmup_seconds": max(one.seconds for one in warm_ups),
            "steady": all(one.steady for one in warm_ups),
        }

    def measure(self, request: Mapping[str, Any]) -> Dict[str, Any]:
        """Measure a key's network, warmed up by :meth:`configure`.

        Args:
            request: ``key``; ``iterations`` and ``duration`` (seconds), both of which must be
                met by each thread; ``out``, a file that gets the columns of
                :func:`~mlubench.worker.measure.pump.as_arrays` and ``thread`` int32, a row each;
                ``outputs``, a folder that gets each output's raw bytes, or null.

        Returns:
            ``usage_before`` and ``usage_after``.
        """
        pumps = self._pumps_of(request["key"])
        sharing = self._sharing[request["key"]]
        iterations = -(-int(request["iterations"]) // sharing)
        duration = float(request["duration"])

        def go_on(started: int, seconds: float) -> bool:
            self._alive()
            return started < iterations or seconds < duration

        before = usage()
        moments: List[List[Moments]] = [[] for _ in pumps]
        tasks = [_task(_measure, pump, kept, go_on) for pump, kept in zip(pumps, moments)]
        self._together(request["key"], tasks)
        after = usage()
        columns = as_arrays([moment for kept in moments for moment in kept])
        columns["thread"] = np.repeat(
            np.arange(len(moments), dtype=np.int32) // sharing, [len(kept) for kept in moments]
        )
        _save(Path(request["out"]), columns)
        if request["outputs"] is not None:
            for place, array in enumerate(pumps[0].outputs):
                _write(Path(request["outputs"]) / f"output[{place}]", array.tobytes())
        return {"usage_before": before, "usage_after": after}

    def serve(self, request: Mapping[str, Any]) -> Dict[str, Any]:
        """Make a key's network answer the queries of a scenario, and warm it up.

        Args:
            request: ``key``; ``shape`` (one for each input), ``lanes``, ``in_flight`` and
                ``samples`` (queries, and samples of one, while it warms up), ``buffer_depth``,
                ``copy``, ``warmup`` (seconds).

        Returns:
            ``warmup_seconds``, ``steady``.
        """
        measured = self._measured(request["key"])
        shape = request["shape"]
        groups = input_groups(measured.inputs, [shape], None, int(request["buffer_depth"]))
        lanes = measured.notified_lanes(int(request["lanes"]))
        system = LaneSystem(
            lanes,
            Feed(groups),
            bool(request["copy"]),
            int(shape[0][0]),
            measured.bind_thread,
            self._alive,
        )
        self._systems[request["key"]] = system
        in_flight, samples = int(request["in_flight"]), int(request["samples"])
        warm_up = WarmUp(float(request["warmup"]))
        warm_up.run(lambda: some_latencies(system, samples, in_flight))
        return {"warmup_seconds": warm_up.seconds, "steady": warm_up.steady}

    def scenario(self, request: Mapping[str, Any]) -> Dict[str, Any]:
        """Carry out a scenario on a key's network, made ready by :meth:`serve`.

        Args:
            request: ``key``; ``out``, a file that gets ``scheduled``, ``issued``, ``finished``
                float64 [queries]; the rest as
                :func:`~mlubench.worker.measure.scenarios.run_scenario` takes it.

        Returns:
            ``samples`` of each query, ``gave_up``, ``usage_before``, ``usage_after``.
        """
        if request["key"] not in self._systems:
            raise EngineError("asked for a scenario that is not ready", where="worker")
        before = usage()
        load = run_scenario(self._systems[request["key"]], request)
        after = usage()
        columns = {name: getattr(load, name) for name in ("scheduled", "issued", "finished")}
        _save(Path(request["out"]), columns)
        return {
            "samples": load.samples,
            "gave_up": load.gave_up,
            "usage_before": before,
            "usage_after": after,
        }

    def layers(self, request: Mapping[str, Any]) -> Dict[str, Any]:
        """Return the layers' times of a key's network, which was prepared with ``profile``.

        Returns:
            ``layers``: [layer, kind, arithmetic, seconds] each, in the order of execution.
        """
        times = self._measured(request["key"]).layer_times()
        return {"layers": [[t.layer, t.kind, t.arithmetic, t.seconds] for t in times]}

    def dump(self, request: Mapping[str, Any]) -> Dict[str, Any]:
        """Write every layer's output of a network that is run once.

        Args:
            request: ``model``; ``inputs_of``, the key that says what inputs it has; ``shapes``,
                ``inputs`` as for :meth:`configure`; ``folder``.

        Returns:
            ``layers``, their names.
        """
        inputs = self._measured(request["key"]).inputs
        groups = input_groups(inputs, request["shapes"], request["inputs"], 1)
        folder = Path(request["folder"])
        return {"layers": self._engine.dump(Path(request["model"]), groups[0][0], folder)}

    def _signed(self, some_times: Callable[[], List[float]]) -> Callable[[], List[float]]:
        """Return the function with a sign of life before it."""

        def signed() -> List[float]:
            self._alive()
            return some_times()

        return signed

    def _together(self, key: str, tasks: Sequence[Callable[[], None]]) -> None:
        """Run tasks at once, a thread of the device each; the first failure is raised."""
        if len(tasks) == 1:
            tasks[0]()
            return
        bind = self._measured(key).bind_thread
        together([_task(_bound, bind, task) for task in tasks])

    def _measured(self, key: str) -> Measured:
        if key not in self._prepared:
            raise EngineError("asked to measure what was not prepared", where=f"worker, {key}")
        return self._prepared[key]

    def _pumps_of(self, key: str) -> List[Pump]:
        if key not in self._pumps:
            raise EngineError("asked to measure what was not configured", where=f"worker, {key}")
        return self._pumps[key]


def input_groups(
    inputs: Sequence[TensorInfo],
    shapes: Sequence[Sequence[Sequence[int]]],
    files: Optional[Sequence[str]],
    buffers: int,
) -> List[List[List[np.ndarray]]]:
    """Return per group of shapes so many buffers, each with an array for each input.

    Args:
        inputs: of the network.
        shapes: per group, a shape for each input.
        files: a file of raw bytes for each input; without them data are random, the same each time.
        buffers: how many different ones.

    Raises:
        ConfigError: a file cannot be read or has another size.
    """
    random = np.random.RandomState(_SEED)
    groups = []
    for group in shapes:
        if files is not None:
            arrays = [
                _from_file(Path(file), info, shape)
                for file, info, shape in zip(files, inputs, group)
            ]
            groups.append([arrays])
            continue
        groups.append(
            [
                [_random(random, info, shape) for info, shape in zip(inputs, group)]
                for _ in range(buffers)
            ]
        )
    return groups


def _random(random: Any, info: TensorInfo, shape: Sequence[int]) -> np.ndarray:
    try:
        if np.issubdtype(np.dtype(info.dtype), np.floating):
            return np.asarray(random.standard_normal(tuple(shape)), info.dtype)
        return np.asarray(random.randint(0, 128, tuple(shape), np.dtype(info.dtype)))
    except (MemoryError, ValueError) as error:  # ValueError: more than can be numbered
        raise ConfigError(
            f"the shape {list(shape)} is more than the memory holds",
            where=f"input {info.name}",
            fix="give a smaller batch",
        ) from error


def _write(path: Path, data: bytes) -> None:
    try:
        path.write_bytes(data)
    except OSError as error:
        raise StoreError(
            f"cannot be written: {error.strerror}",
            where=str(path),
            fix="see whether the path can be written",
        ) from error


def _from_file(path: Path, info: TensorInfo, shape: Sequence[int]) -> np.ndarray:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ConfigError(
            f"cannot be read: {error.strerror}", where=f"--input_files {path}"
        ) from error
    size = int(np.prod(shape)) * np.dtype(info.dtype).itemsize
    if len(data) != size:
        raise ConfigError(
            f"has {len(data)} bytes",
            where=f"--input_files {path}",
            expected=f"{size}, {info.dtype} {list(shape)} of input {info.name}",
        )
    return np.frombuffer(data, info.dtype).reshape(shape)


def _save(path: Path, columns: Dict[str, Any]) -> None:
    with atomic_path(path, lasting=False) as temporary, temporary.open("wb") as stream:
        np.savez(stream, **columns)


def _task(function: Callable[..., None], *arguments: Any) -> Callable[[], None]:
    return lambda: function(*arguments)


def _measure(pump: Pump, kept: List[Moments], go_on: Callable[[int, float], bool]) -> None:
    kept.extend(pump.run(go_on))


def _bound(bind: Callable[[], None], task: Callable[[], None]) -> None:
    bind()
    task()


def together(tasks: Sequence[Callable[[], None]]) -> None:
    """Run tasks in a thread each, from one moment, and wait for all; a failure is raised."""
    gate = threading.Barrier(len(tasks))
    failures: List[BaseException] = []

    def run(task: Callable[[], None]) -> None:
        try:
            gate.wait()
            task()
        except BaseException as error:  # it is raised again below
            failures.append(error)

    threads = [threading.Thread(target=run, args=(task,)) for task in tasks]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
