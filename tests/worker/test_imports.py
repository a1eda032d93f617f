"""The worker runs where nothing is installed but NumPy and the engine."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import mlubench
from mlubench.engines.interface import NetworkFiles
from tests.engines.magicmind.scenario import SPEC, use
from tests.support.networks import random_images, write_small_network
from tests.support.simulated_sdk import environment, simulated

IMAGES = random_images(3)
ROOT = Path(mlubench.__file__).parent
#: What a worker loads of this package, under the engine's interpreter.
SOURCES = sorted(
    [
        *(ROOT / "worker").rglob("*.py"),
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


def test_nor_does_it_with_the_engine_for_mlu_cards_and_a_network_run(tmp_path: Path) -> None:
    """Run a whole use of the engine; the simulated SDK's own packages are beside the point."""
    with simulated(tmp_path / "sdk"):
        use(NetworkFiles(write_small_network(tmp_path / "n.onnx")), SPEC, tmp_path / "m", IMAGES)
    code = (
        "import sys, numpy as np, mlubench.worker.__main__, mlubench.worker.client\n"
        "from pathlib import Path\n"
        "from mlubench.engines.interface import load_engine\n"
        "engine = load_engine('magicmind')\n"
        "engine.use_device('mlu:0')\n"
        f"session = engine.load(Path({str(tmp_path / 'm')!r}))\n"
        f"images = np.zeros({IMAGES.shape!r}, np.uint8)\n"
        "session.run(images, lambda first, scores: None)\n"
        "print(*sys.modules)\n"
    )
    environment_ = {**os.environ, **environment(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment_, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    loaded = set(done.stdout.split())
    assert "mlubench.engines.magicmind.session" in loaded
    assert not FOREIGN & loaded


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_the_syntax_is_that_of_python_3_7(path: Path) -> None:
    ast.parse(path.read_text(encoding="utf-8"), feature_version=(3, 7))


def _vermin(*paths: Path) -> subprocess.CompletedProcess[str]:
    """Run vermin on paths as `make lint` does."""
    makefile = (ROOT.parent / "Makefile").read_text(encoding="utf-8")
    (options,) = re.findall(r"^\t\$\(BIN\)/vermin (.*) \$\(GUESTS\)$", makefile, re.MULTILINE)
    program = Path(sys.executable).with_name("vermin")
    command = [str(program), *options.split(), *map(str, paths)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_lint_looks_at_every_source_of_the_worker() -> None:
    makefile = (ROOT.parent / "Makefile").read_text(encoding="utf-8")
    (guests,) = re.findall(r"^GUESTS := (.*)$", makefile, re.MULTILINE)
    looked_at = [ROOT.parent / guest for guest in guests.split()]
    for path in SOURCES:
        assert {path, *path.parents} & set(looked_at), path


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("if (n := 1):\n    pass\n", "named expressions"),
        ("import functools\nfunctools.cache(len)\n", "functools.cache"),
        ("from importlib.metadata import version\n", "importlib.metadata"),
        ("def f(a, /):\n    pass\n", "positional-only"),
        ("'a'.removeprefix('a')\n", "removeprefix"),
    ],
)
def test_lint_finds_what_python_3_7_has_not(tmp_path: Path, code: str, words: str) -> None:
    (tmp_path / "later.py").write_text(code)
    done = _vermin(tmp_path / "later.py")
    assert done.returncode == 1
    assert words in done.stdout


def test_lint_knows_that_annotations_are_not_evaluated(tmp_path: Path) -> None:
    code = "from __future__ import annotations\ndef f(a: list[int] | None) -> dict[str, int]: ...\n"
    (tmp_path / "sound.py").write_text(code)
    done = _vermin(tmp_path / "sound.py")
    assert done.returncode == 0, done.stdout
