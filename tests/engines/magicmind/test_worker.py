"""The engine's worker under Python 3.7, which is the vendor's images' own.

The simulated SDK needs ONNX and ONNX Runtime there, the real one does not; the engine needs NumPy.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import onnx
import pytest

from mlubench.engines.interface import BuildSpec, NetworkFiles
from mlubench.worker.client import Worker
from tests.engines.magicmind.scenario import DEVICE, INT8, SPEC
from tests.support.networks import random_images, write_small_network
from tests.support.simulated_sdk import environment, misuses
from tests.worker.test_bare_environment import OLD_NUMPY, _make, _python_3_7

#: The last ones for Python 3.7.
SIMULATOR_NEEDS = (
    "onnx==1.14.1",
    "onnxruntime==1.14.1",
    "protobuf==3.20.3",
    "typing-extensions==4.7.1",
)
#: The newest form of ONNX that they read.
OLD_IR = 8
IMAGES = random_images(10)


@pytest.fixture(scope="module")
def old_python(tmp_path_factory: pytest.TempPathFactory) -> str:
    python = _python_3_7()
    if python is None:
        pytest.skip("NO PYTHON 3.7: python3.7 is not on PATH")
    folder = tmp_path_factory.mktemp("old") / "environment"
    return str(_make(python, folder, "--no-deps", OLD_NUMPY, *SIMULATOR_NEEDS))


# Another ONNX Runtime: its sums are in another order, and a rounding to int8 may fall otherwise.
@pytest.mark.parametrize(("spec", "most"), [(SPEC, 1e-5), (INT8, 5e-3)])
def test_it_builds_and_runs_under_python_3_7(
    old_python: str, tmp_path: Path, spec: BuildSpec, most: float
) -> None:
    network = write_small_network(tmp_path / "network.onnx")
    model = onnx.load(network)
    model.ir_version = OLD_IR
    onnx.save(model, network)
    IMAGES.tofile(tmp_path / "pixels")
    answers = [
        _answers(python, network, spec, tmp_path / name)
        for name, python in (("old", old_python), ("own", sys.executable))
    ]
    np.testing.assert_array_equal(answers[0]["top_index"], answers[1]["top_index"])
    np.testing.assert_allclose(answers[0]["top_score"], answers[1]["top_score"], atol=most)


def _answers(python: str, network: Path, spec: BuildSpec, folder: Path) -> dict[str, np.ndarray]:
    """Build, load and run a network in a worker; return its result file."""
    folder.mkdir()
    pixels = {"pixels": str(folder.with_name("pixels")), "shape": list(IMAGES.shape)}
    variables = environment(folder, cards=2)
    worker = Worker.start("magicmind", DEVICE, python=python, environment=variables)
    try:
        assert worker.engine["version"] == "simulated"
        build = {
            "do": "build",
            "network": NetworkFiles(network).to_json(),
            "spec": spec.to_json(),
            "calibration": {**pixels, "rows": list(range(len(IMAGES)))},
            "folder": str(folder),
        }
        worker.call(build, silence=120)
        worker.call({"do": "load", "model": str(folder), "batch_size": None}, silence=60)
        run = {"do": "run", **pixels, "first": 0, "images": len(IMAGES)}
        worker.call({**run, "out": str(folder / "out.npz")}, silence=60)
    finally:
        worker.close()
    assert misuses(variables) == []
    with np.load(folder / "out.npz") as arrays:
        return dict(arrays)
