"""A compiled network in the memory of the hosts of a Dask cluster."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from typing import Any

from mlubench.errors import DeviceError
from mlubench.evaluate.cluster.hosts import Hosts
from mlubench.evaluate.cluster.messages import PackedNetwork
from mlubench.networks.compile import Compiled

#: How long a run waits where no host is left: a nanny, or somebody, may start a worker again.
PATIENCE = 60.0
_PAUSE = 0.25


class SentNetwork:
    """A compiled network in the memory of the hosts, sent where one has not got it on its disk.

    Args:
        hosts: of the cluster.
        compiled: the network.

    Raises:
        ConfigError: a host is not as the flow's.
        DeviceError: there is no host, or one whose device does not start.
        StoreError: the network cannot be read.
    """

    def __init__(self, hosts: Hosts, compiled: Compiled) -> None:
        self._hosts = hosts
        self._compiled = compiled
        self._future: Any = None
        self._lock = threading.Lock()
        self._wait_for_hosts(time.monotonic() + PATIENCE)
        if any(compiled.key not in one.networks for one in hosts.look([compiled.key]).values()):
            self.send()

    def future(self) -> Any:
        """Return the future to go with a shard; it is sent again where all that had it are lost."""
        if self._future is not None and not self._is_there():
            self.send()
        return self._future

    def _is_there(self) -> bool:
        return self._future is not None and self._future.status == "finished"

    def send(self) -> None:
        """Send it to every host, once there is one.

        Raises:
            StoreError: it cannot be read.
            DeviceError: there is none for :data:`PATIENCE` seconds.
        """
        with self._lock:
            if self._is_there():  # another lane has sent it
                return
            packed = PackedNetwork.of(self._compiled.key, self._compiled.folder)
            end = time.monotonic() + PATIENCE
            while not self._is_there():
                self._scatter(packed, self._wait_for_hosts(end))

    def _wait_for_hosts(self, end: float) -> Sequence[str]:
        """Return the hosts there are, once there is one.

        Raises:
            DeviceError: there is none by then.
        """
        while not (present := self._hosts.present()) and time.monotonic() < end:
            time.sleep(_PAUSE)
        if not present or time.monotonic() > end:
            raise none_left(self._hosts)
        return present

    def _scatter(self, packed: PackedNetwork, hosts: Sequence[str]) -> None:
        try:
            (self._future,) = self._hosts.client.scatter(
                [packed], workers=hosts, broadcast=True, hash=False
            )
        except Exception:  # whatever Dask raises where one of them goes away meanwhile
            time.sleep(_PAUSE)


def none_left(hosts: Hosts) -> DeviceError:
    """Return the error of a cluster that nobody brings a host back to."""
    return DeviceError(
        f"no Dask worker with the resource {hosts.family!r} is left",
        where=f"--scheduler {hosts.address}",
        expected=f"one within {PATIENCE:g} s",
        fix="start one, then run the same command again: finished shards are kept",
    )
