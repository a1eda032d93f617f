"""JSON that tells of any change to it, to the bit: it holds the SHA-256 of all the rest."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from mlubench.store import canonical_json

#: The key of an object's own digest.
_SEAL = "sealed"


def sealed_json(value: Mapping[str, Any]) -> bytes:
    """Return an object as JSON that tells of any change to it; :func:`open_sealed` reads it."""
    return canonical_json({**value, _SEAL: hashlib.sha256(canonical_json(value)).hexdigest()})


def open_sealed(data: bytes) -> dict[str, Any]:
    """Return the object that :func:`sealed_json` wrote.

    Raises:
        ValueError: it is not that, to the byte.
    """
    try:
        value = json.loads(data)
    except RecursionError as error:
        raise ValueError("it has too many levels") from error
    if not isinstance(value, dict):
        raise ValueError("it is no JSON object")  # noqa: TRY004  # as json.loads says it
    value.pop(_SEAL, None)
    if sealed_json(value) != data:
        raise ValueError("it has changed since it was written")
    return value
