"""The shards of a run that are still to be done, and which of them can be begun."""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence

from mlubench.devices.shards import Shard
from mlubench.errors import DeviceError, MlubenchError

#: A shard that failed on so many devices, or so often on all that are left, ends the run.
ATTEMPTS = 3


class Work:
    """The shards that are still to be done, shared by the devices' threads.

    Args:
        shards: all of them.
        devices: the names of those that will do them.
        arrived: whether they can be begun at once; else :meth:`arrive` says when.
    """

    def __init__(
        self, shards: Sequence[Shard], devices: Iterable[str], *, arrived: bool = True
    ) -> None:
        self._waiting = deque(shards if arrived else ())
        self._coming = deque(() if arrived else shards)
        self._in_flight = 0
        self._failures: dict[int, list[str]] = {shard.index: [] for shard in shards}
        self._blamed: dict[int, Counter[str]] = {shard.index: Counter() for shard in shards}
        self._done = {shard.index: 0 for shard in shards}
        self._devices = set(devices)
        self._error: MlubenchError | None = None
        self._ended = False
        self._changed = threading.Condition()

    def take(self) -> Shard | None:
        """Return a shard, once there is one; None when nothing is left to do."""
        with self._changed:
            while not self._waiting and (self._in_flight or self._coming) and self._error is None:
                self._changed.wait()
            return self._next()

    def take_ahead(self) -> Shard | None:
        """Return a shard for a device that is still busy, unless others would go without."""
        with self._changed:
            return self._next() if len(self._waiting) >= len(self._devices) else None

    def _next(self) -> Shard | None:
        if not self._waiting or self._error is not None:
            return None
        self._in_flight += 1
        return self._waiting.popleft()

    def arrive(self, arrival: Callable[[Shard], None]) -> None:
        """Let each shard be taken once it can be begun; one that never can ends the run."""
        for shard in list(self._coming):
            try:
                arrival(shard)
            except Exception as error:
                self.end(told(error, f"images {shard.first} to {shard.first + shard.images - 1}"))
                return
            with self._changed:
                self._waiting.append(self._coming.popleft())
                self._changed.notify_all()

    def failures(self, shard: Shard) -> list[str]:
        """Return how the attempts at a shard failed, in the order in which they did."""
        return list(self._failures[shard.index])

    def give_back(self, shard: Shard) -> None:
        """Put back a shard that was taken and not begun."""
        with self._changed:
            self._in_flight -= 1
            self._waiting.append(shard)
            self._changed.notify_all()

    def reached(self, shard: Shard, images: int) -> None:
        """Note how many images of a shard are done."""
        self._done[shard.index] = images

    def images_done(self) -> int:
        """Return how many images are done, of finished shards and of those in flight."""
        return sum(self._done.values())

    def finished(self, shard: Shard) -> None:
        """Note that a taken shard is done."""
        self.reached(shard, shard.images)
        with self._changed:
            self._in_flight -= 1
            self._changed.notify_all()

    def failed(self, shard: Shard, *how: str) -> None:
        """Put back a shard whose attempts failed, each in its way."""
        self.reached(shard, 0)
        self._failures[shard.index].extend(how)
        self.give_back(shard)

    def blame(self, shard: Shard, device: str, error: DeviceError) -> None:
        """Note that a device is well though an attempt at a shard failed on it.

        Another attempt helps no more where so many devices failed, or all that are left did.
        """
        with self._changed:
            blamed = self._blamed[shard.index]
            blamed[device] += 1
            hopeless = blamed.total() >= ATTEMPTS and self._devices <= blamed.keys()
            if (hopeless or len(blamed) >= ATTEMPTS) and self._error is None:
                self._error = error
            self._changed.notify_all()

    def end(self, error: MlubenchError) -> None:
        """End the run: what happened would happen again."""
        with self._changed:
            self._error = self._error or error
            self._ended = True
            self._changed.notify_all()

    def device_lost(self, device: str, error: MlubenchError) -> None:
        """Note that a device takes no more shards."""
        with self._changed:
            self._devices.discard(device)
            if not self._devices and self._error is None:
                self._error = error
            self._changed.notify_all()

    def devices_are(self, devices: Iterable[str]) -> None:
        """Note which devices there are now, where they come and go."""
        with self._changed:
            self._devices = set(devices)

    def check(self) -> None:
        """Raise what ended the run before its end."""
        if self._error is not None and (self._waiting or self._coming or self._ended):
            raise self._error


def told(error: Exception, where: str) -> MlubenchError:
    """Return an error that ends the run well told, whatever it was."""
    if isinstance(error, MlubenchError):
        return error
    told = MlubenchError(f"{type(error).__name__}: {error}", where=where)
    told.__cause__ = error
    return told
