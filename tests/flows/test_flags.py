"""The evaluate flow with compile flags, and with a wrong label order."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from mlubench.errors import ConfigError
from tests.flows.conftest import Evaluate


def test_flags_reach_the_compiled_network(run: Evaluate, out: Path) -> None:
    flags = {
        "calibration_algo": "eqnm",
        "weight_quant_granularity": "per_tensor",
        "input_layout": "NCHW",
        "computation_preference": "high_precision",
    }
    precisions = ("force_float32", "qint8_mixed_float16")
    outcome = run(precision=precisions, calibration_num=24, **flags)
    assert outcome.exit_status == 0
    assert outcome.rows[1].executed_precision == "int8 + float32"
    assert outcome.rows[0].top1 >= 0.97
    specs = [
        json.loads(path.read_text())["spec"]
        for path in (out / "cache" / "compiled").glob("*/built.json")
    ]
    plain = [spec for spec in specs if spec["precision"] == "force_float32"]
    assert {spec["calibration_algo"] for spec in plain} == {""}
    assert any(all(spec[name] == value for name, value in flags.items()) for spec in specs)


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
        image_num=200,
        **orders,
    )
    assert outcome.exit_status == 2
    (note,) = outcome.notes()
    before, after = note.split("near chance")
    assert f"--{wrong} 2015" in before
    assert f"--{wrong} 2012" in after
    assert (outcome.folder / "run.json").is_file()
    assert "the label order is wrong" in (outcome.folder / "report.html").read_text()
