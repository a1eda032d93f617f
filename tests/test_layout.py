"""The layout: which way imports go, and how much a folder, a file and a function hold."""

from __future__ import annotations

import ast
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.architecture import DOCUMENT, drawn
from tests.support.imports import FOLDERS, floor, imports_of, room

ROOT = Path(__file__).resolve().parent.parent
_MODULES = 12
_FILE_LINES = 400
_FUNCTION_LINES = 60
#: They say nothing about what is inside.
_EMPTY_NAMES = {"base", "common", "helper", "helpers", "lib", "misc", "stuff", "util", "utils"}
#: What runs under an engine's interpreter may import of the project.
_GUESTS = ("mlubench/worker/", "mlubench/engines/")
_GUEST_GROUND = {"mlubench", "mlubench.errors", "mlubench.store"}


def _files(*folders: str) -> list[str]:
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.py"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    return [
        name
        for name in listed
        if name.startswith(folders) and "_pb2" not in name and (ROOT / name).is_file()
    ]


PRODUCT = _files("mlubench/", "flows/", "tasks/")
ALL = _files("mlubench/", "flows/", "tasks/", "tests/", "benchmarks/", "conf/")


def test_every_folder_has_its_floor() -> None:
    found = {room(name) for name in PRODUCT}
    assert found == set(FOLDERS), "name the new folder in tests/support/imports.py"


@pytest.mark.parametrize("name", PRODUCT)
def test_imports_only_go_down(name: str) -> None:
    upwards = [
        f"line {line}: {imported}"
        for line, imported in imports_of(ROOT, name)
        if floor(imported.replace(".", "/")) < floor(name)
    ]
    assert not upwards


def test_the_command_line_alone_imports_flows_and_within_functions() -> None:
    others, at_once = [], []
    for name in PRODUCT:
        if not name.startswith("mlubench/"):
            continue
        for line, imported in imports_of(ROOT, name):
            if imported.split(".")[0] not in ("flows", "tasks"):
                continue
            if not name.startswith("mlubench/cli/"):
                others.append(f"{name}:{line}")
            elif line in _top_lines(name):
                at_once.append(f"{name}:{line}")
    assert not others
    assert not at_once, "--help would load Prefect"


def _top_lines(name: str) -> set[int]:
    return {
        statement.lineno
        for statement in ast.parse((ROOT / name).read_text(encoding="utf-8")).body
        if isinstance(statement, ast.Import | ast.ImportFrom)
    }


def test_the_library_imports_no_prefect() -> None:
    found = [
        f"{name}:{node.lineno}"
        for name in PRODUCT
        if name.startswith("mlubench/")
        for node in ast.walk(ast.parse((ROOT / name).read_text(encoding="utf-8")))
        for imported in _outside(node)
        if imported.split(".")[0].startswith("prefect")
    ]
    assert not found


def _outside(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    return [node.module or ""] if isinstance(node, ast.ImportFrom) else []


def test_guests_import_nothing_of_their_host() -> None:
    found = [
        f"{name}:{line}: {imported}"
        for name in PRODUCT
        if name.startswith(_GUESTS)
        for line, imported in imports_of(ROOT, name)
        if imported not in _GUEST_GROUND
        and not imported.replace(".", "/").startswith(tuple(guest[:-1] for guest in _GUESTS))
    ]
    assert not found


def test_no_folder_is_full() -> None:
    modules = Counter(
        Path(name).parent.as_posix() for name in PRODUCT if Path(name).name != "__init__.py"
    )
    assert {folder: count for folder, count in modules.items() if count > _MODULES} == {}


def test_no_file_is_long() -> None:
    lines = {name: (ROOT / name).read_bytes().count(b"\n") for name in PRODUCT}
    assert {name: count for name, count in lines.items() if count > _FILE_LINES} == {}


def test_no_function_is_long() -> None:
    found = {
        f"{name}:{function.lineno} {function.name}": lines
        for name in PRODUCT
        for function, lines in _functions(name)
        if lines > _FUNCTION_LINES
    }
    assert found == {}


def _functions(name: str) -> Iterator[tuple[ast.FunctionDef | ast.AsyncFunctionDef, int]]:
    """Yield functions with their lines, docstrings left out."""
    for node in ast.walk(ast.parse((ROOT / name).read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (node.end_lineno or 0) - node.lineno + 1
            if ast.get_docstring(node, clean=False) is not None:
                first = node.body[0]
                lines -= (first.end_lineno or 0) - first.lineno + 1
            yield node, lines


def test_names_of_files_say_what_is_inside() -> None:
    assert [name for name in ALL if Path(name).stem in _EMPTY_NAMES] == []


def test_the_old_folders_are_gone() -> None:
    for folder in ("mlubench/pipeline", "mlubench/reports", "mlubench/depot", "tests/bench"):
        assert not _files(f"{folder}/")


def test_the_diagram_is_that_of_the_imports() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    assert drawn(text) == text, "make diagram"
