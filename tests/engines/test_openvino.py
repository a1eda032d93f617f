"""The OpenVINO engine against ONNX Runtime, and its bytes against themselves."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest

from mlubench.engines.interface import (
    BuildSpec,
    Calibration,
    Concurrency,
    NetworkFiles,
    load_engine,
)
from mlubench.engines.openvino.engine import core_group
from mlubench.errors import ConfigError, EngineError, StoreError
from mlubench.speed.measure.tuning import ways
from mlubench.store import write_json
from tests.support.networks import CLASSES, SIDE, random_images, write_small_network

SPEC = BuildSpec(
    precision="force_float32",
    batch_size=4,
    dynamic_shape=False,
    input_size=(SIDE, SIDE),
    means=(104.0, 117.0, 123.0),
    variances=(3460.0, 3400.0, 3300.0),
)


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_small_network(tmp_path_factory.mktemp("network") / "network.onnx")


def _scores(
    folder: Path, images: np.ndarray, concurrency: Concurrency = Concurrency()
) -> np.ndarray:
    session = load_engine("openvino").load(folder, concurrency)
    scores = np.full((len(images), session.classes), np.nan, np.float32)

    def consume(first: int, batch: np.ndarray) -> None:
        scores[first : first + len(batch)] = batch

    session.run(images, consume)
    return scores


def _reference(network: Path, images: np.ndarray) -> np.ndarray:
    import onnxruntime

    session = onnxruntime.InferenceSession(str(network), providers=["CPUExecutionProvider"])
    pixels = (images - np.array(SPEC.means)) / np.sqrt(np.array(SPEC.variances))
    (scores,) = session.run(None, {"data": pixels.transpose(0, 3, 1, 2).astype(np.float32)})
    return np.asarray(scores)


@pytest.mark.parametrize("dynamic", [False, True])
@pytest.mark.parametrize("count", [1, 4, 11])
def test_float32_agrees_with_onnx_runtime(
    network: Path, tmp_path: Path, dynamic: bool, count: int
) -> None:
    spec = dataclasses.replace(SPEC, dynamic_shape=dynamic)
    load_engine("openvino").build(NetworkFiles(network), spec, None, tmp_path)
    images = random_images(count)
    np.testing.assert_allclose(_scores(tmp_path, images), _reference(network, images), atol=1e-5)


@pytest.mark.parametrize("precision", ["qint8_mixed_float16", "qint8_mixed_float32"])
def test_int8_stays_close_to_float32(network: Path, tmp_path: Path, precision: str) -> None:
    spec = dataclasses.replace(SPEC, precision=precision)
    load_engine("openvino").build(
        NetworkFiles(network), spec, Calibration(random_images(30, seed=2)), tmp_path
    )
    session = load_engine("openvino").load(tmp_path)
    assert session.executed_precision.startswith("int8 + ")
    assert session.classes == CLASSES
    images = random_images(64)
    difference = np.abs(_scores(tmp_path, images) - _reference(network, images))
    assert 0 < difference.max() < 0.05


@pytest.mark.parametrize("precision", ["force_float32", "force_float16", "qint8_mixed_float16"])
def test_concurrency_changes_no_bit(network: Path, tmp_path: Path, precision: str) -> None:
    spec = dataclasses.replace(SPEC, precision=precision)
    calibration = Calibration(random_images(30, seed=2)) if "qint8" in precision else None
    load_engine("openvino").build(NetworkFiles(network), spec, calibration, tmp_path)
    images = random_images(50)
    usual = _scores(tmp_path, images)
    for way in ways("openvino", len(os.sched_getaffinity(0))):
        np.testing.assert_array_equal(_scores(tmp_path, images, way.concurrency), usual)


def test_more_streams_than_cores_are_refused(network: Path, tmp_path: Path) -> None:
    engine = load_engine("openvino")
    engine.build(NetworkFiles(network), SPEC, None, tmp_path)
    with pytest.raises(ConfigError, match="the device has") as caught:
        engine.load(tmp_path, Concurrency(streams=10_000))
    assert caught.value.where == "--streams"


def test_the_precision_that_runs_is_told(network: Path, tmp_path: Path) -> None:
    engine = load_engine("openvino")
    engine.build(NetworkFiles(network), SPEC, None, tmp_path)
    assert engine.load(tmp_path).executed_precision == "float32"
    half = tmp_path / "half"
    half.mkdir()
    engine.build(
        NetworkFiles(network), dataclasses.replace(SPEC, precision="force_float16"), None, half
    )
    abilities = engine.describe()["arithmetic"].split()
    expected = (
        "float16" if "FP16" in abilities else "bfloat16" if "BF16" in abilities else "float32"
    )
    assert engine.load(half).executed_precision == expected


_BUILD = """
import dataclasses, pathlib, sys
from mlubench.engines.interface import BuildSpec, Calibration, NetworkFiles, load_engine
from tests.support.networks import random_images
from tests.engines.test_openvino import SPEC
engine = load_engine("openvino")
for number in range(int(sys.argv[3])):
    folder = pathlib.Path(sys.argv[2]) / str(number)
    folder.mkdir(parents=True)
    spec = dataclasses.replace(SPEC, precision="qint8_mixed_float16")
    network = NetworkFiles(pathlib.Path(sys.argv[1]))
    engine.build(network, spec, Calibration(random_images(30)), folder)
