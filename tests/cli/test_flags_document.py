"""docs/flags.md against the options that there are, and docs/quantisation.md's names."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest

from mlubench.cli.sample import accuracy
from mlubench.cli.spellings import SPELLINGS, as_given, modern
from mlubench.engines.magicmind.flags import REFUSED_KEYS as MAGICMIND_REFUSES
from mlubench.engines.openvino.flags import BUILD_CONFIG_KEYS, MLU_ONLY
from mlubench.evaluate.options import EvaluateParameters
from mlubench.magicmind_sample.options import CompileParameters, InferParameters
from mlubench.networks.flags import CompileFlags

ROOT = Path(__file__).resolve().parent.parent.parent
TEXT = (ROOT / "docs" / "flags.md").read_text(encoding="utf-8")
OPTIONS = {
    "gen_model": set(CompileParameters.model_fields),
    "infer_cpp": set(InferParameters.model_fields),
    "compute_top1_and_top5": set(inspect.signature(accuracy).parameters),
}
VERBS = {"gen_model": "compile", "infer_cpp": "infer", "compute_top1_and_top5": "accuracy"}
INFER = """device_id magicmind_model image_dir image_num name_file label_file result_file
    result_label_file result_top1_file result_top5_file batch_size"""


def _rows(columns: int) -> list[list[str]]:
    lines = [line for line in TEXT.splitlines() if line.startswith("| `")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return [row for row in cells if len(row) == columns]


ROWS = _rows(6)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row[1]}-{row[0]}")
def test_every_row_leads_to_an_option(row: list[str]) -> None:
    flag, tool, here = row[0].strip("`"), row[1], row[2].strip("`")
    assert here.removeprefix("--") in OPTIONS[tool]
    assert modern([VERBS[tool], f"--{flag}"]) == [VERBS[tool], here]
    assert all(row)


def test_no_flag_is_left_out() -> None:
    told = {(row[1], row[0].strip("`")) for row in ROWS}
    assert len(told) == len(ROWS)
    gen_model = set(CompileFlags.model_fields) | set(SPELLINGS["compile"])
    gen_model |= {"precision", "batch_size", "dynamic_shape", "means", "vars", "prototxt"}
    gen_model |= {"caffemodel", "magicmind_model", "device_id"}
    assert {flag for tool, flag in told if tool == "gen_model"} == gen_model
    assert {flag for tool, flag in told if tool == "infer_cpp"} == set(INFER.split())
    names = {flag for tool, flag in told if tool == "compute_top1_and_top5"}
    assert names == OPTIONS["compute_top1_and_top5"]


def test_what_only_an_mlu_has_is_said_to_be_refused() -> None:
    refused = {row[0].strip("`") for row in ROWS if "only with --engine magicmind" in row[4]}
    assert refused == set(MLU_ONLY)


def test_the_keys_of_build_config() -> None:
    assert [row[0].strip("`") for row in _rows(2)] == list(BUILD_CONFIG_KEYS)


def test_the_keys_that_magicmind_refuses() -> None:
    told = TEXT.split("\nOn magicmind every key")[1]
    assert set(re.findall(r"`(\w+(?:\.\w+)?)`", told)) == set(MAGICMIND_REFUSES)


def test_eval_takes_every_flag_of_compile() -> None:
    alone = set(CompileParameters.model_fields) - set(EvaluateParameters.model_fields)
    assert alone == {"magicmind_model", "device_id"}
    assert modern(["eval", "--device_id", "0"]) == ["eval", "--devices", "0"]


def test_make_passes_every_option_on() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    options: set[str] = set()
    for variable in ("OPTIONS", "LISTS"):
        pattern = rf"^{variable} := (.*?[^\\])$"
        found = re.search(pattern, makefile, re.DOTALL | re.MULTILINE)
        assert found is not None
        options |= set(found[1].replace("\\", " ").lower().split())
    assert options == set(EvaluateParameters.model_fields) | set(SPELLINGS["eval"])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["eval", "--device_id", "9"], "--device_id: no such device; leave --device_id out"),
        (["eval", "--device_id=9"], "--device_id: no such device; leave --device_id out"),
        (["eval", "--devices", "cpu:9"], "--devices: no such device; leave --devices out"),
        (["infer", "--device_id", "9"], "--devices: no such device; leave --devices out"),
        ([], "--devices: no such device; leave --devices out"),
    ],
)
def test_messages_name_options_as_they_were_given(words: list[str], said: str) -> None:
    assert as_given("--devices: no such device; leave --devices out", words) == said
    assert as_given("--devices_more", words) == "--devices_more"


def test_older_spellings_and_values_with_a_sign() -> None:
    old = [
        "eval",
        "--quant_mode=a",
        "--quant_mode",
        "b",
        "--random_calib_range",
        "-1,1",
        "quant_mode",
    ]
    assert modern(old) == [
        "eval",
        "--precision=a",
        "--precision",
        "b",
        "--random_calib_range=-1,1",
        "quant_mode",
    ]
    assert modern([]) == []


def test_the_quantisation_document_names_what_nncf_has() -> None:
    import nncf
    from nncf.quantization.range_estimator import RangeEstimatorParametersSet

    text = (ROOT / "docs" / "quantisation.md").read_text(encoding="utf-8")
    for name in re.findall(r"RangeEstimatorParametersSet\.(\w+)", text):
        assert hasattr(RangeEstimatorParametersSet, name)
    for name in re.findall(r"preset `(\w+)`", text):
        assert hasattr(nncf.QuantizationPreset, name)
