"""``mlubench compile`` and ``mlubench infer`` on simulated MLU cards."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mlubench import cli
from mlubench.images.datasets.digits import DigitsPaths
from mlubench.store import sha256_file
from tests.support.simulated_sdk import misuses


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Artifacts of all tests here, so that networks are compiled and images decoded once."""
    return tmp_path_factory.mktemp("artifacts")


@pytest.fixture(autouse=True)
def _two_cards(cards: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name, value in cards.items():
        monkeypatch.setenv(name, value)
    yield
    assert misuses(cards) == []


@pytest.fixture
def shell(out: Path, capsys: pytest.CaptureFixture[str]) -> Any:
    def shell(verb: str, *options: object, status: int = 0) -> str:
        done = cli.main([verb, "--out", str(out), *map(str, options)])
        said = capsys.readouterr()
        assert done == status, said.out + said.err
        assert "Traceback" not in said.err
        return said.out + said.err

    return shell


COMPILE = ("compile", "--engine", "magicmind")


@pytest.fixture
def compiling(small_options: list[str]) -> tuple[str, ...]:
    """The words that compile the small network."""
    return (*COMPILE, *small_options)


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ((), "sample_model_force_float32_false_8"),
        (("--dynamic_shape", "true"), "sample_model_force_float32_true"),
        (
            ("--precision", "qint8_mixed_float16", "--batch_size", 2),
            "sample_model_qint8_mixed_float16_false_2",
        ),
    ],
)
def test_one_file_by_the_samples_name(shell: Any, out: Path, options: Any, name: str) -> None:
    said = shell(*COMPILE, *options)
    model = out / "models" / name
    assert said.splitlines()[0].startswith("simulated: ")
    assert said.splitlines()[1] == f"Generate model done, model save to {model}"
    assert model.is_file()
    described = json.loads(model.with_name(f"{name}.json").read_text())
    assert described["sha256"] == sha256_file(model)
    assert described["engine"] == "magicmind"
    assert "simulated" in described["simulated"]


@pytest.mark.parametrize(("batch", "device"), [(1, 0), (7, 1), (8, 0)])
def test_it_runs_and_says_what_it_was_run_on(
    shell: Any, out: Path, digits: DigitsPaths, batch: int, device: int
) -> None:
    shell(*COMPILE, "--dynamic_shape", "true", "--batch_size", 1)
    model = out / "models" / "sample_model_force_float32_true"
    images = ("--image_dir", digits.val, "--label_file", digits.val_labels, "--image_num", 20)
    run = ("infer", "--magicmind_model", model, *images, "--batch_size", batch)
    said = shell(*run, "--device_id", device)
    assert "20 images, run as float32 (simulated)" in said
    folder = out / "output" / f"{model.name}-simulated"
    labels, best = (
        (folder / name).read_text().splitlines()
        for name in ("eval_labels.txt", "eval_result_1.txt")
    )
    assert len(labels) == len(best) == 20
    assert sum(map(str.__eq__, labels, best)) >= 19


def test_only_its_own_is_replaced(shell: Any, compiling: Any, tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.write_text("a letter")
    said = shell(*compiling, "--magicmind_model", mine, status=2)
    assert "is there and is no compiled network of magicmind" in said
    assert mine.read_text() == "a letter"
    model = tmp_path / "model"
    for precision in ("force_float16", "force_float32"):
        shell(*compiling, "--magicmind_model", model, "--precision", precision)
    assert json.loads((tmp_path / "model.json").read_text())["spec"]["precision"] == precision


def test_a_file_that_was_exchanged_is_told(
    shell: Any, compiling: Any, tmp_path: Path, digits: DigitsPaths
) -> None:
    model = tmp_path / "model"
    shell(*compiling, "--magicmind_model", model)
    model.write_bytes(model.read_bytes() + b"x")
    said = shell("infer", "--magicmind_model", model, "--image_dir", digits.val, status=2)
    assert "is not the network that model.json describes" in said


def test_the_file_of_the_embedded_engine_is_not_replaced(
    shell: Any, compiling: Any, small_options: list[str], tmp_path: Path
) -> None:
    shell("compile", *small_options, "--magicmind_model", tmp_path / "model")
    said = shell(*compiling, "--magicmind_model", tmp_path / "model", status=2)
    assert "no compiled network of magicmind" in said


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--device_id", 2), "--device_id 2: there is no device mlu:2"),
        (("--plugin", "absent.so"), "--plugin: the magicmind engine refuses it: there is no file"),
        (("--rpc_server", "localhost"), "--rpc_server: the magicmind engine refuses it"),
        (("--input_dtypes", "FLOAT"), "make its input UINT8"),
        (("--dim_range_min", "1,3,56,56", "--dim_range_max", "4,3,56,56"), "a static network has"),
        (
            (
                *("--dynamic_shape", "true"),
                *("--dim_range_min", "1,3,56,56", "--dim_range_max", "4,3,56,56"),
            ),
            "--batch_size 8 is not within batches of 1 to 4",
        ),
    ],
)
def test_what_cannot_be(
    shell: Any, compiling: Any, tmp_path: Path, options: Any, words: str
) -> None:
    said = shell(*compiling, "--magicmind_model", tmp_path / "model", *options, status=2)
    assert words in said
    assert not (tmp_path / "model").exists()


@pytest.mark.parametrize("visible", ["1", "1,0", " 1 "])
def test_visible_cards_are_numbered_anew(
    shell: Any, compiling: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, visible: str
) -> None:
    monkeypatch.setenv("MLU_VISIBLE_DEVICES", visible)
    shell(*compiling, "--magicmind_model", tmp_path / "model")
    if "," not in visible:
        said = shell(
            *compiling, "--magicmind_model", tmp_path / "other", "--device_id", 1, status=2
        )
        assert "expected: mlu:0" in said


def test_hidden_cards_are_told(
    shell: Any, compiling: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLU_VISIBLE_DEVICES", "")
    said = shell(*compiling, "--magicmind_model", tmp_path / "model", status=2)
    assert "the SDK sees none" in said
