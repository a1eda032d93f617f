"""Calling the vendor's mm_run: scripts stand in for it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from mlubench.errors import ConfigError, EngineError
from mlubench.speed.mm_run.tool.native import arguments, find_mm_run, run_native, supported_options
from mlubench.speed.mm_run.tool.options import MmRunOptions
from mlubench.speed.mm_run.tool.parse import parse_report
from tests.speed.mm_run.tool.samples import OLD, with_log
from tests.speed.mm_run.tool.tools import NEW_OPTIONS, OLD_OPTIONS, prints, write_tool


def _options(**given: Any) -> MmRunOptions:
    return MmRunOptions.model_validate({"magicmind_model": "a model", **given})


@pytest.mark.parametrize(
    ("options", "text", "batch"),
    [(OLD_OPTIONS, OLD, "--batch"), (NEW_OPTIONS, with_log(), "--batch_size")],
    ids=["old", "new"],
)
def test_a_run(tmp_path: Path, options: frozenset[str], text: str, batch: str) -> None:
    tool = write_tool(tmp_path / "mm_run", options, prints(text))
    log = tmp_path / "logs" / "run.log"
    run = run_native(_options(batch_size=[8], devices=["mlu:1"]), log, tool)
    expected = (
        f"--magicmind_model 'a model' {batch} 8 --devices 1 --warmup 200 --duration 3000 "
        "--iterations 100"
    )
    written = log.read_text()
    assert written.splitlines()[0] == f"$ {tool} {expected}"
    assert f"called with: {expected.replace(chr(39), '')}" in written
    assert text in written
    assert run.command[0] == str(tool)
    assert run.report == parse_report(text)
    assert run.log == log


def test_help_tells_the_spelling(tmp_path: Path) -> None:
    for options in (OLD_OPTIONS, NEW_OPTIONS):
        assert supported_options(write_tool(tmp_path / "mm_run", options, "")) == options


def test_arguments_are_as_mm_run_takes_them() -> None:
    options = _options(
        input_dims="1,3,8,8 _ 1,7",
        batch=["4", "_"],
        input_files=["a.bin", "b.bin"],
        devices=["0", "mlu:1"],
        bind_cluster="true",
        host_async="0",
        avg_runs="50,5",
        trace_time="both",
    )
    assert arguments(options, NEW_OPTIONS) == [
        *("--magicmind_model", "a model"),
        *("--input_dims", "1,3,8,8", "1,7"),
        *("--batch_size", "4", "_"),
        *("--input_files", "a.bin", "b.bin"),
        *("--devices", "0", "1"),
        *("--bind_cluster", "1"),
        *("--warmup", "200", "--duration", "3000", "--iterations", "100"),
        *("--host_async", "0"),
        *("--trace_time", "both"),
        *("--avg_runs", "50,5"),
    ]


@pytest.mark.parametrize(
    ("given", "supported", "option"),
    [
        ({"buffer_depth": 4}, OLD_OPTIONS, "--buffer_depth"),
        ({"trace_time": "host"}, OLD_OPTIONS, "--trace_time"),
        ({"datatransfer_opt": 1}, NEW_OPTIONS, "--datatransfer_opt"),
        ({"devices": ["cpu:0"]}, NEW_OPTIONS, "--devices"),
    ],
)
def test_what_the_tool_has_not_is_refused(
    given: dict[str, Any], supported: frozenset[str], option: str
) -> None:
    with pytest.raises(ConfigError, match=f"^{option}: ") as raised:
        arguments(_options(**given), supported)
    assert "--native" in raised.value.fix


def test_where_it_is_looked_for(tmp_path: Path) -> None:
    first = write_tool(tmp_path / "a" / "mm_run", NEW_OPTIONS, "")
    second = write_tool(tmp_path / "neuware" / "bin" / "mm_run", NEW_OPTIONS, "")
    third = write_tool(tmp_path / "c" / "mm_run", NEW_OPTIONS, "")
    places = {
        "MM_RUN_PATH": str(first.parent),
        "NEUWARE_HOME": str(tmp_path / "neuware"),
        "PATH": str(third.parent),
    }
    assert find_mm_run(places) == first
    assert find_mm_run({**places, "MM_RUN_PATH": str(first)}) == first
    assert find_mm_run({**places, "MM_RUN_PATH": str(tmp_path)}) == second
    second.chmod(0o644)
    assert find_mm_run({**places, "MM_RUN_PATH": ""}) == third


def test_it_is_nowhere(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as raised:
        find_mm_run({"MM_RUN_PATH": str(tmp_path), "PATH": ""})
    message = str(raised.value)
    assert message.startswith("--native: the vendor's mm_run was not found")
    assert f"{tmp_path}/mm_run (from MM_RUN_PATH)" in message
    assert "NEUWARE_HOME, which is not set" in message
    assert "PATH" in message


def test_a_tool_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_tool(tmp_path / "mm_run", OLD_OPTIONS, prints(OLD))
    monkeypatch.setenv("MM_RUN_PATH", str(tmp_path))
    assert run_native(_options(), tmp_path / "log").report.performance.qps == 193.47


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("echo 'invalid device'; exit 3", "mm_run ended with status 3: invalid device"),
        ("kill -SEGV $$", "mm_run ended with signal SIGSEGV and printed nothing"),
        ("echo fine", "0 performance summaries"),
    ],
)
def test_a_run_that_fails(tmp_path: Path, body: str, message: str) -> None:
    tool = write_tool(tmp_path / "mm_run", NEW_OPTIONS, body)
    log = tmp_path / "run.log"
    with pytest.raises(EngineError, match=f"^{log}: .*{message}"):
        run_native(_options(), log, tool)
    assert log.read_text().startswith(f"$ {tool}")


def test_a_run_that_hangs_is_killed_with_what_it_started(tmp_path: Path) -> None:
    body = f"echo begun; sleep 600 & echo $! >{tmp_path}/child; wait"
    tool = write_tool(tmp_path / "mm_run", NEW_OPTIONS, body)
    log = tmp_path / "run.log"
    with pytest.raises(EngineError, match="did not end within 1 s and was killed: begun"):
        run_native(_options(), log, tool, timeout=1)
    assert log.read_text().endswith("begun\n")
    child = int((tmp_path / "child").read_text())
    # Killed; it may still wait for its new parent to take note.
    status = Path(f"/proc/{child}/stat")
    assert not status.exists() or status.read_text().rpartition(")")[2].split()[0] == "Z"


def test_a_tool_that_is_none(tmp_path: Path) -> None:
    tool = tmp_path / "mm_run"
    tool.write_bytes(b"\x7fELF of another machine")
    tool.chmod(0o755)
    with pytest.raises(EngineError, match="mm_run: cannot be called"):
        run_native(_options(), tmp_path / "log", tool)
    tool.write_text("#!/bin/sh\necho usage: none\n")
    with pytest.raises(EngineError, match="-h: its help names no --magicmind_model: usage: none"):
        run_native(_options(), tmp_path / "log", tool)
    assert not os.path.lexists(tmp_path / "log")
