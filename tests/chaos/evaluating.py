"""Evaluations as users start them, in processes that can be killed, and what they leave."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.chaos.campaign import must
from tests.support.processes import MARK, alive, becomes, marked, new_mark

if TYPE_CHECKING:
    from tests.support.file_server import FileHandler, FileServer

PROGRAM = (str(Path(sys.executable).with_name("mlubench")),)
#: The same, but that it notes its steps and dies before one: :mod:`tests.chaos.victim`.
VICTIM = (sys.executable, "-m", "tests.chaos.victim")
_ROOT = Path(__file__).resolve().parents[2]
#: A run that is not over by then hangs, in seconds.
_HANGS = 400.0
#: Nothing may outlive what it was started for by more, in seconds.
ORPHAN_SECONDS = 5.0
_LOOK_SECONDS = 0.02
#: What differs between two runs of the same inputs: when, where to, how long.
_OF_TIME = ("run_id", "begun_utc", "created_utc", "seconds", "compile_seconds", "parameters")
_SHARD_TIMES = ("started_utc", "seconds", "device", "attempts", "failures")
_CHUNK, _CHUNK_SECONDS = 1 << 16, 0.02


@contextmanager
def slow_server() -> Iterator[FileServer]:
    """Give a server of the sample's network, so slow that a transfer takes half a second."""
    from tests.networks.fetch.test_files import TEXT, WEIGHTS
    from tests.support.file_server import FileServer

    def answer(handler: FileHandler) -> None:
        data = WEIGHTS if handler.path.endswith("caffemodel") else TEXT
        asked = re.fullmatch(r"bytes=(\d+)-", handler.headers.get("Range", ""))
        first = int(asked[1]) if asked else 0
        length = {"Content_Length": str(len(data) - first), "ETag": '"one"'}
        if asked:
            length["Content_Range"] = f"bytes {first}-{len(data) - 1}/{len(data)}"
        handler.begin(206 if asked else 200, **length)
        for place in range(first, len(data), _CHUNK):
            try:
                handler.wfile.write(data[place : place + _CHUNK])
            except OSError:
                return  # the other end was killed
            time.sleep(_CHUNK_SECONDS)

    with FileServer(answer).running() as server:
        yield server


