"""Workers that outlive the commands that start them, for tests whose subject is not their start.

A worker takes a third of a second to start, and more to import what a build needs. A command in
the process of the tests takes a worker that an earlier command left, where that would have started
it alike: same engine, device, interpreter, variables, working directory and cores.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

from mlubench.devices.engine_host import EngineHost
from mlubench.errors import WorkerError
from mlubench.worker.client import Worker

#: More of them are not idle at a time; the oldest ends.
_MOST_IDLE = 4
#: Pytest says by it which test runs; no worker reads it.
_IGNORED = ("PYTEST_CURRENT_TEST",)


class LastingWorkers:
    """Workers that are idle; :meth:`close` ends them."""

    def __init__(self) -> None:
        self._idle: list[tuple[object, Worker]] = []
        self._lock = threading.Lock()

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """Give commands in this process workers that last."""

        def start(host: EngineHost, address: str = "") -> _Lent:
            return self._lend(host, address)

        with mock.patch.object(EngineHost, "start", start):
            yield

    def _lend(self, host: EngineHost, address: str = "") -> _Lent:
        kind = _kind(host, address)
        with self._lock:
            fitting = next((entry for entry in self._idle if entry[0] == kind), None)
            if fitting is not None:
                self._idle.remove(fitting)
        if fitting is None:
            worker = Worker.start(host.name, address, host.python, host.environment)
        else:
            worker = fitting[1]
        return _Lent(worker, lambda: self._take_back(kind, worker))

    def _take_back(self, kind: object, worker: Worker) -> None:
        with self._lock:
            self._idle.append((kind, worker))
            ended = [self._idle.pop(0)] if len(self._idle) > _MOST_IDLE else []
        for _, old in ended:
            old.close()

    def close(self) -> None:
        """End all that are idle."""
        while self._idle:
            self._idle.pop()[1].close()


def _kind(host: EngineHost, address: str) -> object:
    """Return everything on which a start of a worker depends."""
    variables = {name: value for name, value in os.environ.items() if name not in _IGNORED}
    return (
        (host.name, host.python, address, tuple(sorted({**variables, **host.environment}.items()))),
        (Path.cwd(), tuple(sorted(os.sched_getaffinity(0)))),
    )


class _Lent:
    """A worker that a command has for its own; what it loads to be measured is given back."""

    def __init__(self, worker: Worker, give_back: Callable[[], None]) -> None:
        self.device, self.description = worker.device, worker.description
        self.engine = worker.engine
        self._worker, self._give_back = worker, give_back
        self._loaded: set[str] = set()
        self._unanswered = 0
        self._sound = True
        self._closed = False  # once it is, another command may have the worker

    @property
    def process_id(self) -> int:
        return self._worker.process_id

    def call(self, request: Mapping[str, Any], **options: Any) -> dict[str, Any]:
        self.send(request)
        return self.receive(str(request["do"]), **options)

    def send(self, request: Mapping[str, Any]) -> None:
        if request["do"] == "prepare":
            self._loaded.add(request["key"])
        self._unanswered += 1
        self._worker.send(request)

    def receive(self, verb: str, **options: Any) -> dict[str, Any]:
        try:
            answer = self._worker.receive(verb, **options)
        except WorkerError:
            self._sound = False  # it is dead
            raise
        except Exception:
            self._unanswered -= 1
            raise
        self._unanswered -= 1
        return answer

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        if not self._sound or self._unanswered:
            self._worker.close()
            return
        for key in self._loaded:
            self._worker.call({"do": "forget", "key": key}, silence=60)
        self._give_back()

    def kill(self) -> None:
        self._worker.kill()
        self._sound = False
