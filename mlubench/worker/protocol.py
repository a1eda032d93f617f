"""What flow and worker say to each other: one JSON object a line.

A request has a field ``do`` (``count``, ``check``, ``build``, ``load``, ``run``; to measure,
``prepare``, ``configure``, ``warm_up``, ``measure``, ``serve``, ``scenario``, ``layers``, ``dump``,
``forget``: see :class:`mlubench.worker.measure.bench.Bench`; ``noise``: see
:mod:`mlubench.worker.noise`); an answer ``event``:

    ready      once, after the start: ``engine`` (Engine.describe()), ``device`` (its description)
    progress   while a request runs: ``done`` images of the shard
    done       the request is finished; further fields are its result
    failed     the request failed: the error's ``kind``, ``what``, ``where``, ``expected``, ``fix``

Nothing large is ever said: images are read from the decoded cache, results go to files.
"""

from __future__ import annotations

import json
from typing import Any, Dict, Mapping

from mlubench import errors
from mlubench.errors import EngineError, MlubenchError


def to_line(message: Mapping[str, Any]) -> bytes:
    """Return a message as one line of JSON."""
    return json.dumps(message, sort_keys=True).encode("ascii") + b"\n"


def from_line(line: bytes) -> Dict[str, Any]:
    """Return the message of a line.

    Raises:
        ValueError: it is not a JSON object.
    """
    message = json.loads(line)
    if not isinstance(message, dict):
        raise ValueError("not a JSON object")  # noqa: TRY004  # as json.loads says it
    return message


def failure(error: BaseException) -> Dict[str, Any]:
    """Return an exception as a ``failed`` message; an unexpected one is an engine's failure."""
    if not isinstance(error, MlubenchError):
        error = EngineError(f"{type(error).__name__}: {error}", where="worker")
    return {
        "event": "failed",
        "kind": type(error).__name__,
        "what": error.what,
        "where": error.where,
        "expected": error.expected,
        "fix": error.fix,
    }


def raised(message: Mapping[str, Any]) -> MlubenchError:
    """Return the exception that a ``failed`` message speaks of."""
    kind = getattr(errors, str(message["kind"]), EngineError)
    error: MlubenchError = kind(
        message["what"],
        where=message["where"],
        expected=message["expected"],
        fix=message["fix"],
    )
    return error
