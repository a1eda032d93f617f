"""The MagicMind engine on the simulated SDK: scores against ONNX Runtime, failures told."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mlubench.conf import CONF
from mlubench.engines.interface import (
    Calibration,
    Concurrency,
    NetworkFiles,
    Session,
    load_engine,
)
from mlubench.engines.magicmind.calibration import batches
from mlubench.engines.magicmind.sdk import Checks
from mlubench.engines.precisions import PRECISIONS
from mlubench.errors import ConfigError, EngineError
from tests.engines.magicmind.scenario import INT8, SPEC, use
from tests.support.networks import CLASSES, SIDE, random_images, write_small_network
from tests.support.simulated_sdk import simulated

IMAGES = random_images(11, seed=5)


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> NetworkFiles:
    return NetworkFiles(write_small_network(tmp_path_factory.mktemp("network") / "network.onnx"))


@pytest.fixture
def sdk(tmp_path: Path) -> Iterator[Any]:
    with simulated(tmp_path) as runtime:
        yield runtime


def _reference(network: Path, images: np.ndarray) -> np.ndarray:
    import onnxruntime

    session = onnxruntime.InferenceSession(str(network), providers=["CPUExecutionProvider"])
    pixels = (images - np.array(SPEC.means)) / np.sqrt(np.array(SPEC.variances))
    (scores,) = session.run(None, {"data": pixels.transpose(0, 3, 1, 2).astype(np.float32)})
    return np.asarray(scores)


@pytest.mark.parametrize("dynamic", [False, True])
@pytest.mark.parametrize("count", [1, 4, 11])
def test_float32_agrees_with_onnx_runtime(
    sdk: Any, network: NetworkFiles, tmp_path: Path, dynamic: bool, count: int
) -> None:
    spec = dataclasses.replace(SPEC, dynamic_shape=dynamic)
    scores, session = use(network, spec, tmp_path / "model", IMAGES[:count])
    assert (session.classes, session.executed_precision) == (CLASSES, "float32 (simulated)")
    np.testing.assert_allclose(scores, _reference(network.onnx, IMAGES[:count]), atol=1e-5)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_every_precision_runs(
    sdk: Any, network: NetworkFiles, tmp_path: Path, precision: str
) -> None:
    spec = dataclasses.replace(SPEC, precision=precision)
    scores, session = use(network, spec, tmp_path / "model", IMAGES)
    assert session.executed_precision.endswith("(simulated)")
    np.testing.assert_allclose(scores, _reference(network.onnx, IMAGES), atol=0.05)


@pytest.mark.parametrize(
    "flags",
    [
        {"input_layout": "NCHW"},
        {"output_dtypes": "HALF"},
        {"mlu_arch": ("mtp_372",), "cluster_num": ("2,6",)},
        {"computation_preference": "high_precision"},
        {"conv_scale_fold": True, "type64to32_conversion": True},
        {"dynamic_shape": True, "dim_range": (3, 8)},
        {"build_config": '{"compute_determinism": true}'},
    ],
)
def test_flags_leave_the_answers_as_they_are(
    sdk: Any, network: NetworkFiles, tmp_path: Path, flags: dict[str, Any]
) -> None:
    scores, _ = use(network, dataclasses.replace(SPEC, **flags), tmp_path / "model", IMAGES)
    np.testing.assert_allclose(scores, _reference(network.onnx, IMAGES), atol=1e-3)


@pytest.mark.parametrize("requests", [1, 2, 6])
def test_batches_in_flight_change_no_answer(
    sdk: Any, network: NetworkFiles, tmp_path: Path, requests: int
) -> None:
    scores, usual = use(network, SPEC, tmp_path / "model", IMAGES)
    usual.close()
    session = load_on_card(tmp_path / "model", Concurrency(requests=requests))
    again = np.full_like(scores, np.nan)

    def consume(first: int, batch: np.ndarray) -> None:
        again[first : first + len(batch)] = batch

    session.run(IMAGES, consume)
    np.testing.assert_array_equal(again, scores)


def test_a_card_has_no_streams(sdk: Any, network: NetworkFiles, tmp_path: Path) -> None:
    use(network, SPEC, tmp_path / "model", IMAGES)
    with pytest.raises(ConfigError, match="a card has no streams"):
        load_on_card(tmp_path / "model", Concurrency(streams=2))


def load_on_card(model: Path, concurrency: Concurrency) -> Session:
    engine = load_engine("magicmind")
    engine.use_device("mlu:0")
    return engine.load(model, concurrency)


def test_channels_are_reversed_for_the_network(
    sdk: Any, network: NetworkFiles, tmp_path: Path
) -> None:
    spec = dataclasses.replace(SPEC, rgb2bgr=True)
    scores, _ = use(network, spec, tmp_path / "model", IMAGES)
    np.testing.assert_allclose(scores, _reference(network.onnx, IMAGES[..., ::-1]), atol=1e-5)


@pytest.mark.parametrize("dtype", ["UINT8", "FLOAT"])
def test_without_means_the_input_has_the_type_that_was_asked_for(
    sdk: Any, network: NetworkFiles, tmp_path: Path, dtype: str
) -> None:
    import onnxruntime

    plain = {"means": (0.0,) * 3, "variances": (1.0,) * 3, "input_dtypes": dtype}
    scores, _ = use(network, dataclasses.replace(SPEC, **plain), tmp_path / "model", IMAGES)
    session = onnxruntime.InferenceSession(str(network.onnx), providers=["CPUExecutionProvider"])
    (expected,) = session.run(None, {"data": IMAGES.transpose(0, 3, 1, 2).astype(np.float32)})
    np.testing.assert_allclose(scores, np.asarray(expected), atol=1e-5)


def test_made_up_ranges_need_no_images(sdk: Any, network: NetworkFiles, tmp_path: Path) -> None:
    spec = dataclasses.replace(INT8, random_calib_range=(-1.0, 1.0))
    scores, _ = use(network, spec, tmp_path / "model", IMAGES, calibration=0)
    assert np.isfinite(scores).all()


def test_caffe_goes_in_as_caffe(sdk: Any, tmp_path: Path) -> None:
    files = NetworkFiles(
        tmp_path / "absent.onnx",
        CONF / "sample" / "se_resnet50_digits.prototxt",
        CONF / "sample" / "se_resnet50_digits.caffemodel",
    )
    spec = dataclasses.replace(SPEC, input_size=(56, 56))
    images = random_images(3, side=56)
    scores, session = use(files, spec, tmp_path / "model", images)
    assert session.classes == 10
    np.testing.assert_allclose(scores.sum(axis=1), 1, atol=1e-5)


def test_a_session_that_is_closed_leaves_room_for_the_next(
    sdk: Any, network: NetworkFiles, tmp_path: Path
) -> None:
    _, first = use(network, SPEC, tmp_path / "model", IMAGES)
    first.close()
    scores, _ = use(network, SPEC, tmp_path / "other", IMAGES)
    np.testing.assert_allclose(scores, _reference(network.onnx, IMAGES), atol=1e-5)


def test_calibration_sees_every_image_in_whole_batches() -> None:
    images = random_images(10, seed=3)
    singles = np.concatenate(list(Calibration(images).normalised(SPEC)))
    made = batches(Calibration(images), SPEC)
    assert [one.shape for one in made] == [(4, 3, SIDE, SIDE)] * 3
    assert all(one.dtype == np.float32 and one.flags.c_contiguous for one in made)
    np.testing.assert_array_equal(made[0], singles[:4])
    np.testing.assert_array_equal(made[2], singles[6:])
    (few,) = batches(Calibration(images[:3]), SPEC)
    np.testing.assert_array_equal(few, singles[[0, 1, 2, 0]])
    four = batches(Calibration(images[:4]), SPEC)
    assert len(four) == 1


def test_what_the_folder_holds(sdk: Any, network: NetworkFiles, tmp_path: Path) -> None:
    use(network, INT8, tmp_path / "model", IMAGES)
    assert {path.name for path in (tmp_path / "model").iterdir()} == {"model", "model.json"}
    built = json.loads((tmp_path / "model" / "model.json").read_text())
    assert built["spec"]["precision"] == "qint8_mixed_float16"
    assert "simulated" in built["built_by"]


def test_a_file_loads_wherever_it_was_copied_to(
    sdk: Any, network: NetworkFiles, tmp_path: Path
) -> None:
    use(network, SPEC, tmp_path / "model", IMAGES)
    for name in ("model", "model.json"):
        data = (tmp_path / "model" / name).read_bytes()
        (tmp_path / name.replace("model", "net_model_force_float32_false_4")).write_bytes(data)
    engine = load_engine("magicmind")
    engine.use_device("mlu:0")
    assert engine.load(tmp_path / "net_model_force_float32_false_4").classes == CLASSES


def test_plugins_are_loaded_before_a_model_is_read(
    sdk: Any, network: NetworkFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    library = tmp_path / "further.so"
    library.write_bytes(b"")
    spec = dataclasses.replace(SPEC, plugin=(str(library),))
    use(network, spec, tmp_path / "model", IMAGES)
    calls = []

    def noted(kind: type, name: str) -> None:
        plain = getattr(kind, name)

        def call(self: Any, path: str) -> Any:
            calls.append((name, path))
            return plain(self, path)

        monkeypatch.setattr(kind, name, call)

    noted(sdk.LoadPluginLibrary, "load")
    noted(sdk.Model, "deserialize_from_file")
    engine = load_engine("magicmind")
    engine.use_device("mlu:0")
    for _ in range(2):
        engine.load(tmp_path / "model")
    read = ("deserialize_from_file", str(tmp_path / "model" / "model"))
    assert calls == [("load", str(library)), read, read]
    library.unlink()
    again = load_engine("magicmind")
    again.use_device("mlu:0")
    with pytest.raises(ConfigError, match="there is no file") as caught:
        again.load(tmp_path / "model")
    assert caught.value.where == "--plugin"


def test_a_device_that_is_not_there(tmp_path: Path) -> None:
    with simulated(tmp_path, cards=2):
        engine = load_engine("magicmind")
        assert engine.count_devices() == 2
        for name in ("mlu:2", "cpu:0", "mlu:x"):
            with pytest.raises(ConfigError, match=f"there is no device {name}") as caught:
                engine.use_device(name)
            assert "mlu:0 up to mlu:1" in caught.value.expected


@pytest.mark.parametrize("value", ["a", "0,0", "-1", "0,", "mlu:0"])
def test_visible_cards_that_are_no_numbers(
    sdk: Any, monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    engine = load_engine("magicmind")
    monkeypatch.setenv("MLU_VISIBLE_DEVICES", value)
    for ask in (engine.count_devices, lambda: engine.use_device("mlu:0")):
        with pytest.raises(ConfigError, match=r"there is no card|named twice") as caught:
            ask()
        assert caught.value.where == "MLU_VISIBLE_DEVICES"


def test_a_model_file_of_something_else(sdk: Any, tmp_path: Path) -> None:
    engine = load_engine("magicmind")
    engine.use_device("mlu:0")
    (tmp_path / "model").write_bytes(b"no model")
    with pytest.raises(EngineError, match="its description cannot be read"):
        engine.load(tmp_path)
    (tmp_path / "model.json").write_text(json.dumps({"spec": SPEC.to_json()}))
    with pytest.raises(EngineError, match=r"Model\.deserialize_from_file") as caught:
        engine.load(tmp_path)
    assert caught.value.where == "mlu:0"


def test_a_network_that_is_calibrated_on_nothing(
    sdk: Any, network: NetworkFiles, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match="needs calibration images"):
        use(network, INT8, tmp_path / "model", IMAGES, calibration=0)


def test_scores_without_a_layout_have_none(sdk: Any, network: NetworkFiles, tmp_path: Path) -> None:
    spec = dataclasses.replace(SPEC, output_layout="NHWC")
    with pytest.raises(ConfigError, match="2 axes and so no layout"):
        use(network, spec, tmp_path / "model", IMAGES)


def test_a_card_without_room(network: NetworkFiles, tmp_path: Path) -> None:
    with (
        simulated(tmp_path, memory_mb=0),
        pytest.raises(EngineError, match=r"Engine\.create_i_context.* returned None"),
    ):
        use(network, SPEC, tmp_path / "model", IMAGES)


def test_without_the_sdk_it_is_told_what_was_looked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEUWARE_HOME", "/usr/local/neuware")
    monkeypatch.setattr("sys.path", [path for path in sys.path if "simulated_sdk" not in path])
    for name in [name for name in sys.modules if name.split(".")[0] == "magicmind"]:
        monkeypatch.delitem(sys.modules, name)
    with pytest.raises(ConfigError, match="SDK is not there") as caught:
        load_engine("magicmind")
    assert caught.value.exit_status == 2
    for words in ("magicmind.python.runtime", sys.executable, "/usr/local/neuware"):
        assert words in str(caught.value)


class _Status:
    def __init__(self, fine: bool) -> None:
        self._fine = fine

    def ok(self) -> bool:
        return self._fine

    def error_message(self) -> str:
        return "out of cards"


def test_what_is_no_status_is_not_taken_for_one() -> None:
    checks = Checks("mlu:3")
    checks.ok(_Status(True), "Call")
    checks.ok_or_nothing(None, "Call")
    checks.ok_or_nothing(True, "Call")
    for wrong in (None, True, 0):
        with pytest.raises(EngineError, match="is no Status"):
            checks.ok(wrong, "Call")
    for check in (checks.ok, checks.ok_or_nothing, checks.made):
        with pytest.raises(EngineError, match=r"MagicMind's Call\(id=1\) failed: out of cards"):
            check(_Status(False), "Call", id=1)
    with pytest.raises(EngineError, match="returned False"):
        checks.ok_or_nothing(False, "Call")
    with pytest.raises(EngineError, match="gave 2 tensors where there is 1"):
        checks.listed([1, 2], "Call", 1)
    with pytest.raises(EngineError, match="returned None"):
        checks.made(None, "Call")
