"""What becomes of shards whose Dask workers end, as Dask tells of it; the cluster is none."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from distributed.client import FutureCancelledError

from mlubench.devices.shards import cut
from mlubench.errors import DeviceError
from mlubench.evaluate.cluster import network_transfer
from mlubench.evaluate.cluster.hosts import Hosts
from mlubench.evaluate.cluster.inference import Inference, infer_on_hosts
from mlubench.evaluate.shard_files import Workspace
from mlubench.images.decoding.cache import DecodedImages
from mlubench.networks.compile import Compiled

KEY = "a-network"
IMAGES = 4


class _Cluster:
    """One host, whose Dask worker ends with each shard, and the network with it."""

    engine, family, address, slots = "openvino", "cpu", "tcp://127.0.0.1:8786", 1

    def __init__(self) -> None:
        self.client = self
        self.status = "running"
        self.same: dict[str, str] = {}
        self.lost: dict[str, str] = {}
        self.sent = 0
        self.shards = 0
        self.left = ["tcp://127.0.0.1:1"]
        self._handlers: dict[str, Callable[[Any], None]] = {}

    def present(self) -> list[str]:
        return self.left

    def look(self, networks: list[str]) -> dict[str, Any]:
        return {one: SimpleNamespace(networks=frozenset()) for one in self.left}

    def given_up(self, address: str) -> bool:
        return False

    def name(self, address: str) -> str:
        return "far"

    def scatter(self, data: list[Any], **_: Any) -> list[Any]:
        self.sent += 1
        self._network = SimpleNamespace(status="finished")
        return [self._network]

    def subscribe_topic(self, topic: str, handler: Callable[[Any], None]) -> None:
        self._handlers[topic] = handler

    def unsubscribe_topic(self, topic: str) -> None:
        del self._handlers[topic]

    def submit(self, order: Any, network: Any) -> Any:
        assert network.status == "finished"
        self.shards += 1
        key = f"infer_shard-{self.shards}"

        def result() -> None:
            (address,) = self._handlers
            self._handlers[address]((0.0, {"action": "remove-worker", "processing-tasks": {key}}))
            self._network.status = "lost"
            raise FutureCancelledError(key, "lost dependencies", "")

        return SimpleNamespace(wrapped_future=SimpleNamespace(key=key), result=result)


@pytest.fixture
def infer(tmp_path: Path) -> Callable[[_Cluster], object]:
    pixels = tmp_path / "pixels"
    pixels.write_bytes(bytes(IMAGES * 3))
    (tmp_path / "compiled").mkdir()
    images = SimpleNamespace(
        shape=(IMAGES, 1, 1, 3), complete=True, path=pixels, verify=lambda first, count: None
    )
    inference = Inference(
        Compiled("force_float32", tmp_path / "compiled", KEY),
        cast("DecodedImages", images),
        "f32",
        str,
    )

    def infer(cluster: _Cluster) -> object:
        shards = cut(IMAGES, IMAGES, 1, 1)
        kept = Workspace(tmp_path / "kept")
        return infer_on_hosts(
            cast("Hosts", cluster), inference, shards, kept, lambda done, images: None
        )

    return infer


def test_a_shard_that_ends_every_worker_ends_the_run(
    infer: Callable[[_Cluster], object],
) -> None:
    """Dask forgets with the network how many workers ended with a shard."""
    cluster = _Cluster()
    with pytest.raises(DeviceError, match="every Dask worker that had it ended, the last was far"):
        infer(cluster)
    assert cluster.shards == cluster.sent == 4
    assert cluster.lost == {"far": "its Dask worker ended"}


def test_a_cluster_to_which_no_host_comes_back_ends_the_run(
    infer: Callable[[_Cluster], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(network_transfer, "PATIENCE", 0.5)
    cluster = _Cluster()
    scatter = cluster.scatter

    def lose(data: list[Any], **options: Any) -> list[Any]:
        cluster.left = []
        sent = scatter(data, **options)
        cluster._network.status = "lost"
        return sent

    monkeypatch.setattr(cluster, "scatter", lose)
    with pytest.raises(DeviceError, match="no Dask worker with the resource 'cpu' is left") as told:
        infer(cluster)
    assert "start one, then run the same command again" in told.value.fix
    assert told.value.exit_status == 4
