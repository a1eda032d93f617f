"""Which shards were lost with Dask workers, as the scheduler tells of it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from typing import Any

from mlubench.evaluate.cluster.hosts import Hosts

#: How a shard is said to have failed, after the host's name.
ENDED = "its Dask worker ended"


class Losses:
    """Hears of Dask workers that end, each by the topic that its address is.

    Not by the topic of all events: who sends a network to all workers puts an event there which
    Dask cannot serialise (distributed 2026.8), and then ends the connections of all that listen.
    """

    def __init__(self, hosts: Hosts) -> None:
        self._hosts = hosts
        self._heard: set[str] = set()
        self._lost: dict[Any, list[str]] = defaultdict(list)

    def listen(self) -> None:
        """Hear of the hosts that are there now.

        Raises:
            MlubenchError: the scheduler is gone.
        """
        for address in self._hosts.present():
            if address not in self._heard:
                self._heard.add(address)
                self._hosts.client.subscribe_topic(address, partial(self._told, address))

    def _told(self, address: str, event: tuple[float, Mapping[str, Any]]) -> None:
        """Note which shards a lost Dask worker had."""
        message = event[1]
        if message.get("action") == "remove-worker" and message["processing-tasks"]:
            name = self._hosts.name(address)
            self._hosts.lost[name] = ENDED
            for key in message["processing-tasks"]:
                self._lost[key].append(name)

    def of(self, key: Any) -> list[str]:
        """Return the names of the hosts with which a shard was lost, and forget them.

        Args:
            key: of Dask's future.
        """
        return self._lost.pop(key, [])

    def close(self) -> None:
        """Hear no more."""
        for address in self._heard:
            with suppress(ValueError):  # the client knows of it no more
                self._hosts.client.unsubscribe_topic(address)
