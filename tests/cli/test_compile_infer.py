"""``mlubench compile`` and ``mlubench infer``: gen_model and infer_cpp on the embedded sample."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mlubench import cli
from mlubench.images.datasets.digits import DigitsPaths
from tests.cli.conftest import Models
from tests.support.lasting_workers import LastingWorkers
from tests.support.long import long


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Artifacts of all tests here, so that networks are compiled and images decoded once."""
    return tmp_path_factory.mktemp("artifacts")


class Shell:
    """Runs commands and keeps what they said."""

    def __init__(self, out: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.out = out
        self._capsys = capsys

    def __call__(self, verb: str, *options: object, status: int = 0) -> str:
        done = cli.main([verb, "--out", str(self.out), *map(str, options)])
        said = self._capsys.readouterr()
        assert done == status, said.out + said.err
        assert "Traceback" not in said.err
        return said.err if status == 2 and said.err else said.out


@pytest.fixture
def shell(out: Path, capsys: pytest.CaptureFixture[str]) -> Shell:
    return Shell(out, capsys)


def _read(folder: Path) -> Any:
    import openvino

    return openvino.Core().read_model(folder / "model.xml")


@pytest.mark.parametrize(
    ("options", "name", "shape"),
    [
        ([], "sample_model_force_float32_false_8", "[8,56,56,3]"),
        (
            ["--precision", "forced_float32", "--dynamic_shape", "true"],
            "sample_model_force_float32_true",
            "[?,56,56,3]",
        ),
        (
            ["--quant_mode", "force_float16", "--shape_mutable", "false", "--batch_size", "2"],
            "sample_model_force_float16_false_2",
            "[2,56,56,3]",
        ),
        (
            ["--model", "sample", "--input_dims", "4,3,56,56", "--input_layout", "NCHW"],
            "sample_model_force_float32_false_4",
            "[4,3,56,56]",
        ),
        (
            ["--model", "sample", "--input_dims", "4", "3", "56", "56", "--batch_size", "3"],
            "sample_model_force_float32_false_3",
            "[3,56,56,3]",
        ),
        (
            [
                *(
                    "--model",
                    "sample",
                    "--input_dims",
                    "-1,3,56,56",
                    "--dim_range_min",
                    "1,3,56,56",
                ),
                *("--dim_range_max", "64,3,56,56", "--input_dtypes", "FLOAT"),
            ],
            "sample_model_force_float32_true",
            "[1..64,56,56,3]",
        ),
    ],
)
def test_names_and_shapes(
    shell: Shell, out: Path, options: list[str], name: str, shape: str
) -> None:
    said = shell("compile", *options)
    folder = out / "models" / name
    assert said == f"Generate model done, model save to {folder}\n"
    assert str(_read(folder).input(0).partial_shape) == shape


def test_a_network_by_its_files_with_the_older_names(
    shell: Shell, digits: DigitsPaths, small_network: dict[str, Any], tmp_path: Path
) -> None:
    options = (
        *("--caffe_model", small_network["caffemodel"]),
        *("--prototxt", small_network["prototxt"]),
        *("--input_width", 56, "--input_height", 56, "--means", 104, 117, 123),
        *("--resize", "none", "--quant_mode", "qint8_mixed_float32", "--shape_mutable", "true"),
        *("--image_dir", digits.train, "--label_file", digits.train_labels),
        *("--calibration_num", 20, "--device_id", 0),
        *("--output_model", tmp_path / "digits_model"),
    )
    assert f"model save to {tmp_path / 'digits_model'}" in shell("compile", *options)
    description = json.loads((tmp_path / "digits_model" / "compiled.json").read_text())
    assert description["label_order"] is None
    assert description["preprocess"]["resize"] == "none"
    assert not description["speed_only"]
    kinds = [op.get_type_name() for op in _read(tmp_path / "digits_model").get_ops()]
    assert "FakeQuantize" in kinds


def test_file_list_says_what_calibrates(
    shell: Shell,
    digits: DigitsPaths,
    small_options: list[str],
    workers: LastingWorkers,
    tmp_path: Path,
) -> None:
    names = sorted(path.name for path in digits.train.iterdir())
    few = tmp_path / "few.txt"
    written = {}
    for kind, chosen in (("a", names[:5]), ("again", names[4::-1]), ("b", names[5:10])):
        few.write_text("".join(f"{name}\n" for name in chosen))
        if kind == "again":
            workers.close()  # the bytes must not depend on the process, such as on its hashes
        common = ("--precision", "qint8_mixed_float32", "--magicmind_model", tmp_path / kind)
        images = ("--calibration_data_path", digits.train, "--file_list", few)
        shell("compile", *small_options, *common, *images)
        written[kind] = (tmp_path / kind / "model.bin").read_bytes()
    assert written["a"] == written["again"] != written["b"]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("absent.JPEG\n", "absent.JPEG"),
        ("x.bin shape[1,3,56,56]\n", "line 1"),
        ("", "names no image"),
    ],
)
def test_a_wrong_file_list(
    shell: Shell, digits: DigitsPaths, tmp_path: Path, line: str, words: str
) -> None:
    (tmp_path / "list").write_text(line)
    given = ("--image_dir", digits.train, "--file_list", tmp_path / "list")
    assert words in shell("compile", "--precision", "qint8_mixed_float32", *given, status=2)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--mlu_arch", "mtp_372"], ["--mlu_arch", "only with --engine magicmind"]),
        (["--cluster_num", "6,8"], ["--cluster_num", "only with --engine magicmind"]),
        (["--plugin", "libx.so"], ["--plugin", "only with --engine magicmind"]),
        (["--toolchain_path", "/x"], ["--toolchain_path", "only with --engine magicmind"]),
        (["--rpc_server", "x:1"], ["--rpc_server", "only with --engine magicmind"]),
        (["--type64to32_conversion", "true"], ["--type64to32_conversion", "magicmind"]),
        (["--conv_scale_fold", "false"], ["--conv_scale_fold", "always"]),
        (["--calibration_algo", "eqnm"], ["--calibration_algo", "no precision is quantised"]),
        (["--random_calib_range", "-1,1"], ["--random_calib_range", "no precision is quantised"]),
        (["--dim_range_min", "1,3,56,56"], ["--dim_range_max", "without the other"]),
        (
            ["--dim_range_min", "1,3,9,9", "--dim_range_max", "2,3,9,9", "--dynamic_shape", "true"],
            ["--dim_range_min", "N,3,56,56"],
        ),
        (
            ["--dim_range_min", "1,3,9,9", "--dim_range_max", "2,3,8,8"],
            ["--dim_range_max", "only the batch"],
        ),
        (["--input_dims", "1,3,9"], ["--input_dims", "N,3,H,W"]),
        (["--input_dims", "1,3,56,64"], ["--input_dims", "square"]),
        (["--input_width", "56", "--input_height", "64"], ["--input_width", "square"]),
        (["--input_layout", "NTC"], ["--input_layout", "NHWC|NCHW"]),
        (["--output_layout", "NHWC"], ["--output_layout"]),
        (["--file_list", "x"], ["--calibration_dir", "without"]),
        (["--device_id", "99"], ["no device cpu:99"]),
        (["--magicmind_model", "."], ["--magicmind_model", "no compiled network"]),
        (["--build_config", "absent.json"], ["--build_config absent.json", "cannot be read"]),
        (["--precision", "int4"], ["--precision", "int4"]),
        (["--label_order", "2015"], ["--label_order", "10 scores", "1000, the classes"]),
    ],
)
def test_refusals(shell: Shell, options: list[str], words: list[str]) -> None:
    said = shell("compile", *options, status=2)
    assert said.startswith("error: ")
    assert all(word in said for word in words), said


