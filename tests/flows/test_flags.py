"""The evaluate flow with compile flags, and with a wrong label order."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from mlubench.errors import ConfigError
from tests.flows.conftest import Evaluate

FLAGS = {
    "calibration_algo": "eqnm",
    "weight_quant_granularity": "per_tensor",
    "input_layout": "NCHW",
    "computation_preference": "high_precision",
}


def test_flags_reach_the_compiled_network(
    run: Evaluate, fitted: dict[str, Any], tmp_path: Path
) -> None:
    precisions = ("force_float32", "qint8_mixed_float16")
    outcome = run(out=tmp_path, **fitted, precision=precisions, calibration_num=24, **FLAGS)
    assert outcome.exit_status == 0
    assert outcome.rows[1].executed_precision == "int8 + float32"
    # As without flags; by chance it would be a tenth.
    assert outcome.rows[0].top1 >= 0.85
    plain, quantised = sorted(_specs(tmp_path), key=lambda spec: spec["precision"])
    assert plain["precision"] == "force_float32"
    assert plain["calibration_algo"] == ""
    assert {name: quantised[name] for name in FLAGS} == FLAGS


def _specs(out: Path) -> list[dict[str, Any]]:
    """Return what the networks in a folder of artifacts were compiled for."""
    built = sorted((out / "cache" / "compiled").glob("*/built.json"))
    return [json.loads(path.read_text())["spec"] for path in built]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"mlu_arch": ("mtp_372",)}, "only with --engine magicmind"),
        ({"random_calib_range": (-1, 1)}, "has no accuracy"),
        ({"calibration_algo": "eqnm", "activation_quant_algo": "asymmetric"}, "eqnm"),
    ],
)
def test_refusals(run: Evaluate, options: dict[str, object], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        run(**options)


@pytest.mark.parametrize("wrong", ["label_order", "label_file_order"])
def test_a_wrong_label_order_is_noticed(
    run: Evaluate, shared_data: Path, tmp_path: Path, wrong: str
) -> None:
    with (shared_data / "images.csv").open(newline="") as stream:
        lines = [f"{row['file']} {row['index_2012']}\n" for row in csv.DictReader(stream)]
    (tmp_path / "labels.txt").write_text("".join(lines))
    orders = {"label_order": "2012", "label_file_order": "2012", wrong: "2015"}
    outcome = run(
        prototxt=shared_data / "squeezenet_v1.1.prototxt",
        caffemodel=shared_data / "squeezenet_v1.1.caffemodel",
        input_size=227,
        means=(104, 117, 123),
        image_dir=shared_data / "images",
        label_file=tmp_path / "labels.txt",
        precision=("force_float32",),
        image_num=100,
        **orders,
    )
    assert outcome.exit_status == 2
    (note,) = outcome.notes()
    before, after = note.split("near chance")
    assert f"--{wrong} 2015" in before
    assert f"--{wrong} 2012" in after
    assert (outcome.folder / "run.json").is_file()
    assert "the label order is wrong" in (outcome.folder / "report.html").read_text()
