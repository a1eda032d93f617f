"""``mlubench run``: what is wrong, and what is odd, is told."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mlubench.magicmind_sample.gen_model import compile_offline
from mlubench.magicmind_sample.options import CompileParameters
from tests.cli.conftest import Run


@pytest.mark.parametrize(
    ("model", "options", "said"),
    [
        ("dynamic", (), "--input_dims: the network does not take the shape [-1, 56, 56, 3]"),
        ("static", ("--batch_size", 3), "--batch_size: the network does not take the shape"),
        ("ranged", ("--batch_size", 5), "compiled for batches of 1 to 4"),
        ("static", ("--batch_size", 2, 2), "shapes of 2 inputs"),
        ("static", ("--devices", 0, 0), "one device is named twice"),
        ("static", ("--devices", 9), "there is no device"),
        ("static", ("--infer_depth", 1), "--infer_depth"),
        ("static", ("--kernel_capture", 1), "--kernel_capture"),
        ("static", ("--trace_pmu", "true"), "--trace_pmu"),
        ("static", ("--output_path", "x"), "outputs are saved only of given inputs"),
        ("static", ("--json", "--table"), "--json and --table"),
        ("static", ("--percentile", 99), "--percentile: says something of a scenario"),
        ("static", ("--native", "--streams", 1), "--streams: is none of mm_run's own"),
        ("static", ("--native", "--conf", "x"), "--conf: is none of mm_run's own"),
        ("static", ("--duration", 10**20), "--duration"),
        ("static", ("--datatransfer_opt", 0, "--infer_depth", 4), "nothing overlaps"),
        ("dynamic", ("--batch_size", 10**15), "a smaller batch"),
        ("static", ("--run_config", "absent"), "cannot be read: No such file or directory"),
    ],
)
def test_what_is_wrong_is_told(run: Run, model: str, options: Any, said: str) -> None:
    assert said in run.refused(*options, model=model)


def test_a_model_that_is_none(run: Run, tmp_path: Path) -> None:
    said = run.refused("--magicmind_model", tmp_path)
    assert "is no compiled network" in said


@pytest.mark.parametrize(
    "options",
    [
        ("--trace_time", "both"),
        ("--trace_time", "dev"),
        ("--perf_path", "x"),
        ("--bind_cluster", 1),
        ("--streams", 1),
    ],
)
def test_what_a_card_has_not_is_refused_with_the_reason(run: Run, options: Any) -> None:
    if run.engine == "openvino":
        pytest.skip("OpenVINO has it")
    said = run.refused(*options)
    assert options[0] in said
    assert "--native" in said or "leave it out" in said


def test_input_files_that_do_not_fit(run: Run, tmp_path: Path) -> None:
    (tmp_path / "in.bin").write_bytes(b"few")
    assert "has 3 bytes" in run.refused("--input_files", tmp_path / "in.bin")
    assert "cannot be read" in run.refused("--input_files", tmp_path / "absent")
    two = run.refused("--input_files", tmp_path / "in.bin", tmp_path / "in.bin")
    assert "names 2 files" in two
    config = tmp_path / "shapes.json"
    config.write_text('{"inputType": 0, "shapes": [[[1,56,56,3]], [[2,56,56,3]]]}')
    said = run.refused(
        "--run_config", config, "--input_files", tmp_path / "in.bin", model="dynamic"
    )
    assert "one set of files for several shapes" in said
    said = run.refused(
        *("--input_files", tmp_path / "in.bin", "--output_path", tmp_path / "out"),
        *("--disable_data_copy", 1),
    )
    assert "no outputs are copied out" in said


@pytest.mark.parametrize("option", ["--debug_path", "--trace_path", "--out", "--perf_path"])
def test_a_folder_that_cannot_be_made(openvino: Run, tmp_path: Path, option: str) -> None:
    (tmp_path / "file").write_text("no folder")
    openvino(option, tmp_path / "file" / "folder", status=2)
    assert str(tmp_path / "file") in openvino.err
    assert "unexpected" not in openvino.err


@pytest.mark.parametrize("option", ["--trace_path", "--out", "--perf_path"])
def test_folders_are_made_before_anything_is_measured(
    openvino: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, option: str
) -> None:
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setattr("mlubench.speed.mm_run.run.Measuring", None)
    openvino(option, tmp_path / "file", status=2)
    assert str(tmp_path / "file") in openvino.err


def test_an_output_that_cannot_be_written(run: Run, tmp_path: Path) -> None:
    (tmp_path / "in.bin").write_bytes(bytes(2 * 56 * 56 * 3))
    (tmp_path / "out" / "output[0]").mkdir(parents=True)
    said = run.refused("--input_files", tmp_path / "in.bin", "--output_path", tmp_path / "out")
    assert "output[0]: cannot be written: Is a directory" in said


def test_a_damaged_network_is_told(openvino: Run, tmp_path: Path) -> None:
    network = tmp_path / "damaged"
    shutil.copytree(openvino.model("static"), network)
    (network / "model.bin").write_bytes(b"few")
    openvino("--magicmind_model", network, status=4)
    assert "compile the network again" in openvino.err


def test_more_streams_than_cores(openvino: Run) -> None:
    assert "--streams" in openvino.refused("--streams", 4096)
    openvino("--streams", 1)


def test_clusters_are_cores_here(openvino: Run) -> None:
    openvino("--bind_cluster", 1)


def test_a_disturbed_machine_is_told(openvino: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mlubench.devices.host_load.DISTURBED", -1.0)
    openvino()
    assert "note: the machine was disturbed" in openvino.err


def test_a_warm_up_that_did_not_get_steady_is_told(
    openvino: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlubench.speed.measure.session import Measuring, WarmedUp

    configure: Callable[..., Any] = Measuring.configure

    def unsteady(*arguments: Any) -> WarmedUp:
        return WarmedUp(configure(*arguments).seconds, steady=False)

    monkeypatch.setattr(Measuring, "configure", unsteady)
    openvino()
    assert "note: the warm-up did not get steady" in openvino.err


def test_made_up_ranges_are_told(
    openvino: Run, tmp_path: Path, small_network: dict[str, Any]
) -> None:
    asked = CompileParameters(
        precision="qint8_mixed_float16",
        random_calib_range=(-1.0, 1.0),
        batch_size=1,
        out=tmp_path,
        magicmind_model=tmp_path / "fast",
        **small_network,
    )
    compile_offline(asked, lambda *_: None)
    document = json.loads(openvino("--magicmind_model", tmp_path / "fast", "--json"))
    assert document["model"]["speed_only"]
    assert "int8" in document["model"]["executed_precision"]
    assert "its answers mean nothing" in openvino.err
