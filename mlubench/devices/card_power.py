"""Power and utilisation of the cards while a precision is inferred, where they report them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress

from mlubench.devices.engine_host import EngineHost
from mlubench.engines.magicmind.cnmon import read_cards, visible
from mlubench.engines.magicmind.sampler import CardUse, Sampler
from mlubench.engines.traits import traits
from mlubench.errors import ConfigError

#: Seconds between two samples.
_EVERY = 1.0


@contextmanager
def sampled(engine: EngineHost, names: Sequence[str]) -> Iterator[Mapping[str, CardUse]]:
    """Give a mapping that has the use of each device, by name, once the block is left.

    It stays empty on an engine without cards and where cnmon is absent.

    Args:
        engine: the engine and where its workers run, which says which cards they see.
        names: the devices, such as ``mlu:0``.
    """
    use: dict[str, CardUse] = {}
    has_cards = traits(engine.name).family == "mlu"
    cards = _card_numbers(names, engine.variables()) if has_cards else {}
    if not cards:
        yield use
        return
    sampler = Sampler(sorted(cards), _EVERY)
    sampler.start()
    try:
        yield use
    finally:
        use.update({cards[index]: one for index, one in sampler.stop().items()})


def _card_numbers(names: Sequence[str], environment: Mapping[str, str]) -> dict[int, str]:
    """Return the devices' names by cnmon's numbers; MLU_VISIBLE_DEVICES renumbers the SDK's."""
    indices = [card.index for card in read_cards().cards]
    numbers: list[int] = []
    with suppress(ConfigError):  # the engine has its own word on a wrong variable
        numbers = visible(indices, environment) if indices else []
    places = {name: re.fullmatch(r"mlu:([0-9]+)", name) for name in names}
    wanted = {name: int(place[1]) for name, place in places.items() if place}
    return {numbers[place]: name for name, place in wanted.items() if place < len(numbers)}
