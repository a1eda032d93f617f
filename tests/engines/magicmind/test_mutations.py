"""Every check of what the SDK answers is needed, and every failure is told by its call's name.

The engine is run without one of its checks, for each of them, and something must be noticed; and
with all of them while each of its calls fails, as often as it is made.
"""

from __future__ import annotations

import ast
import importlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.engines.magicmind import scenario
from tests.engines.magicmind.mutants import CHECKS, FOLDER, checks
from tests.support.long import long
from tests.support.simulated_sdk import environment, simulated

Case = dict[str, Any]
Ended = dict[str, Any]
#: How a call fails without ending the process, by what it answers with.
_HOWS = {
    "status": ("status",),
    "lenient": ("status",),
    "flag": ("status",),
    "list": ("status", "short_list"),
    "object": ("none",),
    "value": (),
}
#: What an error has to say, by what the call answers with where it failed, or by how it did.
_WORDS = {
    "object": "returned None",
    "flag": "returned False",
    "short_list": "gave 0 tensors where there is 1",
    "wrong_shape": "gave scores [",
    "lost": "is lost",
    "status": "injected failure",
}


@pytest.fixture(scope="module")
def networks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("networks")
    scenario.write_networks(folder)
    return folder


@pytest.fixture(scope="module")
def returns(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What each call of the SDK answers with, as the simulator has it."""
    with simulated(tmp_path_factory.mktemp("sdk")):
        importlib.import_module("magicmind.python.runtime.parser")
        return dict(importlib.import_module("magicmind.simulation.strict").CALLS)


def _run(cases: Sequence[Case], networks: Path, folder: Path) -> list[Ended]:
    """Run cases, each in a process of its own, and return how they ended."""
    out = folder / "out"
    out.mkdir()
    done = subprocess.run(
        [sys.executable, "-m", "tests.engines.magicmind.mutants", str(networks), str(out)],
        input=json.dumps(cases),
        env={**os.environ, **environment(folder)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def _hows(call: str, returns: dict[str, str]) -> Iterator[str]:
    """Yield how a call may fail, without the process ending, so that its checks are needed."""
    yield from _HOWS[returns[call]]
    if call == "Context.enqueue":  # fills the list that it is given
        yield "short_list"


@pytest.mark.parametrize("each_time", [False, pytest.param(True, marks=long)])
def test_each_failure_names_the_call_the_device_and_the_sdks_message(
    networks: Path, returns: dict[str, str], tmp_path: Path, each_time: bool
) -> None:
    (sound,) = _run([_case()], networks, _folder(tmp_path, "sound"))
    assert (sound["misuses"], sound["error"]) == ([], None)
    cases = [
        _case([{"call": call, "how": how, "after": after, "card": 1 if how == "lost" else None}])
        for call, times in sound["calls"].items()
        for how in (*_hows(call, returns), *_further(call))
        # Nobody looks at the scores of what is measured.
        for after in _times(
            scenario.BATCHES if how in ("short_list", "wrong_shape") else times, each_time
        )
    ]
    assert len(cases) > len(sound["calls"])
    ended = _run(cases, networks, _folder(tmp_path, "faults"))
    wrong = [
        f"{case['faults'][0]}: {end}"
        for case, end in zip(cases, ended, strict=True)
        if end["misuses"] or not _told(case["faults"][0], end["error"], returns)
    ]
    assert not wrong, "\n".join(wrong)


def _times(times: int, each: bool) -> Sequence[int]:
    """Return which times of a call fail: each, or the first two and the last."""
    return range(times) if each or times < 3 else (0, 1, times - 1)


def _further(call: str) -> Iterator[str]:
    """Yield what else may befall a call."""
    if call in ("Context.enqueue", "Tensor.asnumpy"):
        yield "wrong_shape"
    if call.split(".")[0] in ("Device", "Engine", "Context", "Tensor", "Queue", "Calibrator"):
        yield "lost"


def _folder(tmp_path: Path, name: str) -> Path:
    (tmp_path / name).mkdir()
    return tmp_path / name


def _case(faults: Sequence[dict[str, Any]] = (), without: Any = None) -> Case:
    return {"faults": list(faults), "without": without}


def _told(fault: dict[str, Any], error: dict[str, str] | None, returns: dict[str, str]) -> bool:
    """Whether an error is the engine's own, and names the call, the device and what is wrong."""
    if error is None or error["kind"] != "EngineError" or error["where"] != scenario.DEVICE:
        return False
    how = fault["how"]
    answer = returns[fault["call"]]
    words = _WORDS[answer if answer in ("object", "flag") and how != "wrong_shape" else how]
    return fault["call"] in error["what"] and words in error["what"]


def test_no_check_can_be_left_out(networks: Path, returns: dict[str, str], tmp_path: Path) -> None:
    sites = [(path, node) for path in sorted(FOLDER.glob("*.py")) for node in checks(path)]
    assert len(sites) >= 24
    cases, places = [], []
    for path, node in sites:
        without = [path.name, node.lineno, node.col_offset]
        hows = [(call, how) for call in _calls(path, node) for how in _hows(call, returns)]
        assert hows, f"{path.name}:{node.lineno}: no fault shows what it checks"
        for faults in ([], *([{"call": call, "how": how}] for call, how in hows)):
            cases.append(_case(faults, without))
            places.append(f"{path.name}:{node.lineno}: {ast.unparse(node)}")
    ended = _run(cases, networks, tmp_path)
    noticed = {
        place
        for place, case, end in zip(places, cases, ended, strict=True)
        if _is_noticed(case["faults"], end, returns)
    }
    left = [place for place in dict.fromkeys(places) if place not in noticed]
    assert not left, "the engine does as well without:\n" + "\n".join(left)


def _is_noticed(faults: Sequence[dict[str, Any]], end: Ended, returns: dict[str, str]) -> bool:
    """Whether an end is another than that of the whole engine."""
    if end["misuses"] or not faults:
        return bool(end["misuses"] or end["error"])
    return not _told(faults[0], end["error"], returns)


def _calls(path: Path, node: ast.Call) -> list[str]:
    """Return the calls of the SDK that a check is of; one inside another has its callers'."""
    named = node.args[1] if len(node.args) > 1 else None
    if isinstance(named, ast.Constant):
        return [str(named.value).split(",")[0]]
    (around,) = (
        one.name
        for one in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(one, ast.FunctionDef)
        and one.name in CHECKS
        and one.lineno <= node.lineno <= (one.end_lineno or 0)
    )
    return [
        call
        for other in sorted(FOLDER.glob("*.py"))
        for one in checks(other)
        if isinstance(one.func, ast.Attribute) and one.func.attr == around and one is not node
        if len(one.args) > 1 and isinstance(one.args[1], ast.Constant)
        for call in _calls(other, one)
    ]
