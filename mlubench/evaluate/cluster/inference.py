"""Shards to the hosts of a Dask cluster; the hosts' end is :mod:`.dask_worker`.

Dask chooses the host, and gives a shard whose Dask worker is lost to another one. A shard whose
device fails is given to another host here.
"""

from __future__ import annotations

import io
import threading
import time
import zlib
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextvars import copy_context
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mlubench.devices.shard_queue import Work, told
from mlubench.devices.shards import Shard
from mlubench.errors import DeviceError, WorkerError
from mlubench.evaluate.cluster.hosts import Hosts, Pending
from mlubench.evaluate.cluster.lost_workers import ENDED, Losses
from mlubench.evaluate.cluster.messages import NetworkAbsent, ShardAnswer, ShardOrder
from mlubench.evaluate.cluster.network_transfer import PATIENCE, SentNetwork, none_left
from mlubench.evaluate.inference import Inferred, read_results, shard_files
from mlubench.evaluate.shard_files import ShardFacts, Workspace, write_shard
from mlubench.images.decoding.cache import DecodedImages
from mlubench.images.decoding.decoder import Decoding
from mlubench.networks.compile import Compiled

_PROGRESS_SECONDS = 0.25
_LOOK_SECONDS = 2.0
#: Shards on their way to a slot, the one that it infers included: it does not wait for the next.
_AHEAD = 2
#: A shard with which so many Dask workers ended is to blame; as Dask counts by itself.
_ENDED_WITH = 4


@dataclass(frozen=True)
class Inference:
    """What is inferred on the hosts, and where its results go.

    Attributes:
        compiled: the network.
        images: what is inferred.
        executed_precision: the arithmetic of the network on the flow's host.
        label: makes of a device's name one that hides no simulation.
    """

    compiled: Compiled
    images: DecodedImages | Decoding
    executed_precision: str
    label: Callable[[str], str]


def infer_on_hosts(
    hosts: Hosts,
    inference: Inference,
    shards: Sequence[Shard],
    kept: Workspace,
    progress: Callable[[int, int], None],
) -> Inferred:
    """Infer on the hosts the shards that the folder has not got yet.

    Args:
        hosts: of the cluster.
        inference: what is inferred.
        shards: the cut of the images.
        kept: where finished shards are kept.
        progress: called with (images done, images in all).

    Raises:
        ConfigError: a host is not as the flow's.
        DeviceError: a shard failed too often, or no host is left.
        StoreError: a result cannot be written.
        MlubenchError: the images cannot be decoded; the scheduler is gone.
    """
    compiled, images = inference.compiled, inference.images
    paths, waiting = shard_files(kept, compiled.precision, shards)
    before = images.shape[0] - sum(shard.images for shard in waiting)
    if waiting:
        spread = _Spread(hosts, inference, paths, waiting)
        spread.run(lambda done: progress(before + done, images.shape[0]))
    return Inferred(
        compiled.precision, inference.executed_precision, compiled.key, tuple(paths.values())
    )


