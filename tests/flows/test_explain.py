"""``mlubench explain`` on the embedded sample, and on one with a layer that was disturbed."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mlubench.caffe.weights import read_caffemodel, write_caffemodel
from mlubench.cli import main
from mlubench.errors import ConfigError
from mlubench.pipeline.explain import explain
from mlubench.pipeline.outcome import Outcome
from tests.flows.conftest import Evaluate

SAMPLE = Path(__file__).resolve().parents[2] / "conf" / "sample"
INT8 = "qint8_mixed_float16"
DISTURBED = "conv3_2_3x3"


@pytest.fixture
def evaluated(run: Evaluate) -> Outcome:
    return run(precision=["force_float32", INT8])


def _disturbed(folder: Path) -> Path:
    """Write the sample's weights with one layer's turned round."""
    weights = read_caffemodel(SAMPLE / "se_resnet50_digits.caffemodel")
    filters, *more = weights[DISTURBED]
    turned = np.ascontiguousarray(filters[::-1])
    path = folder / "disturbed.caffemodel"
    changed = weights | {DISTURBED: (turned, *more)}
    write_caffemodel(path, "sample", {name: ("", blobs) for name, blobs in changed.items()})
    return path


def test_what_int8_changes(
    evaluated: Outcome, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["explain", evaluated.folder.name, "--precision", INT8, "--images", "8"]
    assert main([*words, "--out", str(out)]) == 0
    printed = capsys.readouterr().out
    assert max(map(len, printed.splitlines()[:-1])) <= 100
    folder = evaluated.folder / "explain" / INT8
    layers = pd.read_parquet(folder / "layers.parquet")
    predictions = pd.read_parquet(evaluated.folder / "predictions.parquet")
    before, after = (
        predictions[predictions.precision == name].reset_index() for name in ("force_float32", INT8)
    )
    flips = pd.read_parquet(folder / "flips.parquet")
    changed = before.correct1 != after.correct1
    assert sorted(flips.image) == sorted(before.image[changed])
    told = json.loads((folder / "explain.json").read_text())
    assert told["answers"]["lost"] == int((before.correct1 & ~after.correct1).sum())
    # Quantisation adds noise from the first convolution on, and every layer is Caffe's.
    assert layers[layers.begins].layer.tolist() == ["conv1/7x7_s2"]
    assert layers.snr_db.is_monotonic_increasing
    assert 0 < layers.snr_db.min() < layers.snr_db.max() < 80
    prototxt = (SAMPLE / "se_resnet50_digits.prototxt").read_text()
    assert all(f'"{name}"' in prototxt for name in layers.layer)
    assert layers.iloc[0].layer in printed


def test_float32_against_itself_is_equal(evaluated: Outcome, out: Path) -> None:
    told = explain(evaluated.folder, out, "force_float32", baseline=evaluated.folder, images=2)
    assert {one.snr_db for one in told.layers} == {np.inf}
    assert (list(told.flips), told.origins) == ([], [])


def test_a_disturbed_layer_is_named(
    run: Evaluate,
    evaluated: Outcome,
    out: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    worse = run(caffemodel=_disturbed(tmp_path), model="sample", precision=["force_float32", INT8])
    names = [worse.folder.name, evaluated.folder.name]
    assert main(["compare", *names, "--out", str(out)]) == 1
    printed = " ".join(capsys.readouterr().out.split())
    assert f"{DISTURBED} (weights moved by" in printed
    told = explain(worse.folder, out, "force_float32", baseline=evaluated.folder, images=4)
    assert [one.layer for one in told.origins] == [DISTURBED]
    assert told.paired.lost > told.paired.won
    assert len(told.flips) == told.paired.lost + told.paired.won


def test_what_cannot_be_explained_is_told(evaluated: Outcome, out: Path) -> None:
    with pytest.raises(ConfigError, match="the run has no force_float16"):
        explain(evaluated.folder, out, "force_float16")
    with pytest.raises(ConfigError, match="is 0"):
        explain(evaluated.folder, out, INT8, images=0)
