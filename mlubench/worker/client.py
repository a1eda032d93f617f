"""Starts a worker and talks to it: the flow's end of the pipes.

Every request has a deadline without a sign of life. A worker that dies, hangs or says nonsense
is killed and told of as a :class:`WorkerError`; the caller gives the shard to another one.
"""

from __future__ import annotations

import contextlib
import os
import queue
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any, Callable, Dict, Mapping, Optional

from mlubench.errors import ConfigError, WorkerError
from mlubench.worker import protocol
from mlubench.worker.interpreter import fault

_START_SECONDS = 120.0
_STOP_SECONDS = 5.0
_LOG_LINES = 8
#: The folder that holds the package, so that the engine's interpreter finds it.
_PACKAGE_ROOT = Path(__file__).resolve().parent.parent.parent
_NO_TELEMETRY = {"CI": "true", "NNCF_CI": "1", "DO_NOT_TRACK": "1"}


def _wrong_interpreter(python: str, engine: str, wrong: str) -> ConfigError:
    return ConfigError(
        wrong,
        where=f"python {python} of the engine {engine}",
        expected="a Python 3.7 or later that has NumPy and the engine's SDK",
        fix="name it in engines.yaml (conf/, or a folder of --conf)",
    )


class Worker:
    """A running worker process; start it with :meth:`start`, end it with :meth:`close`.

    Attributes:
        device: the device's name, as asked for; ``engine NAME`` of a worker that has none.
        description: what the engine says of the device.
        engine: what the engine says of itself (``Engine.describe``).
    """

    def __init__(self, process: subprocess.Popen[bytes], device: str, log: Any) -> None:
        self.device = device
        self.description = ""
        self.engine: Dict[str, str] = {}
        self._process = process
        self._log = log
        self._answers: queue.Queue[Optional[bytes]] = queue.Queue()
        threading.Thread(target=self._listen, daemon=True).start()

    @staticmethod
    def start(
        engine: str,
        device: str = "",
        python: str = sys.executable,
        environment: Optional[Mapping[str, str]] = None,
    ) -> Worker:
        """Start a worker and wait until its engine is ready.

        Args:
            engine: the engine's name.
            device: the device that the worker will own; empty where it needs none.
            python: the interpreter that has the engine.
            environment: variables that the engine needs there, beside this process's own.

        Raises:
            WorkerError: it does not start.
            ConfigError: there is no such interpreter, or it lacks something; there is no such
                engine or device.
        """
        log = tempfile.TemporaryFile()  # noqa: SIM115  # lives as long as the worker
        variables = {**os.environ, **(environment or {}), **_NO_TELEMETRY}
        variables["PYTHONPATH"] = os.pathsep.join(
            filter(None, [str(_PACKAGE_ROOT), variables.get("PYTHONPATH")])
        )
        command = [python, "-m", "mlubench.worker", "--engine", engine]
        try:
            process = subprocess.Popen(
                [*command, "--device", device] if device else command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env=variables,
                # Ctrl-C is for the flow; its workers end with their pipes.
                start_new_session=True,
            )
        except OSError as error:
            log.close()
            wrong = f"cannot be started: {error.strerror}"
            raise _wrong_interpreter(python, engine, wrong) from error
        worker = Worker(process, device or f"engine {engine}", log)
        try:
            ready = worker.receive("start", silence=_START_SECONDS)
        except WorkerError as error:
            wrong = fault(python, variables)
            if wrong:
                raise _wrong_interpreter(python, engine, wrong) from error
            raise
        except BaseException:
            worker.kill()
            raise
        worker.engine, worker.description = ready["engine"], ready["device"]
        return worker

    def call(
        self,
        request: Mapping[str, Any],
        *,
        silence: float,
        progress: Optional[Callable[[int], None]] = None,
    ) -> Dict[str, Any]:
        """Carry out a request and return the fields of its answer: send it and receive.

        Args:
            request: see :mod:`mlubench.worker.protocol`.
            silence: seconds without an answer or progress after which the worker counts as hung.
            progress: called with the number of finished images.

        Raises:
            WorkerError: the worker died or hung; it is killed.
            MlubenchError: the worker is well, the request failed; the class is the worker's.
        """
        self.send(request)
        return self.receive(str(request["do"]), silence=silence, progress=progress)

    def send(self, request: Mapping[str, Any]) -> None:
        """Give the worker a request; it carries them out in the order in which they came.

        Raises:
            WorkerError: the worker died.
        """
        try:
            assert self._process.stdin is not None  # noqa: S101  # a pipe was asked for
            self._process.stdin.write(protocol.to_line(request))
            self._process.stdin.flush()
        except OSError as error:
            raise self._lost(str(request["do"]), "has ended") from error

    def receive(
        self,
        verb: str,
        *,
        silence: float,
        progress: Optional[Callable[[int], None]] = None,
    ) -> Dict[str, Any]:
        """Wait for the answer to the oldest request that has none; as :meth:`call`.

        Args:
            verb: what that request was; for messages.
            silence: as for :meth:`call`.
            progress: as for :meth:`call`.
        """
        while True:
            try:
                line = self._answers.get(timeout=silence)
            except queue.Empty:
                raise self._lost(verb, f"gave no sign of life for {silence:g} s") from None
            if line is None:
                raise self._lost(verb, "ended")
            try:
                message = protocol.from_line(line)
            except ValueError:
                raise self._lost(verb, f"answered {line[:80]!r}") from None
            if message["event"] == "failed":
                raise protocol.raised(message)
            if message["event"] != "progress":
                return message
            if progress is not None:
                progress(message["done"])

    def close(self) -> None:
        """End the worker; it is killed where it does not end by itself."""
        self._hang_up()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_STOP_SECONDS)
        self.kill()

    def kill(self) -> None:
        """Kill the worker at once and wait until it is gone."""
        self._process.kill()
        self._process.wait()
        self._hang_up()
        self._log.close()

    def _hang_up(self) -> None:
        assert self._process.stdin is not None  # noqa: S101  # a pipe was asked for
        with contextlib.suppress(OSError):  # a dead worker's pipe cannot be flushed
            self._process.stdin.close()

    @property
    def process_id(self) -> int:
        """The worker's process id."""
        return self._process.pid

    def _listen(self) -> None:
        assert self._process.stdout is not None  # noqa: S101  # a pipe was asked for
        with self._process.stdout as stream:
            for line in stream:
                self._answers.put(line)
        self._answers.put(None)

    def _lost(self, verb: str, how: str) -> WorkerError:
        """Kill what is left of the worker and say what happened, with its last words."""
        self._process.kill()
        code = self._process.wait()
        self._log.seek(0)
        words = self._log.read().decode("utf-8", "replace").splitlines()[-_LOG_LINES:]
        self.kill()
        return WorkerError(
            f"the worker {how} at '{verb}' (exit status {code})",
            where=self.device,
            fix="\n    ".join(["its last words:", *words]) if words else "",
        )