@contextmanager
def prefect_server(home: Path) -> Iterator[str]:
    """Give the address of a server of Prefect's that runs start none beside."""
    from flows.service.server import answers, free_port

    home.mkdir(parents=True)
    port = free_port()
    url = f"http://127.0.0.1:{port}/api"
    with subprocess.Popen(
        [sys.executable, "-m", "flows.service.server", str(port)],
        cwd=_ROOT,
        env={**os.environ, "PREFECT_HOME": str(home), "PREFECT_UI_ENABLED": "0"},
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        try:
            must(any(becomes(lambda: answers(url)) for _ in range(4)), "no server starts")
            yield url
        finally:
            process.kill()


def sample_options(
    folder: Path, server: FileServer, second: str = "qint8_mixed_float16"
) -> tuple[str, ...]:
    """Return options of an evaluation that has every stage: fetched, calibrated, on two devices.

    Args:
        folder: for the network's catalogue.
        server: has the network.
        second: the precision beside force_float32; one that is not quantised is compiled sooner.
    """
    from tests.networks.fetch.test_files import catalogue

    conf = catalogue(folder / "conf", server.root)
    return (
        *("--model", "mine", "--dataset", "digits", "--conf", str(conf)),
        *("--precision", "force_float32", second, "--calibration_num", "40"),
        *("--devices", "cpu:0", "cpu:1", "--shards", "30"),
    )


@dataclass
class Place:
    """A folder of artifacts, and the evaluations in it one after the other.

    Attributes:
        folder: its own; ``out`` and ``scratch`` (TMPDIR) lie in it.
        options: of the evaluations, but for --out.
        program: what is started instead of mlubench.
        more: further variables of the environment.
        process: further arguments of Popen.
        elsewhere: what --out names instead of ``out``.
    """

    folder: Path
    options: Sequence[str]
    program: Sequence[str] = PROGRAM
    more: Mapping[str, str] = field(default_factory=dict)
    process: Mapping[str, Any] = field(default_factory=dict)
    elsewhere: Path | None = None
    started: int = 0

    def __post_init__(self) -> None:
        self.scratch.mkdir(parents=True, exist_ok=True)

    @property
    def out(self) -> Path:
        return self.folder / "out"

    @property
    def scratch(self) -> Path:
        return self.folder / "scratch"

    def start(self) -> Evaluating:
        """Start an evaluation."""
        self.started += 1
        return Evaluating(self, self.folder / f"said-{self.started}.log")

    def shards(self) -> list[Path]:
        """Return the finished shards of unfinished runs."""
        return sorted((self.out / "unfinished").glob("*/*/[0-9]*.parquet"))

    def entries(self) -> dict[Path, tuple[int, int]]:
        """Return the finished entries of the cache, each with what tells it from another making."""
        found = {}
        for manifest in self.out.glob("cache/*/*/manifest.json"):
            folder = manifest.parent
            if not folder.name.startswith("."):
                largest = max(folder.iterdir(), key=lambda file: file.stat().st_size)
                facts = largest.stat()
                found[folder] = (facts.st_ino, facts.st_mtime_ns)
        return found


class Evaluating:
    """An evaluation that runs.

    Attributes:
        place: where.
        began: when.
    """

    def __init__(self, place: Place, said: Path) -> None:
        self.place = place
        self.began = datetime.now(UTC)
        self._mark = new_mark()
        self._said = said
        with said.open("wb") as log:
            self.process = subprocess.Popen(
                [
                    *place.program,
                    "eval",
                    *place.options,
                    "--out",
                    str(place.elsewhere or place.out),
                ],
                cwd=_ROOT,
                env={
                    **{k: v for k, v in os.environ.items() if not k.startswith("PREFECT_")},
                    "DO_NOT_TRACK": "1",
                    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
                    "PREFECT_SERVER_API_PORT": "9",  # no server that runs beside is to be used
                    "NO_PROXY": "127.0.0.1",
                    "TMPDIR": str(place.scratch),
                    MARK: self._mark,
                    **place.more,
                },
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                **place.process,
            )

    def said(self) -> str:
        """Return what it said so far."""
        return self._said.read_text(encoding="utf-8", errors="replace")

    def processes(self, part: str = "") -> list[int]:
        """Return its processes, of all parts or of one: ``flow``, ``worker``, ``server``."""
        names = {"worker": "mlubench.worker", "server": "flows.service.server"}
        return [
            number
            for number, command in marked(self._mark).items()
            if alive(number)
            and names.get(part, "") in command
            and (part != "flow" or number == self.process.pid)
        ]

    def kill(self, numbers: Sequence[int]) -> None:
        """Kill processes as kill -9 does; those that are gone are gone."""
        for number in numbers:
            with contextlib.suppress(ProcessLookupError):
                os.kill(number, signal.SIGKILL)

    def wait(self) -> int:
        """Wait for its end; return the exit status."""
        try:
            return self.process.wait(_HANGS)
        except subprocess.TimeoutExpired:
            said = self.said()
            self.kill(self.processes())
            self.process.wait()
            raise AssertionError(f"hung for {_HANGS:g} s; it said:\n{said[-3000:]}") from None

    def gone(self) -> float:
        """Wait until none of its processes is there; return how many seconds that took."""
        self.process.wait(ORPHAN_SECONDS)
        begin = time.monotonic()
        while left := self.processes():
            if time.monotonic() - begin > ORPHAN_SECONDS:
                commands = {number: marked(self._mark).get(number) for number in left}
                self.kill(left)
                raise AssertionError(f"orphans after {ORPHAN_SECONDS:g} s: {commands}")
            time.sleep(_LOOK_SECONDS)
        return time.monotonic() - begin

    def finished(self) -> None:
        """Wait for the end, which must be a good one that leaves no process."""
        status = self.wait()
        must(status == 0, f"exit status {status}; it said:\n{self.said()[-3000:]}")
        self.gone()


def newest_run(out: Path) -> Path:
    """Return the folder of the run that ended last."""
    return max(out.glob("runs/*/run.json"), key=lambda file: file.stat().st_mtime_ns).parent


def outputs(out: Path) -> dict[str, str]:
    """Return what the newest run and the caches hold, but for times, by what it is."""
    from mlubench.runs.history import ACCURACY_HISTORY
    from mlubench.runs.parquet import read_parquet

    run = newest_run(out)
    found = {f"run/{name}": digest for name, digest in _run_files(run).items()}
    history = out / "history" / "accuracy" / f"{run.name}.parquet"
    rows = read_parquet(history, ACCURACY_HISTORY)
    found["history"] = str(rows.drop_columns(["run_id", "created_utc"]).to_pylist())
    for kind in ("onnx", "compiled"):
        for file in sorted((out / "cache" / kind).glob("*/*")):
            found[f"{kind}/{file.parent.name}/{file.name}"] = _digest(file)
    # Their keys hang on the times of the images.
    decoded = (out / "cache" / "decoded").glob("*/")
    found["decoded"] = str(sorted(_folder_digest(folder) for folder in decoded))
    found["models"] = _folder_digest(out / "models")
    found["images"] = _folder_digest(out / "data")
    return found


def _run_files(run: Path) -> dict[str, str]:
    from mlubench.runs.parquet import read_parquet
    from mlubench.runs.schemas import SHARDS

    found = {}
    for file in sorted(run.rglob("*")):
        name = str(file.relative_to(run))
        if name == "run.json":
            record = json.loads(file.read_bytes())
            found[name] = str({k: v for k, v in record.items() if k not in _OF_TIME})
        elif name == "shards.parquet":
            found[name] = str(read_parquet(file, SHARDS).drop_columns(_SHARD_TIMES).to_pylist())
        elif file.is_file() and name != "report.html":
            found[name] = _digest(file)
    return found


def check_page(run: Path, scratch: Path) -> None:
    """Check that a run's page, which shows times, is what its files and the history give."""
    from mlubench.report.page import write_page

    out = scratch / "page"
    copy = out / "runs" / run.name
    shutil.copytree(run, copy)
    shutil.copytree(run.parent.parent / "history", out / "history")
    written = (copy / "report.html").read_bytes()
    must(write_page(copy).read_bytes() == written, f"report.html of {run} is another")
    shutil.rmtree(out)


def names(out: Path) -> set[str]:
    """Return the names of all files below a folder of artifacts, Prefect's aside.

    Keys and run ids are replaced by words, so that the names of two folders can be compared.
    """
    found = set()
    for file in out.rglob("*"):
        name = file.relative_to(out).as_posix()
        if not name.startswith("prefect/") and not file.is_dir():
            name = re.sub(r"[0-9a-f]{32}", "KEY", name)
            found.add(re.sub(r"[0-9]{8}-[0-9]{6}-mine(-[0-9]+)?", "RUN", name))
    return found


def differences(found: Mapping[str, Any], expected: Mapping[str, Any]) -> list[str]:
    """Return the names under which two sets of outputs differ."""
    return sorted(name for name in {*found, *expected} if found.get(name) != expected.get(name))


def _digest(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def _folder_digest(folder: Path) -> str:
    whole = hashlib.sha256()
    for file in sorted(folder.rglob("*")):
        if file.is_file() and not file.name.endswith(".lock"):
            whole.update(f"{file.relative_to(folder)} {_digest(file)}\n".encode())
    return whole.hexdigest()
