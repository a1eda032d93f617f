"""What the simulated SDK computes, against OpenCV, ONNX Runtime and NumPy."""

from __future__ import annotations

import ast
import dataclasses
import hashlib
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from mlubench.images.datasets.digits import write_digits
from mlubench.networks.caffe import import_caffe
from tests.networks.caffe.oracle import for_opencv
from tests.simulated_sdk_tests.lifecycle import (
    Plan,
    Runner,
    build,
    calibrated,
    configure,
    normalised,
    parse,
    set_shape,
)
from tests.support.networks import CLASSES, SIDE, random_images
from tests.support.simulated_sdk import SDK, environment

SAMPLE = Path(__file__).resolve().parents[2] / "conf" / "sample"
QUANTISED = (
    "qint8_mixed_float16",
    "qint8_mixed_float32",
    "qint16_mixed_float16",
    "qint16_mixed_float32",
)


def _reference(plan: Plan, images: np.ndarray) -> np.ndarray:
    import onnxruntime

    session = onnxruntime.InferenceSession(str(plan.files[0]), providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, {"data": normalised(plan, images)})[0])


def _opencv(plan: Plan, images: np.ndarray) -> np.ndarray:
    weights, prototxt = plan.files
    text = for_opencv(prototxt.read_text()).encode()
    net = cv2.dnn.readNetFromCaffe(np.frombuffer(text, np.uint8), np.fromfile(weights, np.uint8))
    scores = []
    for image in normalised(plan, images):
        net.setInput(image[np.newaxis])
        scores.append(net.forward().ravel().copy())
    return np.array(scores)


def _in_batches(runner: Runner, images: np.ndarray, batch: int) -> np.ndarray:
    return np.concatenate(
        [runner.run(images[first : first + batch].copy()) for first in range(0, len(images), batch)]
    )


@pytest.fixture(scope="module")
def squeezenet(shared_data: Path) -> tuple[Plan, np.ndarray]:
    """SqueezeNet and 24 real images, prepared as its sample prepares them."""
    files = tuple(shared_data / f"squeezenet_v1.1.{end}" for end in ("caffemodel", "prototxt"))
    plan = Plan(files, "kCaffe", 227, means=(104, 117, 123), variances=(1, 1, 1))
    paths = sorted((shared_data / "images").glob("*.JPEG"))[:24]
    pictures = [cv2.resize(cv2.imread(str(path)), (256, 256)) for path in paths]
    return plan, np.stack([picture[14:241, 14:241] for picture in pictures])


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> tuple[Plan, np.ndarray]:
    """The embedded sample and 40 of its images."""
    files = tuple(SAMPLE / f"se_resnet50_digits.{end}" for end in ("caffemodel", "prototxt"))
    plan = Plan(files, "kCaffe", 56, means=(104, 117, 123), variances=(1, 1, 1))
    folder = write_digits(tmp_path_factory.mktemp("digits") / "digits").val
    paths = sorted(folder.glob("*"))[:40]
    return plan, np.stack([cv2.imread(str(path))[4:60, 4:60] for path in paths])