def test_build_config_file(shell: Shell, out: Path, tmp_path: Path) -> None:
    config = {"convert_input_layout": {"0": {"src": "NCHW", "dst": "NCHW"}}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    given = ("--build_config", tmp_path / "config.json", "--magicmind_model", tmp_path / "model")
    shell("compile", *given)
    assert list(_read(tmp_path / "model").input(0).shape) == [8, 3, 56, 56]
    (tmp_path / "config.json").write_text('{"archs": ["mtp_372"]}')
    assert "--build_config, archs" in shell("compile", *given, status=2)


def test_made_up_ranges_are_marked_and_never_classify(
    shell: Shell, digits: DigitsPaths, small_options: list[str], tmp_path: Path
) -> None:
    model = ("--magicmind_model", tmp_path / "model")
    given = ("--precision", "qint8_mixed_float16", "--random_calib_range", "-1,1")
    assert "its answers mean nothing" in shell("compile", *small_options, *given, *model)
    assert json.loads((tmp_path / "model" / "compiled.json").read_text())["speed_only"]
    assert "random_calib_range" in shell("infer", *model, "--image_dir", digits.val, status=2)
    assert "--random_calib_range" in shell("eval", *given, status=2)


@pytest.fixture(scope="module")
def model(out: Path) -> Path:
    """The sample with a dynamic batch."""
    folder = out / "models" / "dynamic"
    given = ["--dynamic_shape", "true", "--magicmind_model", str(folder), "--out", str(out)]
    assert cli.main(["compile", *given]) == 0
    return folder


def test_infer_writes_what_the_engine_answers(
    shell: Shell, out: Path, model: Path, digits: DigitsPaths, tmp_path: Path
) -> None:
    files = {
        "result_file": tmp_path / "a" / "infer_result.txt",
        "result_label_file": tmp_path / "a" / "eval_labels.txt",
        "result_top1_file": tmp_path / "a" / "eval_result_1.txt",
        "result_top5_file": tmp_path / "a" / "eval_result_5.txt",
    }
    named = [word for option, path in files.items() for word in (f"--{option}", path)]
    images = ("--image_dir", digits.val, "--label_file", digits.val_labels, "--image_num", 50)
    said = shell("infer", "--magicmind_model", model, "--device_id", 0, *images, *named)
    assert "50 images, run as float32" in said
    # Every batch size and the default folder give the same bytes.
    for batch in (1, 7):
        shell("infer", "--magicmind_model", model, *images, "--batch_size", batch)
        for path in files.values():
            assert (out / "output" / "dynamic" / path.name).read_bytes() == path.read_bytes()

    names = sorted(path.name for path in digits.val.iterdir())[:50]
    listed = dict(line.split() for line in digits.val_labels.read_text().splitlines())
    labels = (tmp_path / "a" / "eval_labels.txt").read_text().splitlines()
    assert labels == [f"[{place}]: {listed[name]}" for place, name in enumerate(names)]
    answers = (tmp_path / "a" / "eval_result_1.txt").read_text().splitlines()
    assert np.mean([a == b for a, b in zip(answers, labels, strict=True)]) >= 0.97
    text = (tmp_path / "a" / "infer_result.txt").read_text().splitlines()
    assert text[0] == f"top5 result in {Path(names[0]).stem}:"
    assert len(text) == 50 * 6
    assert len((tmp_path / "a" / "eval_result_5.txt").read_text().splitlines()) == 250


@pytest.fixture(scope="module")
def int8(small_options: list[str], digits: DigitsPaths) -> tuple[object, ...]:
    """A quantised network and its calibration images as options."""
    images = ("--image_dir", digits.train)
    return (*small_options, "--precision", "qint8_mixed_float16", *images)


@pytest.fixture(scope="module")
def plain(out: Path, int8: tuple[object, ...]) -> Path:
    """That network without further flags."""
    folder = out / "models" / "plain"
    given = ("--calibration_num", 5, "--magicmind_model", folder, "--out", out)
    assert cli.main(["compile", *map(str, (*int8, *given))]) == 0
    return folder


@pytest.mark.parametrize(
    ("flag", "value"),
    [
        ("rgb2bgr", "true"),
        pytest.param("vars", "4 4 4", marks=long),
        ("weight_quant_granularity", "per_tensor"),
        pytest.param("activation_quant_algo", "asymmetric", marks=long),
        pytest.param("calibration_algo", "eqnm", marks=long),
        pytest.param("computation_preference", "high_precision", marks=long),
        ("calibration_num", "7"),
    ],
)
def test_a_flag_changes_what_is_compiled(
    shell: Shell, int8: tuple[object, ...], plain: Path, tmp_path: Path, flag: str, value: str
) -> None:
    given = {"calibration_num": "5", flag: value}
    options = [word for name, text in given.items() for word in (f"--{name}", *text.split())]
    shell("compile", *int8, "--magicmind_model", tmp_path / "changed", *options)
    before, after = (
        {name: (folder / name).read_bytes() for name in ("model.xml", "model.bin", "built.json")}
        for folder in (plain, tmp_path / "changed")
    )
    assert before != after
    if flag not in ("calibration_num", "vars"):
        spec = json.loads((tmp_path / "changed" / "compiled.json").read_text())["spec"]
        assert str(spec[flag]).lower() == value


def test_infer_agrees_with_another_layout_and_type(
    shell: Shell, out: Path, model: Path, digits: DigitsPaths, tmp_path: Path
) -> None:
    images = ("--image_dir", digits.val, "--image_num", 20)
    shell("infer", "--magicmind_model", model, *images)
    given = ("--input_layout", "NCHW", "--input_dtypes", "FLOAT", "--output_dtypes", "HALF")
    shell("compile", *given, "--magicmind_model", tmp_path / "other", "--batch_size", 3)
    shell("infer", "--magicmind_model", tmp_path / "other", *images)
    for name in ("infer_result.txt", "eval_result_1.txt"):
        first, other = (out / "output" / folder / name for folder in ("dynamic", "other"))
        assert [
            line for line in first.read_text().splitlines() if line.startswith(("[", "0 "))
        ] == [line for line in other.read_text().splitlines() if line.startswith(("[", "0 "))]


def test_infer_names_classes_from_a_file(
    shell: Shell, models: Models, digits: DigitsPaths, tmp_path: Path
) -> None:
    (tmp_path / "names").write_text("".join(f"{label} class {label}, so\n" for label in range(10)))
    images = ("--image_dir", digits.val, "--image_num", 3)
    given = ("--magicmind_model", models["openvino", "dynamic"], *images)
    shell("infer", *given, "--name_file", tmp_path / "names", "--result_file", tmp_path / "r")
    lines = (tmp_path / "r").read_text().splitlines()
    assert sum(line.endswith(", so]") for line in lines) == 15
    (tmp_path / "names").write_text("one\ntwo\n")
    assert "has 2 names" in shell("infer", *given, "--name_file", tmp_path / "names", status=2)


def test_infer_leaves_damaged_images_out_and_tells(
    shell: Shell, models: Models, digits: DigitsPaths, tmp_path: Path
) -> None:
    folder = tmp_path / "images"
    folder.mkdir()
    for path in sorted(digits.val.iterdir())[:4]:
        shutil.copy(path, folder)
    broken = sorted(folder.iterdir())[1]
    broken.write_bytes(b"")
    given = ("--magicmind_model", models["openvino", "dynamic"], "--image_dir", folder)
    said = shell("infer", *given, "--result_top1_file", tmp_path / "top1", status=2)
    assert broken.name in said
    lines = (tmp_path / "top1").read_text().splitlines()
    assert [line.split(":")[0] for line in lines] == ["[0]", "[1]", "[2]"]


def test_infer_preprocesses_as_the_flags_say(
    shell: Shell, model: Path, digits: DigitsPaths, tmp_path: Path
) -> None:
    given = ("--magicmind_model", model, "--image_dir", digits.val, "--image_num", 30)
    shell("infer", *given, "--result_top5_file", tmp_path / "plain")
    resized = ("--resize", "exact", "--resize_size", 90)
    shell("infer", *given, *resized, "--result_top5_file", tmp_path / "large")
    assert (tmp_path / "plain").read_bytes() != (tmp_path / "large").read_bytes()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--batch_size", "3"], "batches of 2"),
        (["--result_label_file", "x"], "--label_file"),
        (["--label_file", "absent"], "absent"),
        (["--device_id", "99"], "no device cpu:99"),
    ],
)
def test_infer_refuses(
    shell: Shell, models: Models, digits: DigitsPaths, options: list[str], words: str
) -> None:
    given = ("--magicmind_model", models["openvino", "static"], "--image_dir", digits.val)
    assert words in shell("infer", *given, *options, status=2)


