"""The help of every verb: quick, and with the samples' own names."""

from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    ("verb", "option"),
    [
        ("compile", "--calibration_algo"),
        ("infer", "--result_top5_file"),
        ("accuracy", "--top1andtop5_file"),
        ("devices", "--json"),
        ("run", "--host_async"),
        ("layers", "--batch_size"),
    ],
)
def test_the_help_needs_no_heavy_import(verb: str, option: str) -> None:
    code = (
        f"import sys; from mlubench.cli import main; main([{verb!r}, '--help']);"
        "heavy = {'numpy', 'cv2', 'onnx', 'openvino', 'pyarrow', 'prefect'} & set(sys.modules);"
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert option in done.stdout
