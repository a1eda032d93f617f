"""What is simulated: read from the JSON file that MAGICMIND_SIMULATION names.

``{"cards": 4, "name": "MLU370-S4", "clusters": 6, "memory_mb": 24576, "state": "<folder>",
"faults": [...]}``; every key may be left out. Without the variable there is one card.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

VARIABLE = "MAGICMIND_SIMULATION"
VISIBLE = "MLU_VISIBLE_DEVICES"

_DEFAULTS = {
    "cards": 1,
    "name": "MLU370-S4",
    "clusters": 6,
    "memory_mb": 24576,
    "state": None,
    "faults": (),
}
#: Products' numbers and what MagicMind calls their chips.
_ARCHS = {"370": "mtp_372", "365": "mtp_372", "590": "mtp_592", "290": "mtp_290", "270": "mtp_270"}


class SettingsError(ValueError):
    """The simulation's settings are wrong."""


class Settings:
    """The settings of this process.

    Attributes:
        cards: how many there are.
        name: the product, of all of them.
        arch: what MagicMind calls its chip.
        clusters: of a card.
        memory_bytes: of a card.
        state: the folder of counters, lost cards and violations, or None.
        faults: as they stand in the file.
        visible: the numbers of the cards that this process sees, in its order.
    """

    def __init__(self, values, visible):
        unknown = set(values) - set(_DEFAULTS)
        if unknown:
            raise SettingsError(f"{VARIABLE}: unknown keys {sorted(unknown)}")
        values = dict(_DEFAULTS, **values)
        self.cards = int(values["cards"])
        self.name = str(values["name"])
        self.clusters = int(values["clusters"])
        self.memory_bytes = int(values["memory_mb"] * (1 << 20))
        self.state = None if values["state"] is None else Path(values["state"])
        self.faults = list(values["faults"])
        self.visible = _visible(visible, self.cards)
        numbers = [arch for number, arch in _ARCHS.items() if "MLU" + number in self.name]
        if len(numbers) != 1:
            raise SettingsError(f"{VARIABLE}: no card is named {self.name!r}")
        self.arch = numbers[0]
        if self.state is not None:
            self.state.mkdir(parents=True, exist_ok=True)


def _visible(text, cards):
    if text is None:
        return list(range(cards))
    numbers = [int(word) for word in text.split(",") if word.strip()]
    if len(set(numbers)) < len(numbers) or not set(numbers) <= set(range(cards)):
        raise SettingsError(f"{VISIBLE}={text!r}: there are {cards} simulated cards")
    return numbers


def read_settings():
    """Return the settings that the environment names."""
    path = os.environ.get(VARIABLE)
    values = json.loads(Path(path).read_text(encoding="utf-8")) if path else {}
    return Settings(values, os.environ.get(VISIBLE))
