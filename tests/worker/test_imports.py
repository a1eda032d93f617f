"""The worker runs where nothing is installed but NumPy and the engine."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import mlubench

ROOT = Path(mlubench.__file__).parent
#: What a worker loads of this package, under the engine's interpreter.
SOURCES = sorted(
    [
        *(ROOT / "worker").glob("*.py"),
        *(ROOT / "engines").rglob("*.py"),
        ROOT / "__init__.py",
        ROOT / "errors.py",
        ROOT / "store.py",
    ]
)
FOREIGN = {"prefect", "pydantic", "pyarrow", "pandas", "cv2", "onnx", "cyclopts", "rich", "yaml"}


def test_the_import_graph_holds_no_package_of_the_pipeline() -> None:
    code = "import sys, mlubench.worker.__main__, mlubench.worker.client; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not FOREIGN & set(done.stdout.split())


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_the_syntax_is_that_of_python_3_7(path: Path) -> None:
    ast.parse(path.read_text(encoding="utf-8"), feature_version=(3, 7))
