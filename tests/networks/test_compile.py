"""Compiled networks are kept under a key over everything that affects them."""

from __future__ import annotations

import dataclasses
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from mlubench.devices.engine_host import EngineHost
from mlubench.engines.interface import BuildSpec, NetworkFiles
from mlubench.errors import EngineError, NetworkError, StoreError
from mlubench.images.datasets.dataset import ImageRef
from mlubench.images.decoding.cache import DecodedImages, Records
from mlubench.images.decoding.preprocess import Preprocess
from mlubench.networks.calibration import CalibrationImages
from mlubench.networks.compile import Compiled, compile_network
from mlubench.networks.importing import ImportedNetwork
from mlubench.store import Store

SPEC = BuildSpec("qint8_mixed_float16", 8, False, (56, 56), (0.0,) * 3, (1.0,) * 3)
FACTS = {"version": "1", "arithmetic": "INT8"}


@pytest.fixture
def built(monkeypatch: pytest.MonkeyPatch) -> list[Mapping[str, Any]]:
    """Collect the requests that a worker would have got; it writes a file, no more."""
    requests: list[Mapping[str, Any]] = []

    class FakeWorker:
        @staticmethod
        def start(engine: EngineHost, address: str) -> FakeWorker:
            return FakeWorker()

        def call(self, request: Mapping[str, Any], *, silence: float) -> None:
            requests.append(request)
            (Path(request["folder"]) / "model").write_bytes(b"model")

        def close(self) -> None: ...

    monkeypatch.setattr(EngineHost, "start", FakeWorker.start)
    return requests


def test_a_build_that_fails_is_tried_on_the_next_device(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = []

    class Failing:
        def call(self, request: Mapping[str, Any], *, silence: float) -> None:
            if started[-1] != "mlu:1":
                raise EngineError("is lost", where=started[-1])
            (Path(request["folder"]) / "model").write_bytes(b"model")

        def close(self) -> None: ...

    def start(self: EngineHost, address: str) -> Failing:
        started.append(address)
        return Failing()

    monkeypatch.setattr(EngineHost, "start", start)
    Inputs(tmp_path, devices=("mlu:0", "mlu:1", "mlu:2")).compile()
    assert started == ["mlu:0", "mlu:1"]
    with pytest.raises(EngineError, match="is lost") as caught:
        Inputs(tmp_path, network=b"another", devices=("mlu:2", "mlu:3", "mlu:4", "mlu:5")).compile()
    assert caught.value.where == "mlu:4"


def test_files_that_change_while_they_are_compiled_are_told(
    tmp_path: Path, built: list[Any]
) -> None:
    prototxt = tmp_path / "deploy.prototxt"
    prototxt.write_text("name: 'another'")
    with pytest.raises(NetworkError, match="was changed while"):
        Inputs(tmp_path, files=prototxt).compile()


@dataclasses.dataclass
class Inputs:
    """Everything that a compiled network depends on; tests change one thing at a time."""

    folder: Path
    network: bytes = b"network"
    spec: BuildSpec = SPEC
    content: str = "images"
    pixels: bytes = bytes(3 * 56 * 56 * 3)
    preprocess: Preprocess = dataclasses.field(default_factory=lambda: Preprocess("none", 64, 56))
    engine: EngineHost = dataclasses.field(default_factory=lambda: EngineHost("openvino"))
    prototxt: str = "p"
    files: Path | None = None
    devices: Sequence[str] = ("cpu:0/1",)
    facts: Mapping[str, str] = dataclasses.field(default_factory=lambda: FACTS)

    def compile(self) -> Compiled:
        onnx = self.folder / "network.onnx"
        onnx.write_bytes(self.network)
        images = [ImageRef(name, "") for name in "abc"]
        records = Records(images, "0" * 64 * 3, {1: ("truncated", "")})
        pixels = self.folder / "images.u8"
        pixels.write_bytes(self.pixels)
        digest = (zlib.crc32(bytes(3 * 56 * 56 * 3)),)
        decoded = DecodedImages(pixels, (3, 56, 56, 3), records, self.content, digest)
        return compile_network(
            ImportedNetwork(NetworkFiles(onnx, self.files), self.prototxt, "w"),
            self.spec,
            CalibrationImages(decoded, self.preprocess),
            self.engine,
            self.facts,
            Store(self.folder / "store"),
            self.devices,
        )


def test_the_same_inputs_are_compiled_once(tmp_path: Path, built: list[Any]) -> None:
    first, second = Inputs(tmp_path).compile(), Inputs(tmp_path).compile()
    assert first == second
    assert len(built) == 1
    assert built[0]["calibration"]["rows"] == [0, 2]  # the damaged image calibrates nothing


@pytest.mark.parametrize(
    "change",
    [
        {"network": b"another"},
        {"content": "other images"},
        {"preprocess": Preprocess("exact", 64, 56)},
        {"engine": EngineHost("magicmind")},
        {"prototxt": "another"},
        {"facts": {**FACTS, "version": "2"}},
        {"facts": {**FACTS, "arithmetic": "INT8 FP16"}},
        {"spec": dataclasses.replace(SPEC, precision="qint8_mixed_float32")},
        {"spec": dataclasses.replace(SPEC, batch_size=4)},
        {"spec": dataclasses.replace(SPEC, dynamic_shape=True)},
        {"spec": dataclasses.replace(SPEC, input_size=(48, 56))},
        {"spec": dataclasses.replace(SPEC, means=(1.0, 0.0, 0.0))},
        {"spec": dataclasses.replace(SPEC, variances=(1.0, 2.0, 1.0))},
    ],
)
def test_whatever_affects_it_compiles_anew(
    tmp_path: Path, built: list[Any], change: dict[str, Any]
) -> None:
    first = Inputs(tmp_path).compile()
    second = Inputs(tmp_path, **change).compile()
    assert first.key != second.key
    assert len(built) == 2


def test_a_damaged_entry_is_compiled_anew(tmp_path: Path, built: list[Any]) -> None:
    entry = Inputs(tmp_path).compile().folder
    (entry / "model").write_bytes(b"modem")
    assert (Inputs(tmp_path).compile().folder / "model").read_bytes() == b"model"
    assert len(built) == 2


def test_changed_calibration_pixels_are_never_used(tmp_path: Path, built: list[Any]) -> None:
    changed = bytes(1000) + b"\1" + bytes(3 * 56 * 56 * 3 - 1001)
    with pytest.raises(StoreError, match="have changed"):
        Inputs(tmp_path, pixels=changed).compile()
    assert not built


def test_images_do_not_matter_to_what_is_not_calibrated(tmp_path: Path, built: list[Any]) -> None:
    spec = dataclasses.replace(SPEC, precision="force_float32")
    first = Inputs(tmp_path, spec=spec).compile()
    assert Inputs(tmp_path, spec=spec, content="others").compile() == first
    assert built[0]["calibration"] is None
