"""What every campaign is given, and what it gives back."""

from __future__ import annotations

import random
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path


class BrokenPromiseError(AssertionError):
    """A promise that did not hold."""


def must(holds: bool, what: str) -> None:
    """Raise where a promise does not hold."""
    if not holds:
        raise BrokenPromiseError(what)


@dataclass
class Counts:
    """What a campaign did.

    Attributes:
        done: how often, by what was done.
        most: the largest figure seen, by what it is of.
        broken: promises that did not hold, with the trial that shows it.
    """

    done: Counter[str] = field(default_factory=Counter)
    most: dict[str, float] = field(default_factory=dict)
    broken: list[str] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def count(self, what: str, times: int = 1) -> None:
        """Note that something was done."""
        with self._lock:
            self.done[what] += times

    def reach(self, what: str, figure: float) -> None:
        """Note a figure, of which the largest counts."""
        with self._lock:
            self.most[what] = max(figure, self.most.get(what, figure))

    @contextmanager
    def trial(self, name: str) -> Iterator[None]:
        """Note what does not hold within, and go on."""
        try:
            yield
        except Exception as error:
            plain = isinstance(error, AssertionError) and str(error)
            with self._lock:
                self.broken.append(f"{name}: {error if plain else traceback.format_exc()}")


@dataclass(frozen=True)
class Chance:
    """What a campaign may use.

    Attributes:
        seed: of everything that is drawn by lot.
        folder: a folder of its own.
        end: when it should be over, as time.monotonic() has it.
        lanes: how many trials may go on at once.
    """

    seed: int
    folder: Path
    end: float
    lanes: int = 2

    def lot(self, *what: object) -> random.Random:
        """Return random numbers of something's own, whatever else is drawn."""
        return random.Random(f"{self.seed} {what}")

    @property
    def over(self) -> bool:
        """Whether the time is up."""
        return time.monotonic() >= self.end

    def trials(self, counts: Counts, most: int, trial: Callable[[int], None]) -> None:
        """Make trials, numbered from 0, in all lanes until the time is up."""

        def lane(number: int) -> None:
            for place in range(number, most, self.lanes):
                if self.over:
                    return
                with counts.trial(f"trial {place}"):
                    trial(place)

        with ThreadPoolExecutor(self.lanes) as lanes:
            list(lanes.map(lane, range(self.lanes)))
