"""The worker in an environment that has NumPy and nothing else, as an SDK's interpreter may be."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mlubench
from mlubench.engines.magicmind.cnmon import Card
from mlubench.worker.client import Worker
from tests.support.cnmon_screens import new_screen

ROOT = Path(mlubench.__file__).resolve().parent.parent
ENGINE = "tests.support.fault_engine"
#: The last NumPy for Python 3.7, which the vendor's images have.
OLD_NUMPY = "numpy==1.21.6"
#: Run inside: every module that the worker's start has loaded, with its file.
LOADED = """
import json, sys, sysconfig
import mlubench.worker.__main__
files = {name: getattr(module, "__file__", None) for name, module in list(sys.modules.items())}
library = [sysconfig.get_paths()[key] for key in ("stdlib", "platstdlib")]
print(json.dumps({"files": files, "library": library, "built in": sys.builtin_module_names}))
"""


def _python_3_7() -> Path | None:
    """Return an interpreter of Python 3.7 that runs."""
    places = [shutil.which("python3.7"), *Path.home().glob(".pyenv/versions/3.7.*/bin/python3.7")]
    for place in filter(None, places):
        runs = subprocess.run([place, "-c", "import venv"], capture_output=True, check=False)
        if runs.returncode == 0:
            return Path(place)
    return None


def _empty(python: Path, folder: Path) -> tuple[Path, str, str]:
    """Make an empty virtual environment; return its interpreter, version and packages' folder."""
    subprocess.run([python, "-m", "venv", "--without-pip", folder], check=True)
    bare = folder / "bin" / "python"
    said = subprocess.run(
        [bare, "-c", "import sysconfig as s; print(s.get_python_version(), s.get_path('purelib'))"],
        capture_output=True,
        text=True,
        check=True,
    )
    version, packages = said.stdout.split()
    return bare, version, packages


def _with_own_numpy(folder: Path) -> Path:
    """Make a virtual environment that has this one's NumPy and nothing else."""
    bare, _, packages = _empty(Path(sys.executable), folder)
    for entry in Path(np.__file__).parent.parent.glob("numpy*"):
        (Path(packages) / entry.name).symlink_to(entry)
    return bare


def _make(python: Path, folder: Path, *numpy: str) -> Path:
    """Make a virtual environment that has NumPy and nothing else; return its interpreter.

    Args:
        python: the interpreter that it is of.
        folder: where.
        numpy: what pip is asked for.
    """
    bare, version, packages = _empty(python, folder)
    # This environment's pip, so that not even pip is in the bare one. It takes the wheel for that
    # Python, and would then refuse it for not being for its own.
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    target = ["--target", packages, "--python-version", version, "--only-binary", ":all:"]
    # Few of the modules are ever loaded.
    target += ["--ignore-requires-python", "--no-compile"]
    done = subprocess.run([*pip, *target, *numpy], capture_output=True, text=True, check=False)
    if done.returncode and not os.environ.get("CI"):
        pytest.skip(f"NO NUMPY FROM THE INDEX: {done.stderr}")
    assert done.returncode == 0, done.stderr
    return bare


@pytest.fixture(scope="session", params=["this", "3.7"])
def bare(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("bare") / "environment"
    if request.param == "this":
        return str(_with_own_numpy(folder))
    python = _python_3_7()
    if python is None:
        pytest.skip("NO PYTHON 3.7: python3.7 is not on PATH")
    return str(_make(python, folder, OLD_NUMPY))


def test_the_environment_is_bare(bare: str) -> None:
    (packages,) = Path(bare).parent.parent.glob("lib/python*/site-packages")
    found = {re.sub(r"[-.].*", "", entry.name) for entry in packages.iterdir()}
    assert "numpy" in found
    assert found <= {"numpy", "bin"}


def test_the_worker_loads_nothing_but_the_standard_library_and_numpy(bare: str) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [bare, "-c", LOADED], env=environment, capture_output=True, text=True, check=True
    )
    loaded = json.loads(done.stdout)
    assert "mlubench.worker.shard" in loaded["files"]
    foreign = {
        name: file
        for name, file in loaded["files"].items()
        if name.split(".")[0] not in {"__main__", "mlubench", "numpy", *loaded["built in"]}
        # Modules without a file that NumPy's compiled parts make.
        and not re.match(r"_cython_\w+$|cython_runtime$", name)
        and not (file and any(_below(file, library) for library in loaded["library"]))
        and not _is_frozen(name, file)
    }
    assert not foreign


def _below(file: str, library: str) -> bool:
    path = Path(file)
    return Path(library) in path.parents and "site-packages" not in path.parts


def _is_frozen(name: str, file: str | None) -> bool:
    """Whether a module without a file is of the standard library all the same."""
    return file is None and name.split(".")[0] in sys.stdlib_module_names


def test_a_whole_shard(bare: str, tmp_path: Path) -> None:
    images = np.random.default_rng(5).integers(0, 256, (40, 3, 3, 3), np.uint8)
    images.tofile(tmp_path / "pixels")
    answer, result = _infer(bare, images, tmp_path / "bare.npz")
    own_answer, own_result = _infer(sys.executable, images, tmp_path / "own.npz")
    assert (result["top_index"][:, 0] == images[8:35, 0, 0, 0]).all()
    assert (result["top_score"][:, 0] == 1).all()
    assert set(result) == set(own_result)
    for name in result:
        np.testing.assert_array_equal(result[name], own_result[name], strict=True)
    assert set(answer) == set(own_answer)


def _infer(
    python: str, images: np.ndarray, out: Path
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Infer images 8 to 34 of the file beside ``out``; return the worker's answer and result."""
    worker = Worker.start(ENGINE, "card:0", python=python)
    try:
        assert worker.engine == {"version": "0"}
        assert worker.description == "a test device"
        loaded = worker.call(
            {"do": "load", "model": str(out.parent), "batch_size": None}, silence=60
        )
        assert (loaded["executed_precision"], loaded["classes"]) == ("float32", 256)
        request = {"do": "run", "pixels": str(out.with_name("pixels")), "shape": images.shape}
        answer = worker.call({**request, "first": 8, "images": 27, "out": str(out)}, silence=60)
    finally:
        worker.close()
    with np.load(out) as arrays:
        return answer, dict(arrays)


READ_SCREEN = """
import dataclasses, json, sys, threading
from mlubench.engines.magicmind.cnmon import parse_screen, read_cards, visible
from mlubench.engines.magicmind.sampler import Sampler
cards = parse_screen(sys.stdin.read())
readings = read_cards()
sampler = Sampler(visible([0, 1], {"MLU_VISIBLE_DEVICES": "1"}), 0)
sampler.start()
print(json.dumps([[dataclasses.asdict(card) for card in cards], readings.reason, sampler.stop()]))
"""


def test_cards_are_read(bare: str) -> None:
    cards = [
        Card(index, "MLU370-X8", "v1.1.6", "v5.10.13", None, 32.0, 106.0, 250.0, 0, 23374, None)
        for index in range(2)
    ]
    done = subprocess.run(
        [bare, "-c", READ_SCREEN],
        input=new_screen(cards),
        env={"PATH": "", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    read, reason, use = json.loads(done.stdout)
    assert [Card(**fields) for fields in read] == cards
    assert reason == "cnmon is not on PATH"
    assert use == {}