"""


def _digests(folder: Path) -> list[str]:
    return [hashlib.sha256(file.read_bytes()).hexdigest() for file in sorted(folder.iterdir())]


def test_int8_is_built_to_the_same_bytes_in_any_process(network: Path, tmp_path: Path) -> None:
    for name, times, cores in (("first", 2, 1), ("second", 1, 2)):
        subprocess.run(
            [sys.executable, "-c", _BUILD, str(network), str(tmp_path / name), str(times)],
            check=True,
            capture_output=True,
            preexec_fn=lambda cores=cores: os.sched_setaffinity(
                0, sorted(os.sched_getaffinity(0))[:cores]
            ),
        )
    first = _digests(tmp_path / "first" / "0")
    assert first == _digests(tmp_path / "first" / "1")
    assert first == _digests(tmp_path / "second" / "0")


def test_scores_do_not_depend_on_the_number_of_streams(network: Path, tmp_path: Path) -> None:
    engine = load_engine("openvino")
    spec = dataclasses.replace(SPEC, precision="force_float16")
    engine.build(NetworkFiles(network), spec, None, tmp_path)
    images = random_images(64)
    everyone = _scores(tmp_path, images)
    allowed = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, sorted(allowed)[:1])
        np.testing.assert_array_equal(_scores(tmp_path, images), everyone)
    finally:
        os.sched_setaffinity(0, allowed)


def test_a_disk_that_takes_no_network_is_not_the_engines_fault(
    network: Path, tmp_path: Path
) -> None:
    (tmp_path / "model.bin").mkdir()
    with pytest.raises(StoreError, match="cannot be written") as caught:
        load_engine("openvino").build(NetworkFiles(network), SPEC, None, tmp_path)
    assert caught.value.where == str(tmp_path / "model.xml")
    assert "disk" in caught.value.fix


def test_a_precision_that_it_has_not_got(network: Path, tmp_path: Path) -> None:
    spec = dataclasses.replace(SPEC, precision="qint16_mixed_float16")
    with pytest.raises(ConfigError, match="no qint16_mixed_float16"):
        load_engine("openvino").build(
            NetworkFiles(network), spec, Calibration(random_images(2)), tmp_path
        )


def test_quantisation_without_calibration_images(network: Path, tmp_path: Path) -> None:
    spec = dataclasses.replace(SPEC, precision="qint8_mixed_float16")
    with pytest.raises(ConfigError, match="needs calibration images"):
        load_engine("openvino").build(NetworkFiles(network), spec, None, tmp_path)


def test_a_network_that_is_none(tmp_path: Path) -> None:
    path = tmp_path / "network.onnx"
    path.write_bytes(b"<html>not found</html>")
    with pytest.raises(EngineError, match="could not compile") as caught:
        load_engine("openvino").build(NetworkFiles(path), SPEC, None, tmp_path)
    assert caught.value.where == str(path)


@pytest.mark.parametrize("damage", ["absent", "truncated", "other host"])
def test_a_compiled_network_that_cannot_be_loaded(
    network: Path, tmp_path: Path, damage: str
) -> None:
    engine = load_engine("openvino")
    engine.build(NetworkFiles(network), SPEC, None, tmp_path)
    if damage == "absent":
        (tmp_path / "built.json").unlink()
    elif damage == "truncated":
        (tmp_path / "model.xml").write_text("<net")
    else:
        facts = {**engine.describe(), "version": "2023.0"}
        write_json(tmp_path / "built.json", {"spec": SPEC.to_json(), "engine": facts})
    with pytest.raises(EngineError) as caught:
        engine.load(tmp_path)
    assert caught.value.where == str(tmp_path)


def test_core_groups_are_an_exact_cover() -> None:
    cores = [0, 1, 2, 5, 6, 7, 8]
    groups = [core_group(f"cpu:{index}/3", cores) for index in range(3)]
    assert [core for group in groups for core in group] == cores
    assert core_group("cpu:0/1", cores) == cores


@pytest.mark.parametrize("name", ["cpu:3/3", "cpu:0/9", "mlu:0", "cpu", "cpu:x/2", "cpu:0"])
def test_core_groups_that_are_not_there(name: str) -> None:
    with pytest.raises(ConfigError, match="no device"):
        core_group(name, [0, 1, 2])


def _layers_of(network: Path, images: np.ndarray) -> dict[str, np.ndarray]:
    """Return every inner tensor by ONNX Runtime, [images, ...]."""
    import onnxruntime

    model = onnx.load(network)
    names = [name for node in model.graph.node for name in node.output]
    for name in names[:-1]:
        model.graph.output.append(onnx.helper.make_empty_tensor_value_info(name))
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    pixels = (images - np.array(SPEC.means)) / np.sqrt(np.array(SPEC.variances))
    data = {"data": pixels.transpose(0, 3, 1, 2).astype(np.float32)}
    return dict(zip(names, session.run(names, data), strict=True))


def test_every_layers_output_is_that_of_onnx_runtime(network: Path, tmp_path: Path) -> None:
    """Of a network that was compiled for batches of four; a layer is seen image by image."""
    engine = load_engine("openvino")
    folders = [tmp_path / name for name in ("reference", "int8")]
    for folder in folders:
        folder.mkdir()
    engine.build(NetworkFiles(network), SPEC, None, folders[0])
    int8 = dataclasses.replace(SPEC, precision="qint8_mixed_float32")
    engine.build(NetworkFiles(network), int8, Calibration(random_images(30)), folders[1])
    images = random_images(3)
    found: dict[str, list[np.ndarray]] = {}
    apart: dict[str, float] = {}

    def consume(layer: str, reference: np.ndarray, candidate: np.ndarray) -> None:
        found.setdefault(layer, []).append(reference.copy())
        apart[layer] = max(apart.get(layer, 0.0), float(np.abs(candidate - reference).max()))

    engine.compare_layers(folders[0], folders[1], iter(images), consume)
    expected = _layers_of(network, images)
    assert list(found) == list(expected)
    for name, values in expected.items():
        np.testing.assert_allclose(np.concatenate(found[name]), values, atol=1e-4)
    assert all(0 < difference < 1 for difference in apart.values())
