"""The evaluate flow on the embedded sample: the run folder, and what must not change it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from mlubench.cli import main
from mlubench.errors import ConfigError, DatasetError
from mlubench.evaluate.results import Outcome
from mlubench.images.datasets.digits import write_digits
from mlubench.images.datasets.source import FolderSource
from tests.flows.conftest import Evaluate
from tests.support.long import long
from tests.support.sample import copy_compiled

PRECISIONS = ["force_float32", "force_float16", "qint8_mixed_float16"]
#: Where the precisions are not what is tested.
SINGLE: dict[str, Any] = {"precision": ("force_float32",)}


@pytest.fixture(scope="module")
def usual(run: Evaluate) -> Outcome:
    """The sample in all precisions; it is read only."""
    return run(max_drop=5.0)


@pytest.fixture(scope="module")
def in_five_shards(run: Evaluate) -> Outcome:
    """The same, cut otherwise; it is read only."""
    return run(shards=5)


@pytest.fixture(scope="module")
def undisturbed(run_without_page: Evaluate) -> bytes:
    """The predictions in the one precision."""
    return _bytes(run_without_page(shards=1, **SINGLE))


def _bytes(outcome: Outcome) -> bytes:
    return (outcome.folder / "predictions.parquet").read_bytes()


def test_the_run_folder_is_as_the_contract_has_it(usual: Outcome) -> None:
    assert usual.exit_status == 0
    names = {path.name for path in usual.folder.iterdir()}
    assert names == {
        "run.json",
        "predictions.parquet",
        "shards.parquet",
        "accuracy.parquet",
        "thumbnails.parquet",
        "report.html",
        "plot.png",
        *(f"sample_{precision}_false_8" for precision in PRECISIONS),
    }
    record = json.loads((usual.folder / "run.json").read_text())
    assert record["schema_version"] == 1
    assert record["run_id"] == usual.folder.name
    counts = {"expected": 600, "scored": 600, "corrupt": 0, "missing": 0, "duplicate": 0}
    assert record["dataset"]["images"] == {**counts, "present": 600, "unlisted": 0}
    assert record["dataset"]["calibration_images"] == 300
    assert [device.split(": ")[0] for device in record["devices"]] == ["cpu:0"]
    assert set(record["seconds"]) == {"import", "decode", "compile", "infer"}


def test_accuracy_is_what_scikit_learn_says_of_the_predictions(usual: Outcome) -> None:
    import numpy as np
    from sklearn.metrics import accuracy_score, top_k_accuracy_score

    predictions = pd.read_parquet(usual.folder / "predictions.parquet")
    rows = pd.read_parquet(usual.folder / "accuracy.parquet").set_index("precision")
    assert predictions.precision.unique().tolist() == sorted(PRECISIONS)
    for precision, part in predictions.groupby("precision"):
        assert part.image_index.tolist() == list(range(600))
        scores = np.zeros((600, 10))
        for row, (classes, values) in enumerate(zip(part.top5_index, part.top5_score, strict=True)):
            scores[row, classes] = values
        top1 = accuracy_score(part.label, scores.argmax(1))
        assert rows.top1[precision] == pytest.approx(top1)
        assert rows.top5[precision] == pytest.approx(top_k_accuracy_score(part.label, scores, k=5))
    assert rows.top1["force_float32"] >= 0.97
    assert rows.executed_precision["force_float32"] == "float32"
    assert rows.executed_precision["qint8_mixed_float16"].startswith("int8 + ")


def test_shards_do_not_change_a_byte_in_any_precision(
    usual: Outcome, in_five_shards: Outcome
) -> None:
    assert _bytes(in_five_shards) == _bytes(usual)
    shards = pd.read_parquet(in_five_shards.folder / "shards.parquet")
    assert len(shards) == 5 * len(PRECISIONS)
    assert shards.groupby("precision").images.sum().tolist() == [600] * 3


@pytest.mark.parametrize("options", [{"shards": 2}, {"devices": ("cpu:0", "cpu:1")}], ids=str)
def test_shards_and_devices_do_not_change_a_byte(
    run_without_page: Evaluate, undisturbed: bytes, options: dict[str, Any]
) -> None:
    outcome = run_without_page(**SINGLE, **options)
    assert _bytes(outcome) == undisturbed
    shards = pd.read_parquet(outcome.folder / "shards.parquet")
    assert shards.images.sum() == 600
    assert "shards" not in options or len(shards) == options["shards"]


_EVALUATE = """
import sys
from mlubench.cli import main
words = ["--shards", "75", "--devices", "cpu:0", "--precision", "force_float32"]
sys.exit(main(["eval", "--out", sys.argv[1], *words]))
"""


def test_a_killed_run_is_taken_up_where_it_was(
    run_without_page: Evaluate,
    prefect_server: str,
    out: Path,
    undisturbed: bytes,
    tmp_path: Path,
) -> None:
    mine = tmp_path / "artifacts"
    # With the caches of the undisturbed run the kill falls into inference, soon.
    shutil.copytree(out / "cache", mine / "cache")
    shutil.copytree(out / "data", mine / "data")
    environment = {**os.environ, "PREFECT_API_URL": prefect_server}
    process = subprocess.Popen(
        [sys.executable, "-c", _EVALUATE, str(mine)],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    _wait_for_shards(mine, 10, process)
    process.kill()
    process.communicate()
    kept = {path.name: path.stat().st_mtime_ns for path in _shards(mine)}
    assert 10 <= len(kept) < 75
    assert not list((mine / "runs").glob("*/run.json"))

    began = pd.Timestamp.now("UTC")
    outcome = run_without_page(shards=75, out=mine, **SINGLE)
    assert _bytes(outcome) == undisturbed
    shards = pd.read_parquet(outcome.folder / "shards.parquet")
    assert len(shards) == 75
    before = shards.started_utc.dt.tz_convert("UTC") < began
    assert before.sum() == len(kept)
    assert not _shards(mine)


def test_the_first_images_are_inferred_before_the_last_is_decoded(
    run_without_page: Evaluate,
    undisturbed: bytes,
    compiled_sample: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    mine = copy_compiled(compiled_sample, tmp_path / "artifacts")
    last = max(path.name for path in write_digits(mine / "data" / "digits").val.iterdir())
    read, seen = FolderSource.read, []

    def waiting(source: FolderSource, name: str) -> bytes:
        if name == last and threading.current_thread().name.startswith("decode"):
            for _ in range(6000):
                if _shards(mine):
                    break
                time.sleep(0.01)
            seen.extend(_shards(mine))
        return read(source, name)

    monkeypatch.setattr(FolderSource, "read", waiting)
    outcome = run_without_page(shards=6, out=mine, **SINGLE)
    assert {path.parent.name for path in seen} == {"force_float32"}
    assert _bytes(outcome) == undisturbed


def _shards(out: Path) -> list[Path]:
    return sorted((out / "unfinished").glob("*/*/[0-9]*.parquet"))


def _wait_for_shards(out: Path, count: int, process: subprocess.Popen[bytes]) -> None:
    for _ in range(6000):
        if len(_shards(out)) >= count:
            return
        if process.poll() is not None:
            assert process.stderr is not None
            pytest.fail(process.stderr.read().decode())
        time.sleep(0.01)
    pytest.fail("no shard was finished within a minute")


@pytest.fixture
def damaged(fitted: dict[str, Any], tmp_path: Path) -> dict[str, Any]:
    """The digits with one truncated and one empty image."""
    digits = write_digits(tmp_path / "digits")
    names = sorted(path.name for path in digits.val.iterdir())
    whole = (digits.val / names[3]).read_bytes()
    (digits.val / names[3]).write_bytes(whole[: len(whole) // 2])
    (digits.val / names[5]).write_bytes(b"")
    network = {name: value for name, value in fitted.items() if name != "dataset"}
    return {
        **network,
        "image_dir": digits.val,
        "label_file": digits.val_labels,
        "label_file_order": "digits",
        "calibration_dir": digits.train,
        "precision": ("force_float32",),
    }


def test_damaged_images_are_named_and_end_the_run_with_2(
    run: Evaluate, damaged: dict[str, Any]
) -> None:
    outcome = run(**damaged)
    assert outcome.exit_status == 2
    predictions = pd.read_parquet(outcome.folder / "predictions.parquet")
    corrupt = predictions[predictions.status == "corrupt"]
    assert corrupt.image_index.tolist() == [3, 5]
    assert not corrupt.correct1.any()
    assert pd.read_parquet(outcome.folder / "accuracy.parquet").images.tolist() == [598]
    assert outcome.record.dataset.images.corrupt == 2
    assert all(name in " ".join(outcome.notes()) for name in corrupt.image)
    folder = outcome.folder / f"{outcome.record.model.name}_force_float32_false_8"
    labels = (folder / "eval_labels.txt").read_text()
    assert len(labels.splitlines()) == 598


@pytest.mark.parametrize(("allowed", "status"), [(1, 2), (2, 0)])
def test_as_many_as_are_allowed_are_no_error(
    run_without_page: Evaluate, damaged: dict[str, Any], allowed: int, status: int
) -> None:
    assert run_without_page(**damaged, image_num=40, max_corrupt=allowed).exit_status == status


def test_a_scored_image_may_not_calibrate(run: Evaluate, tmp_path: Path) -> None:
    digits = write_digits(tmp_path / "digits")
    scored = sorted(digits.val.iterdir())[7]
    shutil.copy(scored, digits.train / "another_name.JPEG")
    with pytest.raises(DatasetError, match=r"another_name\.JPEG is also scored") as caught:
        run(
            image_dir=digits.val,
            label_file=digits.val_labels,
            label_file_order="digits",
            calibration_dir=digits.train,
            calibration_num=5000,
        )
    assert scored.name in str(caught.value)


@long
def test_images_are_held_out_where_none_are_named(run: Evaluate, tmp_path: Path) -> None:
    digits = write_digits(tmp_path / "digits")
    named = {"image_dir": digits.val, "label_file": digits.val_labels, "label_file_order": "digits"}
    outcome = run(**named, calibration_num=100, precision=("qint8_mixed_float16",))
    assert outcome.record.dataset.calibration_images == 100
    assert outcome.record.dataset.images.scored == 500
    with pytest.raises(DatasetError, match="leaves too few"):
        run(**named, calibration_num=301)


def test_a_gate_that_passes_leaves_the_exit_status(usual: Outcome) -> None:
    assert usual.record.parameters["max_drop"] == 5.0
    assert usual.exit_status == 0
    assert "points" in " ".join(usual.notes())


def test_a_gate_that_cannot_be_decided_is_the_exit_status(
    run_without_page: Evaluate, fitted: dict[str, Any]
) -> None:
    outcome = run_without_page(**fitted, max_drop=0.01, precision=PRECISIONS[:2])
    assert outcome.exit_status == 3
    assert "points" in " ".join(outcome.notes())


def test_another_label_order_is_told(run: Evaluate, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="is not one of the network's"):
        run(model="sample", dataset="digits", label_order="2012")
    # Labels below ten are some class of ImageNet's.
    digits = write_digits(tmp_path / "digits")
    images = {"image_dir": digits.val, "label_file": digits.val_labels, "label_file_order": "2012"}
    with pytest.raises(ConfigError, match="10 scores") as caught:
        run(model="sample", label_order="2012", precision=("force_float32",), **images)
    assert caught.value.where == "--label_order"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"model": "resnet"}, "no 'resnet' in the catalogue"),
        ({"dataset": "coco"}, "no 'coco' in the catalogue"),
        ({"engine": "tensorflow"}, "no engine named 'tensorflow'"),
        ({"devices": ("mlu:0",)}, "no device mlu:0"),
        ({"devices": ("cpu:99",)}, "no device cpu:99/100"),
        ({"precision": ("qint16_mixed_float16",)}, "no qint16_mixed_float16"),
    ],
)
def test_what_is_not_there_is_told(run: Evaluate, options: dict[str, object], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        run(**options)


def test_a_finished_run_is_in_the_history(usual: Outcome, out: Path) -> None:
    history = pd.read_parquet(out / "history" / "accuracy" / f"{usual.folder.name}.parquet")
    rows = pd.read_parquet(usual.folder / "accuracy.parquet")
    assert history.run_id.unique().tolist() == [usual.folder.name]
    pd.testing.assert_frame_equal(history[rows.columns], rows)


def test_a_page_is_rendered_again(
    usual: Outcome, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = shutil.copytree(usual.folder, tmp_path / "runs" / usual.folder.name)
    page = (folder / "report.html").read_bytes()
    (folder / "report.html").unlink()
    assert main(["report", folder.name, "--out", str(tmp_path)]) == 0
    assert (folder / "report.html").read_bytes() == page
    assert str(folder / "report.html") in capsys.readouterr().out


def test_a_run_is_as_good_as_itself_again(
    usual: Outcome, in_five_shards: Outcome, tmp_path: Path
) -> None:
    before, after = (
        shutil.copytree(one.folder, tmp_path / "runs" / one.folder.name).name
        for one in (usual, in_five_shards)
    )
    assert main(["compare", after, before, "--out", str(tmp_path), "--max_drop", "2"]) == 0