def test_infer_wants_a_compiled_network(shell: Shell, tmp_path: Path) -> None:
    given = ("--magicmind_model", tmp_path, "--image_dir", tmp_path)
    assert "is no compiled network" in shell("infer", *given, status=2)
    assert "magicmind_model" in shell("infer", status=2)


@pytest.mark.parametrize("option", ["--image_dir", "--calibration_dir"])
def test_a_calibration_folder_that_is_not_there_is_told_in_every_precision(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], option: str
) -> None:
    arguments = ["compile", "--precision", "force_float32", "--out", str(tmp_path)]
    assert cli.main([*arguments, option, str(tmp_path / "absent")]) == 2
    assert "absent" in capsys.readouterr().err


def test_two_results_may_not_go_to_one_file(
    models: Models, digits: DigitsPaths, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = str(models["openvino", "static"])
    inferring = ["infer", "--magicmind_model", model, "--image_dir", str(digits.val)]
    same = str(tmp_path / "same.txt")
    both = ["--result_top1_file", same, "--result_top5_file", same, "--out", str(tmp_path)]
    assert cli.main([*inferring, *both]) == 2
    assert "one file" in capsys.readouterr().err
    assert cli.main([*inferring, "--label_file_order", "2015", "--out", str(tmp_path)]) == 2
    assert "--label_file_order" in capsys.readouterr().err
