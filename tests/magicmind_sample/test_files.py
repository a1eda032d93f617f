"""The samples' text files, to the byte, and as the samples' own script judges them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlubench.errors import DatasetError
from mlubench.magicmind_sample.files import seed_folder_name, write_seed_files
from mlubench.metrics.accuracy import correct_at_k


def _samples_accuracy(folder: Path) -> tuple[float, float]:
    """Judge as the samples' compute_top1_and_top5.py does: whole lines, equal as strings."""
    labels, best, five = (
        (folder / name).read_text().splitlines(keepends=True)
        for name in ("eval_labels.txt", "eval_result_1.txt", "eval_result_5.txt")
    )
    top1 = top5 = 0
    for i, label in enumerate(labels):
        if best[i] == label:
            top1 += 1
        if label in (
            five[5 * i],
            five[5 * i + 1],
            five[5 * i + 2],
            five[5 * i + 3],
            five[5 * i + 4],
        ):
            top5 += 1
    return top1 / len(labels), top5 / len(labels)


def test_bytes_of_a_small_run(tmp_path: Path) -> None:
    names = ["sea snake", "cello, violoncello", "carton", "fence", "phone", "tench"]
    top = np.array([[1, 0, 2, 3, 4], [5, 4, 3, 2, 1]], np.int16)
    images = ["ILSVRC2012_val_00000001.JPEG", "val/odd.name.JPEG"]
    write_seed_files(tmp_path / "out", images, np.array([1, 0]), top, names)
    contents = {path.name: path.read_bytes().decode() for path in (tmp_path / "out").iterdir()}
    assert contents == {
        "infer_result.txt": (
            "top5 result in ILSVRC2012_val_00000001:\n0 [cello, violoncello]\n1 [sea snake]\n"
            "2 [carton]\n3 [fence]\n4 [phone]\n"
            "top5 result in odd.name:\n0 [tench]\n1 [phone]\n2 [fence]\n3 [carton]\n"
            "4 [cello, violoncello]\n"
        ),
        "eval_labels.txt": "[0]: 1\n[1]: 0\n",
        "eval_result_1.txt": "[0]: 1\n[1]: 5\n",
        "eval_result_5.txt": (
            "[0]: 1\n[0]: 0\n[0]: 2\n[0]: 3\n[0]: 4\n[1]: 5\n[1]: 4\n[1]: 3\n[1]: 2\n[1]: 1\n"
        ),
        "eval_result.txt": "top1:  0.500000\ntop5:  0.500000\n",
    }


def test_fewer_than_five_classes_keep_five_lines(tmp_path: Path) -> None:
    top = np.array([[2, 0, 1]], np.int16)
    write_seed_files(tmp_path / "x", ["a"], np.array([1]), top, ["zero", "one", "two"])
    five = (tmp_path / "x" / "eval_result_5.txt").read_text()
    assert five == "[0]: 2\n[0]: 0\n[0]: 1\n[0]: 1\n[0]: 1\n"
    assert (tmp_path / "x" / "infer_result.txt").read_text() == (
        "top5 result in a:\n0 [two]\n1 [zero]\n2 [one]\n"
    )


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 60), st.integers(2, 12), st.integers(0, 2**32 - 1))
def test_samples_script_finds_the_same_accuracy(
    tmp_path_factory: pytest.TempPathFactory, images: int, classes: int, seed: int
) -> None:
    generator = np.random.default_rng(seed)
    top = np.argsort(generator.random((images, classes)), axis=1)[:, :5].astype(np.int16)
    labels = generator.integers(0, classes, images)
    folder = tmp_path_factory.mktemp("seed") / "files"
    write_seed_files(folder, ["x"] * images, labels, top, [str(i) for i in range(classes)])
    judged = _samples_accuracy(folder)
    assert judged == tuple(correct_at_k(labels, top, k).mean() for k in (1, 5))
    written = f"top1:  {judged[0]:f}\ntop5:  {judged[1]:f}\n"
    assert (folder / "eval_result.txt").read_text() == written
    assert len((folder / "eval_result_5.txt").read_text().splitlines()) == 5 * images


def test_a_second_writing_replaces_the_first(tmp_path: Path) -> None:
    for images in (3, 1):
        top = np.zeros((images, 1), np.int16)
        write_seed_files(tmp_path / "x", ["a"] * images, np.zeros(images, int), top, ["zero"])
    assert (tmp_path / "x" / "eval_labels.txt").read_text() == "[0]: 0\n"
    assert len(list(tmp_path.iterdir())) == 1


def test_nothing_scored(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="no image was scored"):
        write_seed_files(tmp_path / "x", [], np.zeros(0, int), np.zeros((0, 5), int), [])
    with pytest.raises(ValueError, match="2 images, 1 labels, 1 answers"):
        write_seed_files(tmp_path / "x", ["a", "b"], np.zeros(1, int), np.zeros((1, 5), int), [])


def test_folder_names() -> None:
    assert seed_folder_name("senet50", "force_float32", True, 8) == "senet50_force_float32_true"
    assert seed_folder_name("senet50", "qint8_mixed_float16", False, 8) == (
        "senet50_qint8_mixed_float16_false_8"
    )
