"""Nobody unpickles: not the worker, nor who reads what it wrote."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import mlubench

PACKAGE = Path(mlubench.__file__).parent
UNPICKLERS = {"pickle", "_pickle", "marshal", "shelve", "dill", "cloudpickle", "joblib"}
#: Of NumPy, pandas and YAML: what runs code from what it reads, or may.
CALLS = {"read_pickle", "unsafe_load", "eval", "exec", "fromfile_pickle"}


def _faults(text: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [alias.name for alias in node.names]
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            yield from (name for name in names if name.split(".")[0] in UNPICKLERS)
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            safe = any(
                word.arg == "allow_pickle" and ast.unparse(word.value) == "False"
                for word in node.keywords
            )
            if called in CALLS or (called in {"np.load", "numpy.load"} and not safe):
                yield called


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("import pickle", "pickle"),
        ("from joblib import load", "joblib"),
        ("np.load(path)", "np.load"),
        ("np.load(path, allow_pickle=True)", "np.load"),
    ],
)
def test_an_unpickler_is_found(text: str, fault: str) -> None:
    assert list(_faults(text)) == [fault]


def test_nobody_unpickles() -> None:
    files = sorted(PACKAGE.rglob("*.py"))
    assert PACKAGE / "worker" / "__main__.py" in files
    faults = {str(file): list(_faults(file.read_text(encoding="utf-8"))) for file in files}
    assert not {file: found for file, found in faults.items() if found}
