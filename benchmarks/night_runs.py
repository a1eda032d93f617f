"""Real evaluations that the simulation of a night is held against, and what they spent.

Each is a command of its own; Dask workers are bound to one core each, in place of hosts.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq

from flows.service.server import START_SECONDS, answers, free_port
from mlubench.evaluate.options import EvaluateParameters

#: As :func:`benchmarks.pipeline.networks` yields them.
NETWORKS = ("squeezenet", "se_resnet50")
PRECISION = "force_float32"
SHARDS = 24
_SAMPLE_SECONDS = 0.1
#: The part that all processes are.
_ALL = "all"
_PARTS = ("flow", "workers", "others", "devices")
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Observed:
    """An evaluation in one precision; seconds.

    Attributes:
        stage: of inference, loading the network included.
        span: from the first shard's start to the last one's end.
        inferring: of each shard's inference.
        images: of all shards.
        flow: the processor's time of the flow's process within the span.
        workers: likewise of Dask workers.
        others: likewise of Prefect's server and Dask's scheduler.
        disturbed: cores that were busy within the span with what is none of this.
    """

    stage: float
    span: float
    inferring: Sequence[float]
    images: int
    flow: float
    workers: float
    others: float
    disturbed: float


class _Spent:
    """The processor's time of processes while they run, by the name of their part."""

    def __init__(self, known: Mapping[int, str]) -> None:
        self._known = known
        self._samples: list[tuple[float, dict[str, float]]] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> _Spent:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(_SAMPLE_SECONDS):
            self._samples.append((time.time(), self._sample()))

    def _sample(self) -> dict[str, float]:
        spent = {_ALL: _machine()}
        for process in Path("/proc").glob("[0-9]*"):
            try:
                number, parent, seconds = _stat(process)
                part = self._known.get(number)
                if part is None and parent in self._known:
                    part = _part((process / "cmdline").read_bytes())
            except OSError:  # it has ended
                continue
            if part is not None:
                spent[part] = spent.get(part, 0.0) + seconds
        return spent

    def within(self, part: str, begin: float, end: float) -> float:
        """Return what a part spent between two times, seconds since the epoch."""
        return self._at(part, end) - self._at(part, begin)

    def _at(self, part: str, when: float) -> float:
        """Return what it had spent by then, from the nearest sample."""
        nearest = min(self._samples, key=lambda sample: abs(sample[0] - when))
        return nearest[1].get(part, 0.0)


def _part(command: bytes) -> str | None:
    """Return what a child of a known process is."""
    if b"flows.service.server" in command:
        return "others"
    return "devices" if b"mlubench.worker" in command else None


def _machine() -> float:
    """Return the processor seconds of everything since the machine started."""
    user, nice, system, _, _, irq, softirq = map(
        int, Path("/proc/stat").read_text().splitlines()[0].split()[1:8]
    )
    return (user + nice + system + irq + softirq) / _TICKS


def _stat(process: Path) -> tuple[int, int, float]:
    """Return a process's id, its parent's, and its processor seconds."""
    number, rest = (process / "stat").read_text().split(" ", 1)
    fields = rest.rpartition(")")[2].split()
    return int(number), int(fields[1]), (int(fields[11]) + int(fields[12])) / _TICKS


