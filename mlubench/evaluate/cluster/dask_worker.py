"""What a host of a Dask cluster does with a shard: the end of it that runs in a Dask worker.

No disk is shared with the flow's host. The pixels of a shard come with it. The compiled network is
taken from a folder of this host by its content key; where it is not there it comes with the shard
too. Each slot, a card or a group of cores, has one device worker process, which lives on between
shards.
"""

from __future__ import annotations

import asyncio
import json
import os
import threading
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mlubench.errors import DeviceError, StoreError
from mlubench.evaluate.cluster.messages import (
    HostFacts,
    NetworkAbsent,
    PackedNetwork,
    ShardAnswer,
    ShardOrder,
)
from mlubench.evaluate.cluster.same_environment import check_same, same_facts
from mlubench.evaluate.cluster.slots import Slots, host_name
from mlubench.store import MANIFEST, atomic_folder, content_key, entry_damage, locked, note_use

if TYPE_CHECKING:
    from distributed import Worker

#: Of a Dask worker: the folder of artifacts in which compiled networks are kept.
OUT = "MLUBENCH_OUT"


async def look(engine: str, networks: Sequence[str], dask_worker: Worker) -> HostFacts:
    """Say what a host has; for ``Client.run``, which gives the Dask worker."""
    return await asyncio.to_thread(_look, engine, networks, dask_worker)


def _look(engine: str, networks: Sequence[str], worker: Worker) -> HostFacts:
    slots = _slots(worker, engine)
    with slots.one() as slot:
        same = same_facts(slot.engine_facts())
        description = slot.description
    root = _networks(worker)
    have = frozenset(key for key in networks if _damage(root / key, key) is None)
    return HostFacts(host_name(worker), same, slots.count, description, have)


def infer_shard(order: ShardOrder, network: PackedNetwork | None) -> ShardAnswer:
    """Infer a shard on a slot of this host.

    Args:
        order: the shard.
        network: the compiled network, for a host that has not got it.

    Raises:
        ConfigError: the host is not as the flow's.
        DeviceError: a device, the disk or the way here failed; another host may do it.
        NetworkAbsent: the network must be sent.
    """
    from distributed import get_worker

    worker = get_worker()
    host = host_name(worker)
    if zlib.crc32(order.pixels) != order.crc32:
        raise DeviceError(
            "the pixels changed on their way here",
            where=f"{order.images} on {host}",
            expected=f"CRC-32 {order.crc32:08x}",
            fix="have the host's memory and network checked",
        )
    try:
        folder = _unpacked(_networks(worker), order.network, network)
        with _slots(worker, order.engine).one() as slot:
            check_same(host, order.same, same_facts(slot.engine_facts()))
            return slot.infer(order, folder)
    except StoreError as error:  # this host's disk is no reason to end the run
        raise DeviceError(error.what, where=f"{host}: {error.where}", fix=error.fix) from error


def close_devices(dask_worker: Worker) -> None:
    """End the device workers that are idle; for ``Client.run``."""
    with _LOCK:
        mine = [slots for (address, _), slots in _SLOTS.items() if address == dask_worker.address]
    for slots in mine:
        slots.close_idle()


def _networks(worker: Worker) -> Path:
    """Return the folder of compiled networks: that of the host's own artifacts, if it has any."""
    out = os.environ.get(OUT)
    own = Path(out) / "cache" if out else Path(worker.local_directory) / "mlubench"
    return own / "compiled"


def _unpacked(root: Path, key: str, network: PackedNetwork | None) -> Path:
    """Return the folder of a compiled network, written where it is absent or damaged."""
    folder = root / key
    with locked(root / f"{key}.lock"):
        if _damage(folder, key) is not None:
            if network is None:
                raise NetworkAbsent(key)
            with atomic_folder(folder) as temporary:
                for name, data in network.files.items():
                    file = temporary / name
                    file.parent.mkdir(parents=True, exist_ok=True)
                    file.write_bytes(data)
            if wrong := _damage(folder, key):
                raise StoreError(wrong, where=str(folder), fix="have the disk checked")
        note_use(folder)
    return folder


def _damage(folder: Path, key: str) -> str | None:
    """Return what is wrong with a compiled network, or None."""
    if wrong := entry_damage(folder):
        return wrong
    parts = json.loads((folder / MANIFEST).read_bytes())["parts"]
    return None if content_key(parts) == key else "its manifest names another network"


#: By the Dask worker's address and the engine. Device workers end with this process.
_SLOTS: dict[tuple[str, str], Slots] = {}
_LOCK = threading.Lock()


def _slots(worker: Worker, engine: str) -> Slots:
    with _LOCK:
        key = (worker.address, engine)
        if key not in _SLOTS:
            _SLOTS[key] = Slots(worker, engine)
        return _SLOTS[key]
