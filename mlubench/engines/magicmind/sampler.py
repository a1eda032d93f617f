"""Power and utilisation of cards while something runs on them.

Standard library only, Python 3.7 syntax.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from functools import partial
from typing import Callable, Dict, List, Optional, Sequence

from mlubench.engines.magicmind.cnmon import Card, Readings, read_cards, run_cnmon

#: After as many failures of cnmon in a row sampling ends: a hung driver would gather processes.
_FAILURES = 3


@dataclass(frozen=True)
class CardUse:
    """What a card's samples say; None where the card does not report.

    Attributes:
        samples: how often the card was seen.
        power_mean_w: in watts; the mean of the samples, not of the energy.
        power_max_w: in watts.
        utilisation_mean_percent: 0 to 100.
        utilisation_max_percent: 0 to 100.
    """

    samples: int
    power_mean_w: Optional[float]
    power_max_w: Optional[float]
    utilisation_mean_percent: Optional[float]
    utilisation_max_percent: Optional[float]


class Sampler:
    """Samples cards in a thread of its own, from :meth:`start` to :meth:`stop`.

    Args:
        indices: cnmon's numbers of the cards.
        seconds: between two samples; cnmon's own time comes on top.
        read: returns the cards; it must return soon once the event that it is given is set.
    """

    def __init__(
        self,
        indices: Sequence[int],
        seconds: float = 1.0,
        read: Optional[Callable[[threading.Event], Readings]] = None,
    ) -> None:
        self._seconds = seconds
        self._read = _read if read is None else read
        self._seen: Dict[int, List[Card]] = {index: [] for index in indices}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._sample, name="cnmon", daemon=True)

    def start(self) -> None:
        """Take the first sample, and go on."""
        self._thread.start()

    def stop(self) -> Dict[int, CardUse]:
        """End the thread, a running cnmon with it; return what was seen, by card.

        A card that cnmon never showed is absent, so without cnmon there is nothing.
        """
        self._stop.set()
        self._thread.join()
        return {index: summary(cards) for index, cards in self._seen.items() if cards}

    def _sample(self) -> None:
        failures = 0
        while failures < _FAILURES:
            readings = self._read(self._stop)
            failures = 0 if readings.cards else failures + 1
            for card in readings.cards:
                if card.index in self._seen:
                    self._seen[card.index].append(card)
            if self._stop.wait(self._seconds):
                return


def summary(cards: Sequence[Card]) -> CardUse:
    """Return means and maxima of one card's samples."""
    power = [card.power_w for card in cards if card.power_w is not None]
    busy = [card.utilisation_percent for card in cards if card.utilisation_percent is not None]
    return CardUse(
        samples=len(cards),
        power_mean_w=_mean(power),
        power_max_w=max(power, default=None),
        utilisation_mean_percent=_mean(busy),
        utilisation_max_percent=max(busy, default=None),
    )


def _mean(values: Sequence[float]) -> Optional[float]:
    return sum(values) / len(values) if values else None


def _read(stop: threading.Event) -> Readings:
    return read_cards(partial(run_cnmon, stop))
