"""No answer of the SDK goes unexamined: Statuses, lists that are none, factories' None."""

from __future__ import annotations

import ast
import dataclasses
import os
import subprocess
import sys
import threading
import types
from pathlib import Path
from typing import Any

import pytest

from tests.simulated_sdk_tests import lifecycle
from tests.simulated_sdk_tests.lifecycle import Plan, Runner, activate, build
from tests.support.networks import random_images
from tests.support.simulated_sdk import MISUSED, environment, misuse, misuses, simulated

LIFECYCLE = Path(lifecycle.__file__).read_text(encoding="utf-8")


def _checks() -> list[int]:
    """Return the lines of the lifecycles that examine a Status."""
    return [
        node.lineno
        for node in ast.walk(ast.parse(LIFECYCLE))
        if isinstance(node, ast.Assert) and "status.ok()" in ast.unparse(node)
    ]


class _Without(ast.NodeTransformer):
    def __init__(self, line: int) -> None:
        self._line = line

    def visit_Assert(self, node: ast.Assert) -> ast.stmt:
        return ast.copy_location(ast.Pass(), node) if node.lineno == self._line else node


def _go_through(module: Any, mm: Any, plan: Plan, folder: Path) -> None:
    module.build(mm, plan, folder / "model")
    runner = module.Runner(mm, folder / "model")
    runner.run(random_images(4))
    runner.close()


@pytest.mark.parametrize("line", [0, *_checks()])
def test_a_lifecycle_without_one_of_its_checks_is_seen(
    line: int, mm: Any, quantised: Plan, tmp_path: Path
) -> None:
    """Nothing fails, and still each check that is left out is found."""
    module = types.ModuleType("changed_lifecycle")
    sys.modules[module.__name__] = module
    code = ast.fix_missing_locations(_Without(line).visit(ast.parse(LIFECYCLE)))
    exec(compile(code, "changed_lifecycle", "exec"), module.__dict__)
    plan = module.Plan(**{f.name: getattr(quantised, f.name) for f in dataclasses.fields(Plan)})
    if line == 0:
        _go_through(module, mm, plan, tmp_path)
        return
    with misuse("was not examined"):
        _go_through(module, mm, plan, tmp_path)


def test_the_lifecycles_have_checks() -> None:
    assert len(_checks()) >= 11


@pytest.mark.parametrize("look", [bool, str, lambda status: status.ok])
def test_only_ok_examines_a_status(look: Any, mm: Any) -> None:
    config = mm.BuilderConfig()
    status = config.parse_from_string("{}")
    look(status)
    with misuse(r"Status of BuilderConfig.parse_from_string was not examined with ok\(\)"):
        config.parse_from_string("{}")


def test_a_status_has_no_truth_of_its_own(mm: Any) -> None:
    assert mm.Status(mm.Code.OUT_OF_RANGE, "the end")
    assert mm.Status()
    assert not mm.Status(mm.Code.OUT_OF_RANGE, "the end").ok()
    assert mm.Status.OK().ok()
    assert mm.Status(mm.Code.OUT_OF_RANGE, "the end").error_message() == "the end"
    assert str(mm.Status(mm.Code.OUT_OF_RANGE, "the end")) == "OUT_OF_RANGE: the end"


def test_a_failure_that_nobody_looked_at_is_named(mm: Any) -> None:
    config = mm.BuilderConfig()
    config.parse_from_string("no json")
    with misuse(r"BuilderConfig.parse_from_string was not examined.*failed \(simulated: not JSON"):
        activate(mm)


def test_another_threads_dropped_status_is_seen(mm: Any) -> None:
    config = mm.BuilderConfig()
    thread = threading.Thread(target=lambda: config.parse_from_string("{}"))
    thread.start()
    thread.join()
    with misuse("parse_from_string was not examined"):
        activate(mm)


def test_another_threads_status_that_may_yet_be_looked_at_is_none(mm: Any) -> None:
    kept: list[Any] = []
    config = mm.BuilderConfig()
    thread = threading.Thread(target=lambda: kept.append(config.parse_from_string("{}")))
    thread.start()
    thread.join()
    activate(mm)
    assert kept[0].ok()


def test_a_status_in_place_of_a_list(small: Plan, tmp_path: Path) -> None:
    faults = [{"call": "Context.create_inputs", "after": 1, "times": 4, "how": "status"}]
    with simulated(tmp_path / "simulation", faults=faults) as mm:
        build(mm, small, tmp_path / "model")
        runner = Runner(mm, tmp_path / "model")
        context = runner.context
        assert not isinstance(context.create_inputs(), list)  # counts as having looked
        with misuse("a Status, which was used as a list"):
            context.create_inputs()[0]
        with misuse("Context.enqueue: the Status of Context.create_inputs was not examined"):
            context.enqueue(context.create_inputs(), [], runner.queue)
        context.create_inputs()
        with misuse("Context.create_inputs was not examined"):
            context.create_inputs()


def test_the_none_of_a_factory(small: Plan, tmp_path: Path) -> None:
    faults = [{"call": "Device.create_queue", "after": 1, "how": "none"}]
    with simulated(tmp_path / "simulation", faults=faults) as mm:
        build(mm, small, tmp_path / "model")
        runner = Runner(mm, tmp_path / "model")
        queue = runner.device.create_queue()
        assert queue is None
        runner.fill(random_images(4))
        with misuse("queue is None where a Queue belongs"):
            runner.context.enqueue(runner.inputs, [], queue)


_START = "import magicmind.python.runtime as mm\nconfig = mm.BuilderConfig()\n"
_SWALLOWED = """
try:
    config.parse_from_string('{"no_such_key": 1}')
except RuntimeError:
    print("went on")
"""


@pytest.mark.parametrize(
    ("code", "status", "told"),
    [
        ("assert config.parse_from_string('{}').ok()", 0, None),
        ("config.parse_from_string('{}')", MISUSED, "not examined with ok(), and the process ends"),
        ("config.parse_from_string('{')", MISUSED, "and it failed (simulated: not JSON"),
        (_SWALLOWED, MISUSED, "there is no such key"),
    ],
)
def test_the_process_ends_with_a_status_of_its_own(
    code: str, status: int, told: str | None, tmp_path: Path
) -> None:
    variables = environment(tmp_path)
    done = subprocess.run(
        [sys.executable, "-c", _START + code],
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
    )
    assert done.returncode == status
    assert done.stdout == ("went on\n" if "went on" in code else "")
    assert len(misuses(variables)) == (told is not None)
    assert all(told in text for text in (done.stderr, *misuses(variables)) if told)
