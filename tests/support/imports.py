"""What imports what, by the text of the modules; and DESIGN's list of folders, top to bottom."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

#: From top to bottom; imports only go down. Flows and tasks stand between cli and the library.
FOLDERS = (
    "mlubench/cli",
    "flows",
    "tasks",
    "mlubench/nightly",
    "mlubench/report",
    "mlubench/verdicts",
    "mlubench/explain",
    "mlubench/evaluate",
    "mlubench/speed",
    "mlubench/magicmind_sample",
    "mlubench/networks",
    "mlubench/presentation",
    "mlubench/runs",
    "mlubench/devices",
    "mlubench/images",
    "mlubench/object_store",
    "mlubench/catalogue",
    "mlubench/worker",
    "mlubench/engines",
    "mlubench/metrics",
    "mlubench",
)


def room(path: str) -> str:
    """Return the folder of the list that a file or module lies in."""
    parts = path.removesuffix(".py").split("/")
    if parts[0] != "mlubench":
        return parts[0]
    if parts == ["mlubench", "__main__"]:
        return "mlubench/cli"
    inner = "/".join(parts[:2])
    return inner if inner in FOLDERS or len(parts) > 2 else "mlubench"


def floor(path: str) -> int:
    """Return how far down the list a file or module lies."""
    return FOLDERS.index(room(path))


def imports_of(root: Path, path: str) -> Iterator[tuple[int, str]]:
    """Yield the line and the dotted name of each of the project's modules that a file imports.

    Imports within functions and for types alone count too.

    Args:
        root: of the checkout.
        path: the file, relative to it.
    """
    for node in ast.walk(ast.parse((root / path).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [_module(root, node.module, alias.name) for alias in node.names]
        else:
            continue
        for name in dict.fromkeys(names):
            if name.split(".")[0] in ("mlubench", "flows", "tasks"):
                yield node.lineno, name


def _module(root: Path, module: str, name: str) -> str:
    """Return ``module.name`` where that is a module or a package, else ``module``."""
    inner = root.joinpath(*module.split("."), name)
    return f"{module}.{name}" if inner.is_dir() or inner.with_suffix(".py").is_file() else module


def diagram(root: Path, files: list[str]) -> str:
    """Return a Mermaid diagram of which folder imports which, but for the ground.

    An arrow is left out where others lead along it anyway, so that the layers can be seen.

    Args:
        root: of the checkout.
        files: the product's Python files, relative to it.
    """
    below: dict[str, set[str]] = {folder: set() for folder in FOLDERS}
    for name in files:
        below[room(name)] |= {
            room(imported.replace(".", "/")) for _, imported in imports_of(root, name)
        }
    ground = {"mlubench"}
    arrows = {folder: below[folder] - {folder} - ground for folder in FOLDERS}
    lines = ["flowchart TD"]
    for folder in FOLDERS:
        indirect = set().union(*(_reached(other, arrows) for other in arrows[folder]))
        lines += [
            f"    {_label(folder)} --> {_label(other)}"
            for other in FOLDERS
            if other in arrows[folder] - indirect
        ]
    return "\n".join(lines)


def _reached(folder: str, arrows: dict[str, set[str]]) -> set[str]:
    """Return what a folder reaches by one arrow or more."""
    found = set(arrows[folder])
    for other in arrows[folder]:
        found |= _reached(other, arrows)
    return found


def _label(folder: str) -> str:
    return folder.removeprefix("mlubench/")
