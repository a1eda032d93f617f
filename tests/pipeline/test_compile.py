"""Compiled networks are kept under a key over everything that affects them."""

from __future__ import annotations

import dataclasses
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from mlubench.engines.interface import BuildSpec
from mlubench.errors import StoreError
from mlubench.images.cache import DecodedImages, ImageRecord
from mlubench.images.preprocess import Preprocess
from mlubench.pipeline import compile as compiling
from mlubench.pipeline.compile import CalibrationImages, Compiled, compile_network
from mlubench.pipeline.network import ImportedNetwork
from mlubench.store import Store

SPEC = BuildSpec("qint8_mixed_float16", 8, False, (56, 56), (0.0,) * 3, (1.0,) * 3)
FACTS = {"version": "1", "arithmetic": "INT8"}


@pytest.fixture
def built(monkeypatch: pytest.MonkeyPatch) -> list[Mapping[str, Any]]:
    """Collect the requests that a worker would have got; it writes a file, no more."""
    requests: list[Mapping[str, Any]] = []

    class FakeWorker:
        @staticmethod
        def start(engine: str, device: str) -> FakeWorker:
            return FakeWorker()

        def call(self, request: Mapping[str, Any], *, silence: float) -> None:
            requests.append(request)
            (Path(request["folder"]) / "model").write_bytes(b"model")

        def close(self) -> None: ...

    monkeypatch.setattr(compiling, "Worker", FakeWorker)
    return requests


@dataclasses.dataclass
class Inputs:
    """Everything that a compiled network depends on; tests change one thing at a time."""

    folder: Path
    network: bytes = b"network"
    spec: BuildSpec = SPEC
    content: str = "images"
    pixels: bytes = bytes(3 * 56 * 56 * 3)
    preprocess: Preprocess = dataclasses.field(default_factory=lambda: Preprocess("none", 64, 56))
    engine: str = "openvino"
    facts: Mapping[str, str] = dataclasses.field(default_factory=lambda: FACTS)

    def compile(self) -> Compiled:
        onnx = self.folder / "network.onnx"
        onnx.write_bytes(self.network)
        records = (
            ImageRecord("a", "0", "scored", "", ""),
            ImageRecord("b", "1", "corrupt", "truncated", ""),
            ImageRecord("c", "2", "scored", "", ""),
        )
        pixels = self.folder / "images.u8"
        pixels.write_bytes(self.pixels)
        digest = (zlib.crc32(bytes(3 * 56 * 56 * 3)),)
        decoded = DecodedImages(pixels, (3, 56, 56, 3), records, self.content, digest)
        return compile_network(
            ImportedNetwork(onnx, "p", "w"),
            self.spec,
            CalibrationImages(decoded, self.preprocess),
            self.engine,
            self.facts,
            Store(self.folder / "store"),
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
        {"engine": "magicmind"},
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
