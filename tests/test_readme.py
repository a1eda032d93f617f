"""The README's commands run as they are written there."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from mlubench.caffe import write_random_caffemodel
from mlubench.images.digits import write_digits

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
#: Commands that this very run is made of, or that change the clone of whoever runs it.
NOT_RUN = {"make test", "make lint", ".venv/bin/pre-commit install"}
PROTOTXT = """
name: "small" input: "data" input_shape { dim: 1 dim: 3 dim: 224 dim: 224 }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
        convolution_param { num_output: 4 kernel_size: 7 stride: 8 } }
layer { name: "pool" type: "Pooling" bottom: "conv" top: "pool"
        pooling_param { pool: AVE global_pooling: true } }
layer { name: "fc" type: "InnerProduct" bottom: "pool" top: "fc"
        inner_product_param { num_output: 1000 } }
layer { name: "prob" type: "Softmax" bottom: "fc" top: "prob" }
"""


def _blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def _commands() -> list[str]:
    text = "".join(_blocks("bash")).replace("\\\n", " ")
    return [line.split("#")[0].strip() for line in text.splitlines() if line.strip()]


def _run(command: str, folder: Path, **environment: str) -> str:
    done = subprocess.run(
        ["bash", "-c", command],
        cwd=folder,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_every_command_is_run_by_a_test_of_this_file() -> None:
    mlubench, *make = sorted(set(_commands()) - NOT_RUN)
    assert mlubench.startswith(".venv/bin/mlubench eval")
    assert make == ["make eval", "make server"]


def test_make_targets_exist() -> None:
    named = set(re.findall(r"(?:`|^)make ([a-z-]+)", README, re.MULTILINE))
    assert named
    for target in named:
        _run(f"make --dry-run {target}", ROOT)


def test_make_passes_options_on() -> None:
    said = _run(
        """make --dry-run eval IMAGE_DIR="my images" MEANS="104 117 123" LABEL_FILE="it's" """,
        ROOT,
        MODEL="a variable of the environment",
    )
    line = next(line for line in said.splitlines() if "mlubench eval" in line)
    assert shlex.split(line)[1:] == (
        ["eval", "--image_dir", "my images", "--label_file", "it's", "--means", "104", "117", "123"]
    )


def test_make_eval_and_what_it_leaves(tmp_path: Path) -> None:
    said = _run(f"make eval OUT='{tmp_path}'", ROOT)
    assert "force_float32" in said
    report = Path(re.findall(r"^report: +(.*)$", said, re.MULTILINE)[0])
    assert report.is_file()
    table = README.split("## What a run leaves")[1].split("```")[0]
    for name in re.findall(r"^\| `([a-z_.]+)` \|", table, re.MULTILINE):
        assert (report.parent / name).is_file()
    for name in re.findall(r"`(\w+\.txt)`", table):
        assert (report.parent / "sample_force_float32_false_8" / name).is_file()

    (example,) = _blocks("python")
    code = example.replace("artifacts/runs/RUN_ID", str(report.parent))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "class_id" in done.stdout


def test_make_run_is_the_samples_run_sh(tmp_path: Path) -> None:
    digits = write_digits(tmp_path / "digits")
    said = _run(
        f"make run MODEL=sample IMAGE_DIR='{digits.val}' LABEL_FILE='{digits.val_labels}' "
        f"LABEL_FILE_ORDER=digits OUT='{tmp_path}'",
        ROOT,
    )
    model = tmp_path / "models" / "sample_model_force_float32_true_1"
    assert f"Generate model done, model save to {model}" in said
    results = tmp_path / "output" / "infer_cpp_output_force_float32_true_1"
    assert len((results / "eval_labels.txt").read_text().splitlines()) == 600
    assert (results / "eval_result.txt").read_text().startswith("top1:  0.99")


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="the command names two devices")
def test_an_evaluation_of_files_in_no_catalogue(tmp_path: Path) -> None:
    (command,) = (line for line in _commands() if "mlubench eval" in line)
    (tmp_path / ".venv").symlink_to(sys.prefix)
    (tmp_path / "deploy.prototxt").write_text(PROTOTXT)
    write_random_caffemodel(tmp_path / "deploy.prototxt", tmp_path / "weights.caffemodel", seed=0)
    digits = write_digits(tmp_path / "digits")
    for source, folder, count in ((digits.val, "images", 20), (digits.train, "train_images", 10)):
        (tmp_path / folder).mkdir()
        for image in sorted(source.iterdir())[:count]:
            shutil.copy(image, tmp_path / folder)
    shutil.copy(digits.val_labels, tmp_path / "val.txt")
    _run(command, tmp_path)
    (folder,) = (tmp_path / "artifacts" / "runs").glob("*-deploy*")
    rows = pd.read_parquet(folder / "accuracy.parquet")
    assert rows.images.tolist() == [20, 20, 20]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = subprocess.Popen(
        ["make", "server", f"PREFECT_SERVER_API_PORT={port}"],
        cwd=ROOT,
        env={**os.environ, "PREFECT_HOME": str(tmp_path / "prefect")},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    yield f"http://127.0.0.1:{port}"
    os.killpg(process.pid, 15)
    process.wait()


def _get(url: str) -> str | None:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return str(answer.read().decode())
    except (OSError, urllib.error.URLError):
        return None


def test_make_server_shows_runs(server: str, tmp_path: Path) -> None:
    for _ in range(1200):
        if _get(f"{server}/api/health"):
            break
        time.sleep(0.1)
    assert "<html" in (_get(server) or "")
    # The page must call the server that it came from, whatever its port.
    assert f"{server}/api" in (_get(f"{server}/ui-settings") or "").replace(
        "localhost", "127.0.0.1"
    )
    port = server.rsplit(":", 1)[1]
    command = f"make eval PRECISION=force_float32 OUT='{tmp_path}'"
    _run(command, ROOT, PREFECT_SERVER_API_PORT=port)
    request = urllib.request.Request(
        f"{server}/api/artifacts/filter", b"{}", {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request) as answer:
        artifacts = answer.read().decode()
    assert '"accuracy"' in artifacts
    assert '"summary"' in artifacts
    assert "force_float32" in artifacts
