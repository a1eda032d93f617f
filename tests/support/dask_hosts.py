"""A Dask cluster on loopback whose workers share no folder: scheduler and hosts as processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from flows.service.server import free_port
from tests.support.processes import MARK, becomes, marked, new_mark


class Scheduler:
    """A scheduler without any worker.

    Attributes:
        address: as ``--scheduler`` takes it.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._mark = new_mark()
        self.address = f"tcp://127.0.0.1:{free_port()}"

    @contextmanager
    def running(self) -> Iterator[Scheduler]:
        port = self.address.rpartition(":")[2]
        words = ["scheduler", "--host", "127.0.0.1", "--port", port, "--no-dashboard"]
        with self._process("scheduler", words, "Scheduler at:"):
            yield self

    @contextmanager
    def worker(
        self, name: str, *words: str, slots: str = "cpu=1", nanny: bool = False
    ) -> Iterator[Host]:
        """Start a Dask worker with a folder of its own and slots of this resource.

        A nanny starts it again where it is killed.
        """
        command = ["worker", self.address, "--name", name, "--no-dashboard"]
        command += ["--nanny" if nanny else "--no-nanny"]
        command += ["--nthreads", slots.partition("=")[2], "--resources", slots, *words]
        with self._process(name, command, "Registered to:") as process:
            worker = _spawned(process.pid) if nanny else process.pid
            yield Host(worker, self._folder / name)

    @contextmanager
    def _process(
        self, name: str, words: list[str], ready: str
    ) -> Iterator[subprocess.Popen[bytes]]:
        folder = self._folder / name
        folder.mkdir()
        log = folder / "said.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "dask", *words],
                cwd=folder,
                env={**os.environ, "TMPDIR": str(folder), MARK: self._mark},
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        try:
            assert becomes(lambda: ready in log.read_text() or process.poll() is not None)
            assert process.poll() is None, log.read_text()
            yield process
        finally:
            process.terminate()
            process.wait(30)

    def device_workers(self) -> list[int]:
        """Return the processes that own a device, of all hosts."""
        found = marked(self._mark)
        return [process for process, command in found.items() if "mlubench.worker" in command]


class Host:
    """A running Dask worker.

    Attributes:
        process: its id; not that of its nanny, if it has one.
        folder: all that it writes to.
    """

    def __init__(self, process: int, folder: Path) -> None:
        self.process = process
        self.folder = folder

    def device_workers(self) -> list[int]:
        """Return the processes that own a device of this host."""
        return [one for one in _children(self.process) if b"mlubench.worker" in _command(one)]

    def kill(self) -> None:
        """Kill it in the middle of a shard: its device is stopped first, so that none ends."""
        kill_at_once(self)


def kill_at_once(*hosts: Host) -> None:
    """Kill Dask workers, each in the middle of a shard, so that none does another's."""
    devices = [device for host in hosts for device in host.device_workers()]
    for device in devices:
        os.kill(device, signal.SIGSTOP)
    for process in [*(host.process for host in hosts), *devices]:
        os.kill(process, signal.SIGKILL)


def _spawned(nanny: int) -> int:
    """Return the Dask worker of a nanny."""
    (worker,) = (one for one in _children(nanny) if b"spawn_main" in _command(one))
    return worker


def _children(process: int) -> list[int]:
    files = Path(f"/proc/{process}/task").glob("*/children")
    return [int(one) for file in files for one in file.read_text().split()]


def _command(process: int) -> bytes:
    return Path(f"/proc/{process}/cmdline").read_bytes()
