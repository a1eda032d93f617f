"""``mlubench accuracy``: the figures of compute_top1_and_top5.py, and what it does not check."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mlubench import cli
from mlubench.magicmind_sample.files import write_seed_files

FILES = {
    "result_label_file": "eval_labels.txt",
    "result_1_file": "eval_result_1.txt",
    "result_5_file": "eval_result_5.txt",
}


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """1000 images, 775 right at once, 952 among five: the seed's own figures."""
    top = np.tile(np.arange(5), (1000, 1))
    labels = np.zeros(1000, np.int64)
    labels[775:952] = 3
    labels[952:] = 9
    write_seed_files(tmp_path / "results", ["x"] * 1000, labels, top, list("abcde"))
    return tmp_path / "results"


def _accuracy(results: Path, *more: str) -> int:
    named = [
        word for option, name in FILES.items() for word in (f"--{option}", str(results / name))
    ]
    return cli.main(["accuracy", *named, *more])


def test_the_seeds_figures(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = results / "again.txt"
    assert _accuracy(results, "--top1andtop5_file", str(out)) == 0
    assert capsys.readouterr().out == "top1:  0.775000\ntop5:  0.952000\n"
    assert out.read_bytes() == (results / "eval_result.txt").read_bytes()


def _first(text: str, old: str, new: str) -> str:
    assert old in text
    return text.replace(old, new, 1)


@pytest.mark.parametrize(
    ("name", "old", "new", "words"),
    [
        ("eval_result_1.txt", "[7]: 0\n", "", ["eval_result_1.txt, line 8", "is of image 8"]),
        ("eval_result_1.txt", "[999]: 0\n", "", ["eval_result_1.txt, line 1000", "999 images"]),
        ("eval_result_5.txt", "[999]: 4\n", "", ["eval_result_5.txt, line 5000", "5 for each"]),
        ("eval_result_5.txt", "[3]: 2\n", "[4]: 2\n", ["eval_result_5.txt, line 18", "image 4"]),
        ("eval_result_5.txt", "[3]: 0\n", "[3]: 4\n", ["eval_result_5.txt, line 16", "image 3"]),
        ("eval_labels.txt", "[2]: 0\n", "[2]: tench\n", ["eval_labels.txt, line 3", "a class"]),
        ("eval_labels.txt", "[2]: 0\n", "[2]:0\n", ["eval_labels.txt, line 3", "a class"]),
    ],
)
def test_files_that_do_not_belong_together(
    results: Path,
    capsys: pytest.CaptureFixture[str],
    name: str,
    old: str,
    new: str,
    words: list[str],
) -> None:
    text = (results / name).read_text()
    (results / name).write_text(_first(text, old, new))
    assert _accuracy(results) == 2
    said = capsys.readouterr().err
    assert all(word in said for word in words), said


def test_files_that_are_not_there_or_empty(
    results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (results / "eval_labels.txt").write_text("")
    assert _accuracy(results) == 2
    assert "eval_labels.txt, line 1" in capsys.readouterr().err
    (results / "eval_labels.txt").unlink()
    assert _accuracy(results) == 2
    assert "eval_labels.txt: cannot be read" in capsys.readouterr().err