def observed(
    asked: EvaluateParameters, more: Sequence[str], cluster: Cluster | None = None
) -> Observed:
    """Evaluate with further options.

    Args:
        asked: network and images; decoded and compiled already.
        more: options of the command.
        cluster: whose workers infer; None for devices of this host.

    Raises:
        RuntimeError: the evaluation failed.
    """
    before = set(_runs(asked))
    environment, parts = dict(os.environ), {}
    if cluster is not None:
        more = ["--runner", "dask", "--scheduler", cluster.address, *more]
        environment["PREFECT_API_URL"], parts = cluster.api, cluster.parts
    process = subprocess.Popen(
        [*_command(asked), *more],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    with _Spent({process.pid: "flow", **parts}) as spent:
        said, _ = process.communicate()
    if process.returncode not in (0, 1, 3):
        raise RuntimeError(said)
    (record,) = set(_runs(asked)) - before
    shards = pq.read_table(record.with_name("shards.parquet")).to_pylist()
    begin = min(shard["started_utc"].timestamp() for shard in shards)
    end = max(shard["started_utc"].timestamp() + shard["seconds"] for shard in shards)
    part = {name: spent.within(name, begin, end) for name in (_ALL, *_PARTS)}
    return Observed(
        stage=json.loads(record.read_text())["seconds"]["infer"],
        span=end - begin,
        inferring=[shard["seconds"] for shard in shards],
        images=sum(shard["images"] for shard in shards),
        flow=part["flow"],
        workers=part["workers"],
        others=part["others"],
        disturbed=(part[_ALL] - sum(part[name] for name in _PARTS)) / (end - begin),
    )


def _runs(asked: EvaluateParameters) -> Iterator[Path]:
    return (asked.out / "runs").glob("[!.]*/run.json")


def _command(asked: EvaluateParameters) -> list[str]:
    command = [str(Path(sys.executable).with_name("mlubench")), "eval", "--out", str(asked.out)]
    command += ["--prototxt", str(asked.prototxt), "--caffemodel", str(asked.caffemodel)]
    command += ["--input_size", str(asked.input_size), "--means", "104", "117", "123"]
    command += ["--label_order", "2012", "--image_dir", str(asked.image_dir)]
    command += ["--label_file", str(asked.label_file), "--label_file_order", "2012"]
    command += ["--image_num", str(asked.image_num), "--precision", PRECISION]
    return [*command, "--shards", str(SHARDS)]


class Cluster:
    """A Dask cluster and Prefect's server on loopback; a Dask worker has one core.

    Attributes:
        address: the scheduler's.
        api: the server's.
        parts: what its processes are, by their ids.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._port = free_port()
        self.address = f"tcp://127.0.0.1:{free_port()}"
        self.api = f"http://127.0.0.1:{self._port}/api"
        self.parts: dict[int, str] = {}

    @contextmanager
    def running(self) -> Iterator[Cluster]:
        """Run scheduler and server, on any core."""
        words = ["scheduler", "--host", "127.0.0.1", "--port", self.address.rpartition(":")[2]]
        server = ["-m", "flows.service.server", str(self._port)]
        with (
            self._process("server", "others", server),
            self._process("scheduler", "others", ["-m", "dask", *words, "--no-dashboard"]),
        ):
            end = time.monotonic() + START_SECONDS
            while not answers(self.api):
                if time.monotonic() > end:
                    raise RuntimeError("Prefect's server does not start")
                time.sleep(_SAMPLE_SECONDS)
            yield self

    @contextmanager
    def worker(self, core: int) -> Iterator[None]:
        """Run a Dask worker on a core."""
        words = ["worker", self.address, "--name", f"core-{core}", "--no-nanny", "--no-dashboard"]
        words += ["--nthreads", "1", "--resources", "cpu=1"]
        bound = ["taskset", "--cpu-list", str(core)]
        with self._process(f"core-{core}", "workers", ["-m", "dask", *words], bound):
            yield

    @contextmanager
    def _process(
        self, name: str, part: str, words: Sequence[str], bound: Sequence[str] = ()
    ) -> Iterator[None]:
        folder = self._folder / name
        folder.mkdir()
        with (folder / "said.log").open("wb") as output:
            process = subprocess.Popen(
                [*bound, sys.executable, *words],
                cwd=folder,
                env={**os.environ, "PREFECT_HOME": str(folder)},
                stdin=subprocess.PIPE,  # the server ends with it
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        self.parts[process.pid] = part
        try:
            yield
        finally:
            process.terminate()
            process.communicate()
            del self.parts[process.pid]
