"""How a network is to be compiled: BuilderConfig."""

from __future__ import annotations

import json
from pathlib import Path

from magicmind.simulation.config_keys import check_archs, flattened, wrong
from magicmind.simulation.ledger import misuse
from magicmind.simulation.status import Status, failure
from magicmind.simulation.strict import Fields, need, sdk_call


class BuilderConfig(Fields):
    """Takes JSON, in as many pieces as one likes; of each key the last value holds.

    What is merged: a piece with ``precision_config.precision_mode`` leaves the other keys of
    ``precision_config`` as they are; ``{"0": ...}`` of ``dim_range`` and its like replaces all.
    """

    _fields = {"mlu_archs": list}

    def __init__(self):
        self._values = {}
        self._used_by = None  # the call that made it final

    def __setattr__(self, name, value):
        if name == "mlu_archs":
            self._unused("BuilderConfig.mlu_archs")
            super().__setattr__(name, value)
            if not all(isinstance(one, str) for one in value):
                raise wrong("mlu_archs", f"{value!r} is no list of chips' names")
            check_archs("mlu_archs", value)
        super().__setattr__(name, value)

    @sdk_call("BuilderConfig.parse_from_string", returns="status")
    def parse_from_string(self, json_text):
        """Merge a piece of JSON."""
        need(json_text, str, "BuilderConfig.parse_from_string", "json_text")
        return self._merge(json_text, "BuilderConfig.parse_from_string")

    @sdk_call("BuilderConfig.parse_from_file", returns="status")
    def parse_from_file(self, path):
        """Merge a file of JSON over what was set before."""
        need(path, str, "BuilderConfig.parse_from_file", "path")
        try:
            text = Path(path).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            return failure(f"{path}: {error}")
        return self._merge(text, "BuilderConfig.parse_from_file")

    def _merge(self, text, call):
        self._unused(call)
        try:
            values = json.loads(text, object_pairs_hook=_without_duplicates)
        except ValueError as error:
            return failure(f"not JSON: {error}")
        if not isinstance(values, dict):
            return failure("the JSON is no object")
        self._values.update(flattened(values))
        return Status()

    def _unused(self, call):
        if self._used_by is not None:
            raise misuse(
                call,
                f"the config was used by {self._used_by} already; it is complete before that",
                "build with other settings than it calibrated with",
            )

    def _freeze(self, call):
        self._used_by = self._used_by or call

    def _get(self, key, default=None):
        return self._values.get(key, default)

    def _precision(self, call):
        """Return the numeric mode; the real default is not documented."""
        mode = self._get("precision_config.precision_mode")
        if mode is None:
            raise misuse(
                call,
                "no precision_config.precision_mode is set",
                "take a default that is not documented",
            )
        return mode

    def _quantised(self, call):
        return self._precision(call).startswith("qint")

    def _chips(self):
        """Return chip -> its numbers of clusters (none: any); empty for all chips."""
        named = {name: [] for name in getattr(self, "mlu_archs", [])}
        listed = {}
        for one in self._get("archs", []):
            listed.update(one if isinstance(one, dict) else {one: []})
        if named and listed and set(named) != set(listed):
            raise wrong("archs", f"{sorted(listed)}, but mlu_archs has {sorted(named)}")
        return listed or named


def _without_duplicates(pairs):
    values = dict(pairs)
    if len(values) < len(pairs):
        names = [name for name, _ in pairs]
        twice = sorted({name for name in names if names.count(name) > 1})
        raise wrong(twice[0], "it stands there twice", "take either")
    return values
