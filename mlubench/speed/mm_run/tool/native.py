"""The vendor's own mm_run: found, called with the options that it has, its output read."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mlubench.errors import ConfigError, EngineError
from mlubench.speed.mm_run.tool.options import MmRunOptions, words_of
from mlubench.speed.mm_run.tool.parse import parse_report
from mlubench.speed.mm_run.tool.results import Report
from mlubench.speed.mm_run.tool.spellings import OLDER_SPELLINGS
from mlubench.store import make_folder, write_atomic

_TOOL = "mm_run"
#: What a run takes beside its warm-up and duration: loading, and iterations that last longer.
GRACE_SECONDS = 600.0
_HELP_SECONDS = 60.0
_OPTION = re.compile(r"--(\w+)")
#: Options that say what is measured, and are passed on even where they are the defaults: those of
#: the tool differ from version to version.
_ALWAYS = ("magicmind_model", "warmup", "duration", "iterations")
#: How much of a log an error shows.
_TAIL = 5


@dataclass(frozen=True)
class NativeRun:
    """A run of the vendor's tool.

    Attributes:
        command: what was called.
        log: the file that holds all it printed.
        report: what that says.
    """

    command: tuple[str, ...]
    log: Path
    report: Report


def find_mm_run(environment: Mapping[str, str] | None = None) -> Path:
    """Return the vendor's mm_run: of MM_RUN_PATH, NEUWARE_HOME/bin or PATH, the first there is.

    MM_RUN_PATH is the folder that holds it, as in the samples' env.sh, or the tool itself.

    Raises:
        ConfigError: there is none; says where it was looked for.
    """
    variables = os.environ if environment is None else environment
    places: list[tuple[str, Path]] = []
    if given := variables.get("MM_RUN_PATH"):
        folder = Path(given)
        places.append(("MM_RUN_PATH", folder if folder.name == _TOOL else folder / _TOOL))
    if home := variables.get("NEUWARE_HOME"):
        places.append(("NEUWARE_HOME", Path(home) / "bin" / _TOOL))
    for _, place in places:
        if place.is_file() and os.access(place, os.X_OK):
            return place
    found = shutil.which(_TOOL, path=variables.get("PATH", ""))
    if found:
        return Path(found)
    looked = [f"{place} (from {name})" for name, place in places]
    unset = [name for name in ("MM_RUN_PATH", "NEUWARE_HOME") if not variables.get(name)]
    looked += [f"{name}, which is not set" for name in unset]
    raise ConfigError(
        "the vendor's mm_run was not found",
        where="--native",
        expected=f"it was looked for at {', '.join(looked)}, and on PATH",
        fix="set NEUWARE_HOME, or leave out --native to measure with this tool's own",
    )


def supported_options(tool: Path) -> frozenset[str]:
    """Return the options that the tool's ``-h`` names, in its own spelling.

    Raises:
        EngineError: it cannot be called or names no option.
    """
    _, text = _call([str(tool), "-h"], _HELP_SECONDS)
    names = frozenset(_OPTION.findall(text))
    if "magicmind_model" not in names:
        raise EngineError(
            f"its help names no --magicmind_model{_end_of(text)}",
            where=f"{tool} -h",
            expected="the options of mm_run",
            fix="see whether the MagicMind SDK is installed as a whole",
        )
    return names


def arguments(options: MmRunOptions, supported: frozenset[str]) -> list[str]:
    """Return the options as words of a command line, in the spelling that the tool has.

    What was not given stays the tool's to decide, but for what says how long is measured.

    Raises:
        ConfigError: an option was given that the tool has not, or a device that is no MLU.
    """
    older = {name: spelling for spelling, name in OLDER_SPELLINGS.items()}
    words = []
    for name in MmRunOptions.model_fields:
        value = getattr(options, name)
        if (name not in options.model_fields_set and name not in _ALWAYS) or value in (None, ()):
            continue
        spelling = name if name in supported else older.get(name, name)
        if spelling not in supported:
            raise ConfigError(
                "the installed mm_run has no such option",
                where=f"--{name}",
                expected=f"one of {', '.join(sorted(supported))}",
                fix="leave it out, or leave out --native",
            )
        texts = words_of(value)
        if name == "devices":
            texts = [_device_number(text) for text in texts]
        elif name == "avg_runs":
            texts = [",".join(texts)]
        words += [f"--{spelling}", *texts]
    return words


def _device_number(device: str) -> str:
    match = re.fullmatch(r"(?:mlu:)?(\d+)", device)
    if not match:
        raise ConfigError(
            f"{device!r} is no MLU",
            where="--devices",
            expected="numbers, or mlu:0 and so on",
            fix="leave out --native to measure on other devices",
        )
    return match.group(1)


def run_native(
    options: MmRunOptions,
    log: Path,
    tool: Path | None = None,
    timeout: float | None = None,
) -> NativeRun:
    """Run the vendor's mm_run and read its output.

    Args:
        options: of the run.
        log: where everything that it prints is kept, whether or not it comes to its end.
        tool: which; None looks for it (:func:`find_mm_run`).
        timeout: seconds after which it is killed; None allows for ten minutes more than it is to
            measure.

    Raises:
        ConfigError: there is no mm_run, or it has not an option that was given.
        EngineError: it failed, hung, or printed no summary; names the log.
        StoreError: the log cannot be written.
    """
    tool = tool or find_mm_run()
    command = [str(tool), *arguments(options, supported_options(tool))]
    make_folder(log.parent)  # what it prints would be lost
    if timeout is None:
        timeout = (options.warmup + options.duration) / 1000 + GRACE_SECONDS
    status, text = _call(command, timeout)
    write_atomic(log, f"$ {shlex.join(command)}\n{text}".encode())
    if status != 0:
        failure = (
            f"mm_run did not end within {timeout:g} s and was killed"
            if status is None
            else f"mm_run ended with {_status_text(status)}"
        )
        raise EngineError(
            f"{failure}{_end_of(text)}",
            where=str(log),
            fix="the log has everything that it printed; its first line is the command",
        )
    return NativeRun(tuple(command), log, parse_report(text, str(log)))


def _call(command: Sequence[str], timeout: float) -> tuple[int | None, str]:
    """Return a command's exit status, None where it was killed for its time, and what it printed.

    It has a group of processes of its own, so that nothing that it started outlives it. The two
    streams are put one behind the other: on one pipe, the libraries' warnings on the one could
    stand within lines of the other.
    """
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
    except OSError as error:
        raise EngineError(
            f"cannot be called: {error.strerror}",
            where=command[0],
            fix="see whether the MagicMind SDK is installed for this machine",
        ) from error
    status: int | None
    with process:
        try:
            streams = process.communicate(timeout=timeout)
            status = process.returncode
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            streams, status = process.communicate(), None
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)
            raise
    lines = [line for stream in streams for line in stream.decode(errors="replace").splitlines()]
    return status, "".join(f"{line}\n" for line in lines)


def _status_text(status: int) -> str:
    return f"signal {signal.Signals(-status).name}" if status < 0 else f"status {status}"


def _end_of(text: str) -> str:
    """Return the last lines of what was printed, to stand behind a message."""
    lines = [line.strip() for line in text.splitlines() if line.strip()][-_TAIL:]
    return ": " + " | ".join(lines) if lines else " and printed nothing"