@pytest.mark.parametrize("case", ["squeezenet", "digits"])
def test_float32_is_what_opencv_and_onnx_runtime_compute(
    case: str, mm: Any, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    import onnxruntime

    plan, images = request.getfixturevalue(case)
    images = images[:8]
    build(mm, plan, tmp_path / "model")
    scores = _in_batches(Runner(mm, tmp_path / "model"), images, plan.batch)
    np.testing.assert_allclose(scores, _opencv(plan, images), atol=1e-4)
    session = onnxruntime.InferenceSession(
        import_caffe(plan.files[1], plan.files[0]).SerializeToString()
    )
    (other,) = session.run(None, {"data": normalised(plan, images)})
    np.testing.assert_allclose(scores, np.asarray(other).reshape(scores.shape), atol=1e-4)


@pytest.fixture(scope="module")
def opencvs() -> dict[str, np.ndarray]:
    """What OpenCV answers to each case, computed when it is first needed."""
    return {}


@pytest.mark.parametrize("case", ["squeezenet", "digits"])
@pytest.mark.parametrize("precision", ["force_float16", *QUANTISED])
def test_other_precisions_differ_and_mostly_agree(
    precision: str,
    case: str,
    mm: Any,
    request: pytest.FixtureRequest,
    tmp_path: Path,
    opencvs: dict[str, np.ndarray],
) -> None:
    plan, images = request.getfixturevalue(case)
    if precision != "force_float16":
        plan = calibrated(plan, images)
    images = images[8:]
    build(mm, dataclasses.replace(plan, precision=precision), tmp_path / "model")
    scores = _in_batches(Runner(mm, tmp_path / "model"), images, plan.batch)
    if case not in opencvs:
        opencvs[case] = _opencv(plan, images)
    expected = opencvs[case]
    assert np.abs(scores - expected).max() > 1e-6
    agreement = (scores.argmax(1) == expected.argmax(1)).mean()
    assert agreement >= (0.75 if "qint8" in precision else 0.9)


@pytest.mark.parametrize("precision", ["force_float32", "force_float16", "qint8_mixed_float16"])
def test_scores_do_not_depend_on_the_batch(
    precision: str, mm: Any, digits: tuple[Plan, np.ndarray], tmp_path: Path
) -> None:
    plan, images = digits
    if "qint" in precision:
        plan = calibrated(plan, images)
    build(mm, dataclasses.replace(plan, precision=precision, dynamic=True), tmp_path / "model")
    runner = Runner(mm, tmp_path / "model")
    images = images[16:32]
    alone = _in_batches(runner, images, 1)
    assert all((_in_batches(runner, images, batch) == alone).all() for batch in (3, 16))
    assert (_in_batches(runner, images[::-1], 5)[::-1] == alone).all()


def test_the_same_model_is_the_same_bytes(mm: Any, small: Plan, tmp_path: Path) -> None:
    plan = calibrated(small, random_images(8), precision="qint8_mixed_float16")
    build(mm, plan, tmp_path / "one")
    build(mm, plan, tmp_path / "two")
    assert _sha256(tmp_path / "one") == _sha256(tmp_path / "two")
    build(mm, dataclasses.replace(small, batch=2), tmp_path / "other")
    assert _sha256(tmp_path / "one") != _sha256(tmp_path / "other")


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize("dynamic", [False, True])
@pytest.mark.parametrize("layout", [False, True])
def test_a_model_says_what_it_takes(
    layout: bool, dynamic: bool, mm: Any, small: Plan, tmp_path: Path
) -> None:
    plan = dataclasses.replace(small, layout=layout, dynamic=dynamic)
    model = build(mm, plan, tmp_path / "model")
    batch = -1 if dynamic else 4
    shape = [batch, SIDE, SIDE, 3] if layout else [batch, 3, SIDE, SIDE]
    assert (model.get_input_num(), model.get_output_num()) == (1, 1)
    assert [dims.GetDims() for dims in model.get_input_dimensions()] == [shape]
    assert [dims.GetDims() for dims in model.get_output_dimensions()] == [[batch, CLASSES]]
    assert model.get_input_names() == ["data"]
    assert model.get_output_names() == ["prob"]
    assert model.get_input_data_types() == [mm.DataType.UINT8]
    assert model.get_input_data_type(0) is mm.DataType.UINT8
    assert model.get_output_data_types() == [mm.DataType.FLOAT32]
    images = random_images(4)
    given = images if layout else np.ascontiguousarray(images.transpose(0, 3, 1, 2))
    scores = Runner(mm, tmp_path / "model").run(given)
    np.testing.assert_allclose(scores, _reference(plan, images), atol=1e-5)


def test_types_of_inputs_and_outputs(mm: Any, small: Plan, tmp_path: Path) -> None:
    plan = dataclasses.replace(small, bn=False, layout=False)
    network = parse(mm, plan)
    set_shape(mm, network, plan)
    assert network.get_input(0).set_data_type(mm.DataType.FLOAT16).ok()
    assert network.get_output(0).set_data_type(mm.DataType.FLOAT16).ok()
    model = mm.Builder().build_model("model", network, configure(mm, plan))
    assert model.serialize_to_file(str(tmp_path / "model")).ok()
    assert model.get_output_data_types() == [mm.DataType.FLOAT16]
    data = normalised(plan, random_images(4)).astype(np.float16)
    scores = Runner(mm, tmp_path / "model").run(data)
    assert scores.dtype == np.float16
    np.testing.assert_allclose(scores, _reference(plan, random_images(4)), atol=2e-3)


def test_the_layout_of_outputs_is_converted(
    mm: Any, digits: tuple[Plan, np.ndarray], squeezenet: tuple[Plan, np.ndarray], tmp_path: Path
) -> None:
    plan, images = squeezenet
    more = [{"convert_output_layout": {"0": {"src": "NCHW", "dst": "NHWC"}}}]
    model = build(mm, dataclasses.replace(plan, more=more), tmp_path / "model")
    assert model.get_output_dimensions()[0].GetDims() == [4, 1, 1, 1000]
    scores = Runner(mm, tmp_path / "model").run(images[:4].copy())
    np.testing.assert_allclose(scores, _opencv(plan, images[:4]), atol=1e-4)


def test_queues_work_at_the_same_time_and_each_in_order(
    mm: Any, small: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two tasks that each wait for the other one to be under way: one alone would never end."""
    build(mm, small, tmp_path / "model")
    runners = [Runner(mm, tmp_path / "model") for _ in range(2)]
    from magicmind.simulation import graphs

    both = threading.Barrier(2, timeout=60)
    order: list[tuple[str, int]] = []
    real = graphs.run_images

    def meet(session: Any, feeds: Any) -> Any:
        order.append((threading.current_thread().name, int(feeds["data"][0, 0, 0, 0])))
        both.wait()
        return real(session, feeds)

    monkeypatch.setattr(graphs, "run_images", meet)
    images = [np.full((4, SIDE, SIDE, 3), value, np.uint8) for value in range(3)]
    outputs: list[list[list[Any]]] = [[], []]
    for picture in images:
        for runner, filled in zip(runners, outputs, strict=True):
            inputs = runner.context.create_inputs()
            assert inputs[0].from_numpy(picture).ok()
            assert inputs[0].to(runner.device).ok()
            filled.append([])
            assert runner.context.enqueue(inputs, filled[-1], runner.queue).ok()
    for runner in runners:
        runner.sync()
    assert [value for _, value in order] == [0, 0, 1, 1, 2, 2]
    for picture, one, two in zip(images, *outputs, strict=True):
        np.testing.assert_allclose(one[0].asnumpy(), _reference(small, picture), atol=1e-5)
        assert (one[0].asnumpy() == two[0].asnumpy()).all()


def test_to_copies_at_that_moment(mm: Any, small: Plan, tmp_path: Path) -> None:
    build(mm, small, tmp_path / "model")
    runner = Runner(mm, tmp_path / "model")
    images = random_images(4)
    expected = _reference(small, images)
    runner.fill(images)
    images[:] = 0
    outputs: list[Any] = []
    runner.enqueue(outputs)
    runner.sync()
    np.testing.assert_allclose(outputs[0].asnumpy(), expected, atol=1e-5)


def test_outputs_may_be_made_before_and_used_again(mm: Any, small: Plan, tmp_path: Path) -> None:
    build(mm, dataclasses.replace(small, dynamic=True), tmp_path / "model")
    runner = Runner(mm, tmp_path / "model")
    unknown = runner.context.create_outputs(runner.inputs, suppress_infer_shape_error=True)
    assert not isinstance(unknown, list)  # which counts as having looked
    runner.fill(random_images(4))
    outputs = runner.context.create_outputs(runner.inputs, suppress_infer_shape_error=True)
    for seed in (1, 2):
        images = random_images(4, seed=seed)
        runner.fill(images)
        runner.enqueue(outputs)
        runner.sync()
        np.testing.assert_allclose(outputs[0].asnumpy(), _reference(small, images), atol=1e-5)


def test_what_a_context_dumps(mm: Any, small: Plan, tmp_path: Path) -> None:
    build(mm, small, tmp_path / "model")
    runner = Runner(mm, tmp_path / "model")
    info = mm.Context.ContextDumpInfo(path=str(tmp_path), dump_mode=mm.DumpMode.kOutputTensors)
    info.val.file_format = mm.FileFormat.kBinary
    assert runner.context.set_context_dump_info(info).ok()
    scores = runner.run(random_images(4))
    assert (tmp_path / "prob.simulated.bin").read_bytes() == scores.tobytes()


def test_the_nodes_and_marks_of_a_network(mm: Any, small: Plan) -> None:
    network = parse(mm, small)
    nodes = network.get_all_nodes_in_network()
    assert (nodes[0].get_node_name(), nodes[0].get_node_type()) == ("conv1", "Conv")
    output = network.get_output(0)
    assert network.unmark_output(output).ok()
    assert network.get_output_count() == 0
    assert network.mark_output(output).ok()
    assert network.get_output_count() == 1


def test_it_says_that_it_is_simulated(tmp_path: Path) -> None:
    code = (
        "import sys, importlib.metadata, magicmind.python.runtime as mm\n"
        "print(mm.SIMULATED); print(importlib.metadata.version('magicmind'))\n"
        "assert not hasattr(mm, '__version__') and not hasattr(mm, 'Parser')\n"
        "assert not {'onnx', 'onnxruntime', 'mlubench'} & set(sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **environment(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    sentence, version = done.stdout.splitlines()
    assert "simulated" in sentence
    assert version == "simulated"
    assert done.stderr.startswith("SIMULATED MagicMind SDK")


SOURCES = sorted(path for path in SDK.rglob("*") if path.suffix == ".py" or path.name == "cnmon")


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(SDK).as_posix())
def test_the_syntax_is_that_of_python_3_7(path: Path) -> None:
    ast.parse(path.read_text(encoding="utf-8"), feature_version=(3, 7))
