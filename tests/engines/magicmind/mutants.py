"""Runs the engine without one of its checks, or with a fault, each time in a process of its own.

A program, so that its processes are forked from one that has loaded what is slow and nothing of
the engine: ``python -m tests.engines.magicmind.mutants NETWORKS OUT`` reads a JSON list of cases
(``faults``, and ``without``: [file name, line, column] of a check, or null) and writes, a line
each, how they ended: ``misuses`` of the SDK, ``error`` (``kind``, ``what``, ``where``) or null, and
``calls`` (name -> how often).
"""

from __future__ import annotations

import ast
import importlib
import importlib.abc
import importlib.machinery
import json
import os
import sys
import traceback
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from mlubench.engines import interface
from mlubench.errors import MlubenchError
from tests.engines.magicmind import scenario
from tests.support.simulated_sdk import environment

PACKAGE = "mlubench.engines.magicmind"
FOLDER = Path(interface.__file__).parent / "magicmind"
CHECKS = ("ok", "ok_or_nothing", "made", "listed")
#: Loaded before the processes are forked.
_SLOW = (
    "magicmind.python.common.types",
    "magicmind.python.runtime.parser",
    "onnx.shape_inference",
    "onnxruntime",
)
_AT_ONCE = 2


def checks(path: Path) -> Iterator[ast.Call]:
    """Yield a file's calls of checks; a Status' own ``ok()`` has no argument."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and _is_check(node):
            yield node


def _is_check(node: ast.Call) -> bool:
    return isinstance(node.func, ast.Attribute) and node.func.attr in CHECKS and bool(node.args)


class _Without(ast.NodeTransformer):
    """Puts what is checked in the place of its check."""

    def __init__(self, line: int, column: int) -> None:
        self._place = (line, column)
        self.done = 0

    def visit_Call(self, node: ast.Call) -> ast.AST:
        self.generic_visit(node)
        if not _is_check(node) or (node.lineno, node.col_offset) != self._place:
            return node
        self.done += 1
        return node.args[0]


class _Mutated(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Loads one module without one check."""

    def __init__(self, file: str, line: int, column: int) -> None:
        self._path = FOLDER / file
        self._name = f"{PACKAGE}.{self._path.stem}"
        self._without = _Without(line, column)

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if name != self._name:
            return None
        return importlib.machinery.ModuleSpec(name, self, origin=str(self._path))

    def exec_module(self, module: ModuleType) -> None:
        tree = self._without.visit(ast.parse(self._path.read_text(encoding="utf-8")))
        if self._without.done != 1:
            raise LookupError(f"{self._path}: no such check")
        exec(compile(ast.fix_missing_locations(tree), self._path, "exec"), vars(module))


def _end_of(case: dict[str, Any], networks: Path, folder: Path) -> dict[str, Any]:
    """Run a case in this process and return how it ended."""
    from magicmind.simulation import faults
    from magicmind.simulation.ledger import LEDGER

    if any(name.startswith(PACKAGE) for name in sys.modules):
        raise RuntimeError("the engine was loaded before its check was taken away")
    os.environ.update(environment(folder, cards=2, faults=case["faults"]))
    faults.reset()
    calls: Counter[str] = Counter()
    strike = faults.strike

    def counted(call: str, card: int | None) -> Any:
        calls[call] += 1
        return strike(call, card)

    faults.strike = counted
    if case["without"] is not None:
        sys.meta_path.insert(0, _Mutated(*case["without"]))
    error: Any = None
    try:
        scenario.every_call(networks, folder)
    except MlubenchError as caught:
        error = {"kind": type(caught).__name__, "what": caught.what, "where": caught.where}
    except Exception as caught:
        error = {"kind": type(caught).__name__, "what": str(caught), "where": ""}
    return {"misuses": LEDGER.forget(), "error": error, "calls": calls}


def _start(case: dict[str, Any], networks: Path, folder: Path) -> int:
    """Fork a process that runs a case and writes how it ended; return its id."""
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        folder.mkdir()
        ended = _end_of(case, networks, folder)
        (folder / "ended.json").write_text(json.dumps(ended))
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(status)


def main() -> None:
    networks, out = map(Path, sys.argv[1:])
    cases = json.load(sys.stdin)
    for module in _SLOW:
        importlib.import_module(module)
    folders = [out / str(number) for number in range(len(cases))]
    running: deque[int] = deque()
    for case, folder in zip(cases, folders, strict=True):
        if len(running) == _AT_ONCE:
            os.waitpid(running.popleft(), 0)
        running.append(_start(case, networks, folder))
    while running:
        os.waitpid(running.popleft(), 0)
    for folder in folders:
        print((folder / "ended.json").read_text())  # noqa: T201


if __name__ == "__main__":
    main()
