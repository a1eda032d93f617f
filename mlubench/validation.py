"""What pydantic finds wrong, in this project's words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

_PREFIX = "Value error, "
#: Characters that are told of what was given.
_TOLD = 200


def fault_text(fault: Mapping[str, Any]) -> str:
    """Return one fault of ``ValidationError.errors()``: what is wrong, and what was given.

    What was given is left out where it is no single value: a whole entry says nothing.
    """
    what = str(fault["msg"]).removeprefix(_PREFIX)
    given = fault["input"]
    return what if isinstance(given, Mapping) else f"{what} (got {_shown(given)})"


def _shown(given: object) -> str:
    """Return what was given, cut where it is long."""
    try:
        text = repr(given)
    except ValueError:  # Python shows no number of more than 4300 digits
        return "a number of thousands of digits"
    return text if len(text) <= _TOLD else f"{text[:_TOLD]}..."


def fault_lines(error: ValidationError) -> list[str]:
    """Return every fault, each after the key that it is at, in the order of the keys."""
    return [
        f"{'.'.join(map(str, fault['loc'])) or 'the file'}: {fault_text(fault)}"
        for fault in error.errors(include_url=False)
    ]
