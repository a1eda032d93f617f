"""The hosts of a Dask cluster that infer shards, as the flow sees them."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Protocol

from mlubench.devices.device import FAILURES
from mlubench.engines.traits import traits
from mlubench.errors import ConfigError, MlubenchError
from mlubench.evaluate.cluster.dask_worker import close_devices, look
from mlubench.evaluate.cluster.messages import HostFacts, ShardOrder
from mlubench.evaluate.cluster.same_environment import check_same, same_facts

#: Seconds between two questions to a scheduler that did not answer the first.
_PAUSES = (0.5, 1.0, 2.0)


class Pending(Protocol):
    """A shard that was submitted; Prefect's future of Dask's."""

    @property
    def wrapped_future(self) -> Any:
        """Dask's own future."""

    def result(self) -> Any:
        """Wait for the answer; raises what the task raised."""


#: Submits a shard, with Dask's future of its network or without, as Prefect's task.
Submit = Callable[[ShardOrder, Any], Pending]


class Hosts:
    """The Dask workers that have what an engine needs.

    Args:
        client: Dask's, connected to the scheduler; its calls have no types.
        submit: as :data:`Submit`.
        engine: the engine's name.
        facts: what it says of itself on the flow's host.

    Attributes:
        family: the Dask resource that a shard holds one of.
        same: what must be the same on every host.
        lost: the hosts that were lost, by name, and how.

    Raises:
        ConfigError: no Dask worker has the resource, or one is not as the flow's host.
    """

    def __init__(self, client: Any, submit: Submit, engine: str, facts: Mapping[str, str]) -> None:
        self.client = client
        self.submit = submit
        self.engine = engine
        self.family = traits(engine).family
        self.same = same_facts(facts)
        self.lost: dict[str, str] = {}
        self._failures: dict[str, int] = defaultdict(int)
        self._facts: dict[str, HostFacts] = {}
        self.look(())

    def present(self) -> list[str]:
        """Return the addresses of the Dask workers that have the resource now.

        Raises:
            MlubenchError: the scheduler is gone.
        """
        return sorted(
            address
            for address, facts in self._workers().items()
            if facts.get("resources", {}).get(self.family, 0) >= 1
        )

    def _workers(self) -> Mapping[str, Any]:
        """Ask the scheduler; again where it fails while workers come and go."""
        for pause in _PAUSES:
            with suppress(Exception):
                found: Mapping[str, Any] = self.client.scheduler_info(n_workers=-1)["workers"]
                return found
            time.sleep(pause)
        raise self.gone()

    def given_up(self, address: str) -> bool:
        """Whether a host failed too often in a row."""
        return self._failures.get(address, 0) >= FAILURES

    def look(self, networks: Sequence[str]) -> dict[str, HostFacts]:
        """Ask every host what it has.

        Args:
            networks: content keys of compiled networks; the answers say which are there.

        Raises:
            ConfigError: as the class.
            DeviceError: a device does not start.
        """
        workers = self.present()
        if not workers:
            raise ConfigError(
                f"no Dask worker there has the resource {self.family!r}",
                where=f"--scheduler {self.address}",
                expected=f"one or more, for {self.engine}",
                fix=f"on each host: dask worker {self.address} --nthreads 1 "
                f"--resources {self.family}=1",
            )
        found = self.client.run(
            look, self.engine, tuple(networks), workers=workers, on_error="return"
        )
        for address, facts in found.items():
            if isinstance(facts, MlubenchError):
                raise type(facts)(
                    facts.what,
                    where=f"Dask worker {address}: {facts.where}",
                    expected=facts.expected,
                    fix=facts.fix,
                )
            if not isinstance(facts, HostFacts):
                raise ConfigError(
                    f"cannot say what it is: {type(facts).__name__}: {facts}",
                    where=f"Dask worker {address}",
                    expected=f"mlubench {self.same['mlubench']} of the same sources there",
                    fix="install there what the flow's host has, with the extra [dask]",
                )
            check_same(f"{facts.host} ({address})", self.same, facts.same)
        self._facts.update(found)
        return dict(found)

    def check_reach(self, answers: Callable[[str], bool], url: str) -> None:
        """Check that Prefect's server answers every host.

        Args:
            answers: asks an address.
            url: the server's API.

        Raises:
            ConfigError: it does not answer one.
        """
        found = self.client.run(answers, url, workers=self.present(), on_error="return")
        for address, reached in found.items():
            if reached is not True:
                raise ConfigError(
                    f"Prefect's server at {url} does not answer there",
                    where=f"Dask worker {self.name(address)}",
                    expected="a server that every host reaches: shards tell it how they go",
                    fix="start one on an address of the network (prefect server start --host "
                    "0.0.0.0) and name it here: PREFECT_API_URL=http://HOST:4200/api",
                )

    @property
    def address(self) -> str:
        """The scheduler's address."""
        return str(self.client.scheduler.address) if self.client.scheduler else "?"

    @property
    def slots(self) -> int:
        """How many shards all hosts do at a time."""
        return sum(self._facts[one].slots for one in self.present() if one in self._facts)

    @property
    def descriptions(self) -> dict[str, str]:
        """What the engine says of the hosts' first devices, by the hosts' names."""
        named = {
            self.name(address): f"{facts.device}, slots: {facts.slots}"
            for address, facts in self._facts.items()
        }
        return dict(sorted(named.items()))

    def name(self, address: str) -> str:
        """Return what a Dask worker is called."""
        facts = self._facts.get(address)
        return _unlike(facts.host, address, self._facts) if facts else address

    def succeeded(self, address: str) -> None:
        """Note that a host did a shard."""
        self._failures.pop(address, None)

    def failed(self, address: str, why: str) -> None:
        """Note that a host failed at a shard; too often in a row, and it gets no more."""
        self._failures[address] += 1
        if self.given_up(address):
            self.lost[self.name(address)] = why

    def close(self) -> None:
        """End the device workers; where a host is gone, they ended with it."""
        with suppress(Exception):
            self.client.run(close_devices, workers=self.present(), on_error="ignore")

    def gone(self) -> MlubenchError:
        """Return the error of a scheduler that does not answer any more."""
        return MlubenchError(
            "the Dask scheduler is gone",
            where=f"--scheduler {self.address}",
            fix="start it again, then run the same command again: finished shards are kept",
        )


def _unlike(host: str, address: str, facts: Mapping[str, HostFacts]) -> str:
    """Return a host's name, with its address where another Dask worker has the same."""
    same = sum(one.host == host for one in facts.values())
    return host if same <= 1 else f"{host} ({address})"
