"""How many threads decode: enough that no device waits, and no more."""

from __future__ import annotations

import math


class Pace:
    """Weighs the rate of decoding against the rate of inference, both measured as they go.

    Whoever is slower is the bottleneck, and gets the cores. While few decoded images wait to be
    inferred, that is decoding: all cores decode. While many wait, it is inference, and what
    decoders take of the host's cores is taken from those that feed the devices (or, on a CPU,
    are the devices): then only so many decode as keep up with it.

    Args:
        cores: that may decode.
    """

    #: As many requests of decoded images must wait before any core is taken from decoding:
    #: one that a device gets next, and one in case that it comes sooner than the last.
    _RESERVE = 2

    def __init__(self, cores: int) -> None:
        self._cores = cores
        self._decoded = 0
        self._busy = 0.0
        self._first: tuple[float, int] | None = None  # when a device asked first, and up to where
        self._used = 0
        self._largest = 0

    def decoded(self, images: int, seconds: float) -> None:
        """Note that one thread has decoded so many images in so many seconds."""
        self._decoded += images
        self._busy += seconds

    def used(self, first: int, images: int, now: float) -> None:
        """Note that a device infers consecutive images now.

        Args:
            first: the first one's image_index.
            images: how many.
            now: seconds of any clock.
        """
        self._used = max(self._used, first + images)
        self._largest = max(self._largest, images)
        if self._first is None:
            self._first = now, self._used

    def decoders(self, ready: int, now: float) -> int:
        """Return how many threads decode, at least 1.

        Args:
            ready: the images before this one are decoded.
            now: seconds of the same clock.
        """
        if self._first is None or ready - self._used < self._RESERVE * self._largest:
            return self._cores
        began, before = self._first
        if now <= began or not self._busy:
            return self._cores
        inferred_per_second = (self._used - before) / (now - began)
        decoded_per_second = self._decoded / self._busy  # by one thread
        return min(self._cores, max(1, math.ceil(inferred_per_second / decoded_per_second)))
