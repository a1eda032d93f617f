"""What keeps the answers of many hosts those of one: refusals, and what is checked on the way."""

from __future__ import annotations

import importlib.util
import zlib
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import distributed
import pytest

from mlubench.errors import ConfigError, DeviceError
from mlubench.evaluate.cluster.dask_worker import close_devices, infer_shard
from mlubench.evaluate.cluster.messages import NetworkAbsent, PackedNetwork, ShardOrder
from mlubench.evaluate.cluster.preflight import require_dask
from mlubench.evaluate.cluster.same_environment import check_same, same_facts
from mlubench.evaluate.options import check_parameters
from mlubench.store import Store, content_key

PARTS = {"network": "tiny"}
KEY = content_key(PARTS)
PIXELS = bytes(range(48))
ADDRESS = "tcp://127.0.0.1:8786"


@pytest.fixture
def worker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A Dask worker, as far as it is asked."""
    worker = SimpleNamespace(
        name="far",
        address="tcp://far:1",
        local_directory=str(tmp_path / "far"),
        state=SimpleNamespace(total_resources={"cpu": 1}, nthreads=1),
    )
    monkeypatch.setattr(distributed, "get_worker", lambda: worker)
    yield worker
    close_devices(cast("distributed.Worker", worker))


def _order(**fields: Any) -> ShardOrder:
    given = {
        "engine": "openvino",
        "same": {},
        "precision": "force_float32",
        "network": KEY,
        "first": 8,
        "shape": (1, 4, 4, 3),
        "crc32": zlib.crc32(PIXELS),
        "pixels": PIXELS,
    }
    return ShardOrder(**{**given, **fields})


def _packed(folder: Path) -> PackedNetwork:
    def build(entry: Path) -> None:
        (entry / "parts").mkdir()
        (entry / "parts" / "model.bin").write_bytes(b"weights")

    return PackedNetwork.of(KEY, Store(folder).get("compiled", PARTS, build))


def test_pixels_that_changed_on_the_way_are_not_inferred(worker: SimpleNamespace) -> None:
    with pytest.raises(DeviceError, match="changed on their way") as error:
        infer_shard(_order(pixels=PIXELS[:-1] + b"\0"), None)
    assert error.value.where == "images 8 to 8 on far"


def test_a_network_is_asked_for_where_it_is_not(worker: SimpleNamespace) -> None:
    with pytest.raises(NetworkAbsent):
        infer_shard(_order(), None)


def test_a_network_is_kept_by_its_key_and_sent_again_where_it_is_damaged(
    worker: SimpleNamespace, tmp_path: Path
) -> None:
    packed = _packed(tmp_path / "near")
    differs = {"mlubench": "another"}  # ends it after the network is unpacked
    for network in (packed, None):
        with pytest.raises(ConfigError, match="mlubench"):
            infer_shard(_order(same=differs), network)
    (kept,) = Path(worker.local_directory).glob(f"mlubench/compiled/{KEY}/parts/model.bin")
    assert kept.read_bytes() == b"weights"
    kept.write_bytes(b"Weights")
    with pytest.raises(NetworkAbsent):
        infer_shard(_order(same=differs), None)


def test_a_network_that_changed_on_the_way_is_refused(
    worker: SimpleNamespace, tmp_path: Path
) -> None:
    packed = _packed(tmp_path / "near")
    changed = PackedNetwork(KEY, {**packed.files, "parts/model.bin": b"Weights"})
    with pytest.raises(DeviceError, match=r"the bytes of parts/model\.bin have changed"):
        infer_shard(_order(), changed)


def test_another_arithmetic_is_refused() -> None:
    here = same_facts({"version": "1", "arithmetic": "BF16 FP32"})
    check_same("far", here, dict(here))
    with pytest.raises(ConfigError) as error:
        check_same("far", here, {**here, "the engine's arithmetic": "FP32"})
    assert error.value.where == "Dask worker far"
    assert error.value.what == ("the engine's arithmetic is 'FP32', on the flow's host 'BF16 FP32'")


@pytest.mark.parametrize(
    ("options", "where", "what"),
    [
        ({"runner": "dask"}, "--scheduler", "go together"),
        ({"scheduler": ADDRESS}, "--scheduler", "go together"),
        ({"runner": "dask", "scheduler": "localhost"}, "--scheduler", "is no address"),
        ({"runner": "dask", "scheduler": ADDRESS, "tune": True}, "--tune", "says nothing"),
        ({"runner": "ray"}, "--runner", "local"),
    ],
)
def test_options_that_do_not_go_together(options: dict[str, Any], where: str, what: str) -> None:
    with pytest.raises(ConfigError, match=what) as error:
        check_parameters(**options)
    assert where in str(error.value)


def test_without_the_extra_it_is_said_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match="prefect-dask is not installed") as error:
        require_dask(ADDRESS)
    assert "'.[dask]'" in error.value.fix