class _Spread:
    """The shards of one precision on their way."""

    def __init__(
        self,
        hosts: Hosts,
        inference: Inference,
        paths: Mapping[Shard, Path],
        waiting: Sequence[Shard],
    ) -> None:
        self._hosts = hosts
        self._inference = inference
        self._images = inference.images
        self._paths = paths
        self._network = SentNetwork(hosts, inference.compiled)
        self._work = Work(waiting, hosts.present(), arrived=self._images.complete)
        self._avoid: dict[Shard, set[str]] = defaultdict(set)
        self._losses = Losses(hosts)
        self._ended: Counter[Shard] = Counter()

    def run(self, progress: Callable[[int], None]) -> None:
        """Infer all; raises as :func:`infer_on_hosts`."""
        work = self._work
        self._losses.listen()
        if not self._images.complete:
            threading.Thread(target=work.arrive, args=(self._decoded,), daemon=True).start()
        lanes = [
            threading.Thread(target=copy_context().run, args=(self._lane,), daemon=True)
            for _ in range(_AHEAD * self._hosts.slots)
        ]
        for lane in lanes:
            lane.start()
        watch = _Watch(self._hosts, work, self._losses)
        for lane in lanes:
            while lane.is_alive():
                lane.join(_PROGRESS_SECONDS)
                progress(work.images_done())
                watch.look()
        self._losses.close()
        progress(work.images_done())
        work.check()

    def _decoded(self, shard: Shard) -> None:
        self._images.wait(shard.first + shard.images)

    def _lane(self) -> None:
        """Take shards until there are none."""
        while (shard := self._work.take()) is not None:
            try:
                self._do(shard)
            except Exception as error:
                self._work.end(told(error, f"images {shard.first} and on"))
                return

    def _do(self, shard: Shard) -> None:
        from distributed import KilledWorker
        from distributed.client import FutureCancelledError

        pending = self._send(shard)
        try:
            answer = pending.result()
            self._keep(shard, answer, self._losses.of(pending.wrapped_future.key))
        except NetworkAbsent:
            self._network.send()
            self._work.give_back(shard)
        except FutureCancelledError as error:
            if self._hosts.client.status != "running":
                raise self._hosts.gone() from error
            self._network_lost(shard, self._losses.of(pending.wrapped_future.key))
        except KilledWorker as error:
            raise _shard_to_blame(shard, error.last_worker.address) from error
        except DeviceError as error:
            self._blame(shard, pending, error)
        else:
            self._hosts.succeeded(answer.worker)
            self._work.finished(shard)

    def _network_lost(self, shard: Shard, losses: Sequence[str]) -> None:
        """Give back a shard that Dask gave up with its network, lost with all that had it.

        Dask counts the workers that ended with a shard anew where it is sent again.

        Raises:
            DeviceError: too many did.
        """
        self._ended[shard] += len(losses)
        if self._ended[shard] >= _ENDED_WITH:
            raise _shard_to_blame(shard, losses[-1])
        if losses:
            self._work.failed(shard, *_ended(losses))
        else:
            self._work.give_back(shard)

    def _send(self, shard: Shard) -> Pending:
        from dask import config
        from dask.base import annotate

        order, network = self._order(shard), self._network.future()
        where: dict[str, Any] = {"resources": {self._hosts.family: 1}}
        if others := self._others(shard):
            where.update(workers=others, allow_other_workers=True)
        # A shard is large and belongs to its task alone; Dask warns of data that tasks share.
        large = {"distributed.admin.large-graph-warning-threshold": "1TB"}
        with annotate(**where), config.set(large):
            return self._hosts.submit(order, network)

    def _others(self, shard: Shard) -> list[str]:
        """Return the hosts that a shard is better given to; none where Dask may choose freely."""
        present = self._hosts.present() if self._avoid else []
        good = [
            one
            for one in present
            if one not in self._avoid.get(shard, ()) and not self._hosts.given_up(one)
        ]
        return good if len(good) < len(present) else []

    def _order(self, shard: Shard) -> ShardOrder:
        """Return a shard's pixels, checked.

        Raises:
            StoreError: they have changed on the disk.
        """
        self._images.verify(shard.first, shard.images)
        _, height, width, channels = self._images.shape
        size = height * width * channels
        with self._images.path.open("rb") as stream:
            stream.seek(shard.first * size)
            pixels = stream.read(shard.images * size)
        return ShardOrder(
            engine=self._hosts.engine,
            same=self._hosts.same,
            precision=self._inference.compiled.precision,
            network=self._inference.compiled.key,
            first=shard.first,
            shape=(shard.images, height, width, channels),
            crc32=zlib.crc32(pixels),
            pixels=pixels,
        )

    def _keep(self, shard: Shard, answer: ShardAnswer, lost: Sequence[str]) -> None:
        """Write the shard's Parquet file.

        Raises:
            DeviceError: what came back is damaged, or was computed in another arithmetic.
            StoreError: the file cannot be written.
        """
        expected = self._inference.executed_precision
        if answer.executed_precision != expected:
            raise DeviceError(
                f"executed {self._inference.compiled.precision} as {answer.executed_precision}",
                where=answer.device,
                expected=f"{expected}, as on the flow's host",
                fix="leave that host out",
            )
        try:
            top_index, top_score = read_results(io.BytesIO(answer.results))
        except Exception as error:  # a damaged archive raises whatever it likes
            raise WorkerError(
                f"its results cannot be read: {error}",
                where=answer.device,
                fix="have that host's memory and network checked",
            ) from error
        failures = [*self._work.failures(shard), *_ended(lost)]
        write_shard(
            self._paths[shard],
            precision=self._inference.compiled.precision,
            first_image=shard.first,
            top_index=top_index,
            top_score=top_score,
            facts=ShardFacts(
                shard=shard.index,
                device=self._inference.label(answer.device),
                host=answer.host,
                attempts=len(failures) + 1,
                failures=failures,
                started_utc=datetime.fromtimestamp(answer.started, UTC),
                seconds=answer.seconds,
                images=shard.images,
            ),
        )

    def _blame(self, shard: Shard, pending: Pending, error: DeviceError) -> None:
        """Give a shard that failed on one host to another."""
        future = pending.wrapped_future
        holders = self._hosts.client.who_has([future])[future.key]
        address = holders[0] if holders else ""
        why = error.what.splitlines()[0]
        self._avoid[shard].add(address)
        self._hosts.failed(address, why)
        self._work.failed(shard, f"{self._hosts.name(address)}: {why}")
        self._work.blame(shard, address, error)
        if self._hosts.given_up(address):
            self._work.device_lost(address, error)


class _Watch:
    """Looks now and then whether any host is left."""

    def __init__(self, hosts: Hosts, work: Work, losses: Losses) -> None:
        self._hosts = hosts
        self._work = work
        self._losses = losses
        self._looked = self._seen = time.monotonic()

    def look(self) -> None:
        """Tell the work which hosts there are.

        Raises:
            DeviceError: there has been none for :data:`PATIENCE` seconds.
            MlubenchError: the scheduler is gone.
        """
        now = time.monotonic()
        if now - self._looked < _LOOK_SECONDS:
            return
        self._looked = now
        if present := self._hosts.present():
            self._seen = now
            self._losses.listen()
            good = [one for one in present if not self._hosts.given_up(one)]
            self._work.devices_are(good or present)
        elif now - self._seen > PATIENCE:
            raise none_left(self._hosts)


def _ended(hosts: Sequence[str]) -> list[str]:
    return [f"{host}: {ENDED}" for host in hosts]


def _shard_to_blame(shard: Shard, last: str) -> DeviceError:
    return DeviceError(
        f"every Dask worker that had it ended, the last was {last}",
        where=f"images {shard.first} to {shard.first + shard.images - 1}",
        fix="see the Dask workers' own words; SHARDS=... makes shards smaller",
    )
