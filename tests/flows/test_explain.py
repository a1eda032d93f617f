"""``mlubench explain`` on the embedded sample, and on one with a layer that was disturbed."""

from __future__ import annotations

import json
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest

from mlubench.cli import main
from mlubench.errors import ConfigError
from mlubench.evaluate.results import Outcome
from mlubench.explain import keep_float
from mlubench.explain.explain import explain
from mlubench.networks.caffe.weights import read_caffemodel, write_caffemodel
from tests.flows.conftest import Evaluate
from tests.support.long import long

SAMPLE = Path(__file__).resolve().parents[2] / "conf" / "sample"
INT8 = "qint8_mixed_float16"
DISTURBED = "conv3_2_3x3"


@pytest.fixture(scope="module")
def evaluated(run: Evaluate) -> Outcome:
    """An evaluation of the sample, which is read only."""
    return run(precision=["force_float32", INT8])


@pytest.fixture
def own(evaluated: Outcome, tmp_path: Path) -> Path:
    """A copy of its folder, for what is written there."""
    return shutil.copytree(evaluated.folder, tmp_path / "runs" / evaluated.folder.name)


def _disturbed(folder: Path) -> Path:
    """Write the sample's weights with one layer's turned round."""
    weights = read_caffemodel(SAMPLE / "se_resnet50_digits.caffemodel")
    filters, *more = weights[DISTURBED]
    turned = np.ascontiguousarray(filters[::-1])
    path = folder / "disturbed.caffemodel"
    changed = weights | {DISTURBED: (turned, *more)}
    write_caffemodel(path, "sample", {name: ("", blobs) for name, blobs in changed.items()})
    return path


def test_what_int8_changes(own: Path, out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import pandas as pd

    words = ["explain", str(own), "--precision", INT8, "--images", "8"]
    assert main([*words, "--out", str(out)]) == 0
    printed = capsys.readouterr().out
    assert max(map(len, printed.splitlines()[:-1])) <= 100
    folder = own / "explain" / INT8
    layers = pd.read_parquet(folder / "layers.parquet")
    predictions = pd.read_parquet(own / "predictions.parquet")
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
    page = (own / "report.html").read_text()
    assert f"Signal-to-noise of {INT8} against force_float32, dB" in page
    assert layers.iloc[0].layer in page
    assert page.count("data:image/jpeg") == len(flips)
    assert sorted(pd.read_parquet(folder / "thumbnails.parquet").image) == sorted(flips.image)


def test_float32_against_itself_is_equal(own: Path, out: Path) -> None:
    told = explain(own, out, "force_float32", baseline=own, images=2)
    assert {one.snr_db for one in told.layers} == {np.inf}
    assert (list(told.flips), told.origins) == ([], [])


def test_a_disturbed_layer_is_named(
    run: Evaluate, own: Path, out: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    worse = run(caffemodel=_disturbed(tmp_path), model="sample", precision=["force_float32"])
    assert main(["compare", str(worse.folder), str(own), "--out", str(out)]) == 1
    printed = " ".join(capsys.readouterr().out.split())
    assert f"{DISTURBED} (weights moved by" in printed
    told = explain(worse.folder, out, "force_float32", baseline=own, images=4)
    assert [one.layer for one in told.origins] == [DISTURBED]
    assert told.paired.lost > told.paired.won
    assert len(told.flips) == told.paired.lost + told.paired.won


def test_what_cannot_be_explained_is_told(own: Path, out: Path) -> None:
    with pytest.raises(ConfigError, match="the run has no force_float16"):
        explain(own, out, "force_float16")
    with pytest.raises(ConfigError, match="is 0"):
        explain(own, out, INT8, images=0)


def _with_an_outlier(folder: Path) -> Path:
    """Write weights that compute the same, with one filter 3000 times the size.

    BatchNorm's statistics undo it; one scale for all of the layer's weights cannot hold both.
    """
    weights = read_caffemodel(SAMPLE / "se_resnet50_digits.caffemodel")
    filters, *more = (blob.copy() for blob in weights[DISTURBED])
    mean, variance, factor = (blob.copy() for blob in weights[f"{DISTURBED}/bn"])
    filters[0] *= 3000
    mean[0] *= 3000
    variance[0] *= 3000**2
    changed = weights | {
        DISTURBED: (filters, *more),
        f"{DISTURBED}/bn": (mean, variance, factor),
    }
    path = folder / "outlier.caffemodel"
    write_caffemodel(path, "sample", {name: ("", blobs) for name, blobs in changed.items()})
    return path


@long
def test_the_layer_that_int8_cannot_hold_is_kept_in_float(
    run: Evaluate,
    out: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    import pandas as pd

    monkeypatch.setattr(keep_float, "_ROUNDS", 2)
    monkeypatch.setattr(keep_float, "_SECONDS", 0.02)
    lossy = run(
        model="sample",
        caffemodel=_with_an_outlier(tmp_path),
        precision=["force_float32", INT8],
        weight_quant_granularity="per_tensor",
        calibration_num=24,
    )
    steps: list[str] = []
    found = keep_float.fallback_of_run(lossy.folder, out, INT8, 0.005, 8, steps.append)
    assert found.kept == (DISTURBED,)
    assert found.points[0].paired.drop > 0.02
    assert steps[1:4] == [f"{count} of 86 layers in float" for count in (0, 86, 43)]
    curve = pd.read_parquet(lossy.folder / "explain" / INT8 / "fallback.parquet")
    assert curve.kept.tolist() == sorted(point.count for point in found.points)
    assert (curve.throughput > 0).all()
    kept = {path: path.stat().st_ino for path in (out / "cache").glob("*/*/")}
    again = keep_float.fallback_of_run(lossy.folder, out, INT8, 0.005, 8, steps.append)
    assert (again.kept, again.command) == (found.kept, found.command)
    assert {path: path.stat().st_ino for path in (out / "cache").glob("*/*/")} == kept
    # What is printed compiles that network.
    place = tmp_path / "compiled"
    assert main([*shlex.split(found.command)[1:], "--magicmind_model", str(place)]) == 0
    built = json.loads((place / "built.json").read_text())
    assert built["spec"]["keep_float"] == [DISTURBED]


def test_the_budget_is_checked(own: Path, out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["explain", str(own), "--out", str(out), "--images", "2"]
    assert main([*words, "--budget", "101"]) == 2
    assert "--budget: is 101" in capsys.readouterr().err
    with pytest.raises(ConfigError, match="force_float16 is not quantised"):
        keep_float.fallback_of_run(own, out, "force_float16", 0.0, 2, lambda _: None)
