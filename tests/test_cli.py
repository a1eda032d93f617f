"""The command line's own part: options, errors and exit status, without running a flow."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import pytest

from mlubench import cli
from mlubench.errors import EngineError, MlubenchError
from mlubench.evaluate.options import EvaluateParameters
from tests.support.help_texts import Help, help_texts

FILES = ["--prototxt", "a.prototxt", "--caffemodel", "a.caffemodel", "--input_size", "227"]


@pytest.mark.parametrize("words", [("devices",), ("devices", "--json"), ("--help",)], ids=str)
def test_a_reader_that_reads_no_further_is_no_fault(words: Sequence[str]) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb") as pipe:
        done = subprocess.run(
            [sys.executable, "-m", "mlubench", *words],
            stdout=pipe,
            stderr=subprocess.PIPE,
            check=False,
        )
    assert (done.returncode, done.stderr) == (141, b"")


@pytest.mark.parametrize("words", [("devices",), ("devices", "--json"), ("--help",)], ids=str)
def test_an_output_that_is_full_is_told(words: Sequence[str]) -> None:
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [sys.executable, "-m", "mlubench", *words],
            stdout=full,
            stderr=subprocess.PIPE,
            check=False,
        )
    told = "error: standard output: cannot be written: No space left on device\n"
    assert done.returncode == 2
    assert done.stderr.decode().startswith(told)
    assert b"fault of mlubench" not in done.stderr


@pytest.mark.parametrize(
    ("redirection", "status"), [(">&-", 0), ("2>&-", 2), ("2>/dev/full", 2)], ids=str
)
def test_the_exit_status_needs_no_place_to_write(redirection: str, status: int) -> None:
    """Python's own status of a failed output, 1, would say that a gate failed."""
    words = "--version" if status == 0 else "devices --nonsense"
    line = f'exec "{sys.executable}" -m mlubench {words} {redirection}'
    assert subprocess.run(line, shell=True, check=False).returncode == status


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[EvaluateParameters]:
    """Collect what the flow would have been asked."""
    calls: list[EvaluateParameters] = []

    def run(parameters: EvaluateParameters) -> SimpleNamespace:
        calls.append(parameters)
        return SimpleNamespace(exit_status=3)

    monkeypatch.setattr("flows.launch.evaluate", run)
    monkeypatch.setattr("mlubench.cli.flows.print_outcome", lambda _: None)
    return calls


def test_the_exit_status_is_the_flows(asked: list[EvaluateParameters]) -> None:
    assert cli.main(["eval"]) == 3
    assert asked == [EvaluateParameters()]


def test_the_seeds_form_of_options(asked: list[EvaluateParameters]) -> None:
    options = (
        "--means 104 117 123 --vars 1 1 1 --resize exact --resize_size 256 --label_order 2012 "
        "--image_dir images --label_file list --label_file_order 2015 --precision force_float32 "
        "--precision qint8_mixed_float16 --batch_size 4 --dynamic_shape true --image_num 100 "
        "--devices cpu:0 cpu:1 --engine openvino --out elsewhere"
    )
    cli.main(["eval", *FILES, *options.split()])
    assert asked[0] == EvaluateParameters(
        prototxt=Path("a.prototxt"),
        caffemodel=Path("a.caffemodel"),
        input_size=227,
        means=(104, 117, 123),
        vars=(1, 1, 1),
        resize="exact",
        resize_size=256,
        label_order="2012",
        image_dir=Path("images"),
        label_file=Path("list"),
        label_file_order="2015",
        precision=("force_float32", "qint8_mixed_float16"),
        batch_size=4,
        dynamic_shape=True,
        image_num=100,
        devices=("cpu:0", "cpu:1"),
        out=Path("elsewhere"),
    )


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--means", "104"], ["--means", "at least 3"]),
        (["--vars", "1", "0", "1"], ["--vars", "greater than 0"]),
        (["--batch_size", "0"], ["--batch_size", "greater than 0", "'0'"]),
        (["--batch_size", "many"], ["--batch_size", "integer"]),
        (["--dynamic_shape", "perhaps"], ["--dynamic_shape"]),
        (["--label_order", "2013"], ["--label_order", "'2012', '2015'"]),
        (["--precision", "int4"], ["--precision", "int4", "qint8_mixed_float16"]),
        (["--devices", "cpu:0", "cpu:0"], ["--devices", "each name once"]),
        (["--model", "sample", *FILES, "--label_order", "2012"], ["--model", "one of the two"]),
        (FILES, ["--label_order", "--prototxt is given without"]),
        (["--label_file", "x"], ["--image_dir", "--label_file is given without"]),
        (["--dataset", "digits", "--label_file", "x"], ["--dataset", "one of the two"]),
        (["--caffemodel", "x"], ["--caffemodel", "without"]),
        (["--max_drop", "1", "--precision", "force_float16"], ["--precision", "no force_float32"]),
        (["--colour", "red"], ["--colour"]),
        (["something"], ["something"]),
    ],
)
def test_a_wrong_option_is_named(
    asked: list[EvaluateParameters],
    capsys: pytest.CaptureFixture[str],
    options: Sequence[str],
    words: Sequence[str],
) -> None:
    assert cli.main(["eval", *options]) == 2
    said = capsys.readouterr()
    assert said.err.startswith("error: ")
    assert all(word in said.err for word in words), said.err
    assert "Traceback" not in said.err
    assert "http" not in said.err
    assert not asked


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (EngineError("it broke", where="cpu:0"), 4),
        (MlubenchError("it broke", where="somewhere"), 4),
        (KeyboardInterrupt(), 130),
        (ZeroDivisionError("division by zero"), 4),
    ],
)
def test_errors_become_exit_statuses(
    monkeypatch: pytest.MonkeyPatch, error: BaseException, status: int
) -> None:
    def run(parameters: EvaluateParameters) -> int:
        raise error

    monkeypatch.setattr("flows.launch.evaluate", run)
    assert cli.main(["eval"]) == status


#: Packages that take long to load, and are for what comes after the help.
ROOMS = {
    *("mlubench.evaluate.options", "mlubench.speed.measure", "mlubench.networks", "mlubench.runs"),
    *("mlubench.report", "mlubench.verdicts", "mlubench.devices", "mlubench.images"),
}
HEAVY = {
    *("numpy", "cv2", "onnx", "openvino", "pyarrow", "prefect", "pandas", "scipy", "sklearn"),
    *("matplotlib", "jinja2", "httpx", "google"),
}


@pytest.fixture(scope="module")
def shown() -> dict[str, Help]:
    """The help of the program and then that of a verb."""
    program, verb = help_texts([[], ["eval"]])
    return {"mlubench": program, "eval": verb}


@pytest.mark.parametrize(
    ("command", "words", "heavy"),
    [
        ("mlubench", "nightly", {*HEAVY, "pydantic", "yaml", "markdown_it", *ROOMS}),
        ("eval", "--calibration_dir", HEAVY),
    ],
    ids=["mlubench", "eval"],
)
def test_the_help_needs_no_heavy_import(
    shown: dict[str, Help], command: str, words: str, heavy: set[str]
) -> None:
    assert words in shown[command].text
    assert not heavy & shown[command].modules
