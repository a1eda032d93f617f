"""The README's commands run as they are written there; both READMEs have the same ones."""

from __future__ import annotations

import contextlib
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
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from mlubench import cli
from mlubench.images.datasets.digits import DigitsPaths, write_digits
from tests.support.long import long
from tests.support.plain_command import plain_evaluations
from tests.support.prefect import migrated_home
from tests.support.sample import copy_compiled

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
CHINESE = (ROOT / "README.zh-CN.md").read_text(encoding="utf-8")
#: Commands that this very run is made of, or that change the clone of whoever runs it.
NOT_RUN = {"make test", "make lint", "make chaos", "make soak", ".venv/bin/pre-commit install"}
#: How commands begin that need ImageNet or its networks; only their options are checked.
NEED_IMAGENET = (
    "export ILSVRC2012_DATASETS_PATH=",
    ".venv/bin/mlubench eval --model senet50 ",
    ".venv/bin/mlubench fetch senet50",
    ".venv/bin/mlubench inspect --model senet50",
    ".venv/bin/mlubench compile --model senet50 ",
    ".venv/bin/mlubench infer ",
    ".venv/bin/mlubench accuracy ",
    "make eval MODEL=senet50 ",
    "make run",
)
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


def _blocks(language: str, text: str = README) -> list[str]:
    blocks = re.findall(r"^```(\w*)\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    return [block for named, block in blocks if named == language]


def _commands(text: str = README) -> list[str]:
    lines = "".join(_blocks("bash", text)).replace("\\\n", " ").splitlines()
    return [" ".join(line.split("#")[0].split()) for line in lines if line.strip()]


def _imagenet_commands() -> list[str]:
    return [command for command in _commands() if command.startswith(NEED_IMAGENET)]


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
    run = sorted(set(_commands()) - NOT_RUN - set(_imagenet_commands()))
    *cache, own_names, own_files, make_eval, make_nightly, make_server = run
    assert all(command.startswith(".venv/bin/mlubench cache ") for command in cache)
    assert own_names.startswith(".venv/bin/mlubench eval --conf team ")
    assert own_files.startswith(".venv/bin/mlubench eval --prototxt ")
    assert (make_eval, make_server) == ("make eval", "make server")
    assert make_nightly == "make nightly SUITE=smoke"


def test_both_readmes_have_the_same_commands_and_examples() -> None:
    assert _commands(CHINESE) == _commands()
    for language in ("python", "yaml", ""):
        assert _blocks(language, CHINESE) == _blocks(language)


@pytest.mark.parametrize("command", [c for c in _imagenet_commands() if "export" not in c])
def test_options_of_commands_that_need_imagenet(
    command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    commands = [command]
    if command.startswith("make "):
        said = _run(f"make --dry-run {command.removeprefix('make ')}", ROOT)
        lines = said.replace("\\\n", " ").splitlines()
        commands = [line for line in lines if line.startswith(".venv/bin/mlubench ")]
        for variable in re.findall(r"(\w+)=", command):  # make passes on those that it knows
            assert any(f"--{variable.lower()} " in line for line in commands)
    assert commands
    for line in commands:
        assert _parse(monkeypatch, *shlex.split(line)[1:]) == 0


def test_a_wrong_option_would_be_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    assert _parse(monkeypatch, "eval", "--modle", "senet50") == 2
    assert _parse(monkeypatch, "eval", "--resize", "shortest") == 2


def _parse(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    """Return the exit status of a command line that is parsed and checked, but not carried out."""
    parser = cli.app

    def parse(arguments: Sequence[str], **_: object) -> int:
        parser.parse_args(arguments, exit_on_error=False, print_error=False)
        return 0

    with monkeypatch.context() as patch:
        patch.setattr(cli, "app", parse)
        return cli.main(words)


def test_make_targets_exist() -> None:
    named = set(re.findall(r"(?:`|^)make ([a-z-]+)", README + CHINESE, re.MULTILINE))
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


def test_make_passes_the_options_of_a_nightly_on() -> None:
    said = _run("make --dry-run nightly SUITE=seed ONLY='speed of senet50' OUT=o CONF=team", ROOT)
    line = next(line for line in said.splitlines() if "mlubench nightly" in line)
    assert shlex.split(line)[1:] == (
        ["nightly", "seed", "--only", "speed of senet50", "--out", "o", "--conf", "team"]
    )


@pytest.fixture
def home(prefect_database: Path, tmp_path: Path) -> str:
    """A PREFECT_HOME whose database need not be migrated."""
    return str(migrated_home(prefect_database, tmp_path / "prefect"))


@pytest.fixture(scope="module")
def digits(compiled_sample: Path) -> DigitsPaths:
    """The digits, which are there already; they are only read."""
    return write_digits(compiled_sample / "data" / "digits")


def test_make_eval_and_what_it_leaves(tmp_path: Path, home: str, compiled_sample: Path) -> None:
    out = copy_compiled(compiled_sample, tmp_path / "out")
    said = _run(f"make eval OUT='{out}'", ROOT, PREFECT_HOME=home)
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


@long
def test_make_eval_where_there_is_nothing_yet(tmp_path: Path) -> None:
    said = _run(f"make eval OUT='{tmp_path / 'out'}'", ROOT, PREFECT_HOME=str(tmp_path / "prefect"))
    assert "qint8_mixed_float16" in said


def test_make_run_is_the_samples_run_sh(tmp_path: Path, digits: DigitsPaths) -> None:
    said = _run(
        f"make run MODEL=sample IMAGE_DIR='{digits.val}' LABEL_FILE='{digits.val_labels}' "
        f"LABEL_FILE_ORDER=digits IMAGE_NUM=200 OUT='{tmp_path}'",
        ROOT,
    )
    model = tmp_path / "models" / "sample_model_force_float32_true_1"
    assert f"Generate model done, model save to {model}" in said
    results = tmp_path / "output" / "infer_cpp_output_force_float32_true_1"
    assert len((results / "eval_labels.txt").read_text().splitlines()) == 200
    assert (results / "eval_result.txt").read_text().startswith("top1:  0.99")


def test_make_run_names_a_label_list_where_there_is_one(tmp_path: Path) -> None:
    images = tmp_path / "my images"
    images.mkdir()
    command = f"make --dry-run run MODEL=sample IMAGE_DIR='{images}' OUT='{tmp_path}'"
    assert "--label_file" not in _run(command, ROOT)
    listed = images / "ILSVRC2012_val.txt"
    listed.touch()
    assert f"--label_file '{listed}' --label_file_order 2012" in _run(command, ROOT)


def _evaluate(command: str, folder: Path) -> None:
    """Run a command of the README in a folder, in this process and without Prefect."""
    program, *words = shlex.split(command)
    assert program == ".venv/bin/mlubench"
    with contextlib.chdir(folder), plain_evaluations():
        assert cli.main(words) == 0


def _images_scored(folder: Path, run: str) -> list[int]:
    import pandas as pd

    (found,) = (folder / "artifacts" / "runs").glob(run)
    images: list[int] = pd.read_parquet(found / "accuracy.parquet").images.tolist()
    return images


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory, digits: DigitsPaths) -> Path:
    """A folder with files of one's own, where they were evaluated by their names; only read it."""
    (command,) = (line for line in _commands() if "mlubench eval --conf team" in line)
    folder = tmp_path_factory.mktemp("own")
    (folder / ".venv").symlink_to(sys.prefix)
    _write_own_files(folder, digits)
    _write_own_files(folder / "team", digits)
    for block in _blocks("yaml"):
        (place,) = re.findall(r"^# (team/\w+\.yaml)", block)
        (folder / place).write_text(block)
    _evaluate(command, folder)
    return folder


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="the command names two devices")
def test_an_evaluation_of_files_in_no_catalogue(tmp_path: Path, own: Path) -> None:
    (command,) = (line for line in _commands() if "mlubench eval --prototxt" in line)
    # With the networks that are compiled there already.
    mine = Path(shutil.copytree(own, tmp_path / "mine", symlinks=True))
    _evaluate(command, mine)
    assert _images_scored(mine, "*-deploy*") == [20, 20, 20]


def test_an_evaluation_by_names_of_ones_own(own: Path) -> None:
    assert _images_scored(own, "*-mine*") == [20, 20, 20]


def test_the_cache_of_such_an_evaluation(own: Path) -> None:
    listed, verified, pruned = (_run(line, own) for line in _commands() if "mlubench cache" in line)
    assert "compiled" in listed
    assert "sound" in verified
    assert "0 entries removed" in pruned


def _write_own_files(folder: Path, digits: DigitsPaths) -> None:
    """Write the files that the examples name: a network with random weights, digits, a list."""
    from mlubench.networks.caffe import write_random_caffemodel

    folder.mkdir(exist_ok=True)
    (folder / "deploy.prototxt").write_text(PROTOTXT)
    write_random_caffemodel(folder / "deploy.prototxt", folder / "weights.caffemodel", seed=0)
    for source, name, count in ((digits.val, "images", 20), (digits.train, "train_images", 10)):
        (folder / name).mkdir()
        for image in sorted(source.iterdir())[:count]:
            shutil.copy(image, folder / name)
    shutil.copy(digits.val_labels, folder / "val.txt")


@pytest.fixture
def server(home: str) -> Iterator[str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = subprocess.Popen(
        ["make", "server", f"PREFECT_SERVER_API_PORT={port}"],
        cwd=ROOT,
        env={**os.environ, "PREFECT_HOME": home},
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


@long
def test_make_server_shows_runs(server: str, tmp_path: Path, compiled_sample: Path) -> None:
    out = copy_compiled(compiled_sample, tmp_path / "artifacts")
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
    command = f"make eval PRECISION=force_float32 OUT='{out}'"
    _run(command, ROOT, PREFECT_SERVER_API_PORT=port)
    (nightly,) = (line for line in _commands() if line.startswith("make nightly "))
    said = _run(f"{nightly} OUT='{out}'", ROOT, PREFECT_SERVER_API_PORT=port)
    assert "pass: 1 passed, 1 not judged" in said
    request = urllib.request.Request(
        f"{server}/api/artifacts/filter", b"{}", {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request) as answer:
        artifacts = answer.read().decode()
    assert '"accuracy"' in artifacts
    assert '"summary"' in artifacts
    assert '"smoke-verdicts"' in artifacts
    assert "force_float32" in artifacts
