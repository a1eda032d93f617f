"""Where each engine's workers run, ``conf/engines.yaml``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from mlubench.catalogue.entries import read_entries

_Seconds = Annotated[float, Field(gt=0)]


class Silence(BaseModel):
    """How long a worker may give no sign of life before it counts as hung, in seconds.

    Attributes:
        build: while it compiles a network, calibration included.
        load: while it loads one.
        run: while it infers a shard or measures; each batch is a sign of life.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    build: _Seconds = 3600.0
    load: _Seconds = 900.0
    run: _Seconds = 300.0


class EngineEntry(BaseModel):
    """Where the workers of an engine run.

    Attributes:
        python: the interpreter that has the engine's SDK, 3.7 or later, with NumPy; without it,
            the one that runs mlubench. A name without a slash is looked for on PATH.
        environment: variables that the SDK needs there, beside those of mlubench itself.
        silence: see :class:`Silence`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    python: str | None = None
    environment: dict[str, str] = {}
    silence: Silence = Silence()


def engines(folders: Sequence[Path] = ()) -> dict[str, EngineEntry]:
    """Return the engines' entries by name, an interpreter's relative path made absolute.

    Args:
        folders: further folders of catalogues (``--conf``).

    Raises:
        ConfigError: a catalogue cannot be read or an entry is wrong; names file and key.
    """
    return {
        name: entry.model_copy(update={"python": _within(folder, entry.python)})
        for name, (entry, folder) in read_entries("engines.yaml", EngineEntry, folders).items()
    }


def _within(folder: Path, python: str | None) -> str | None:
    if python is None or "/" not in python:
        return python
    return str(folder.resolve() / python)
