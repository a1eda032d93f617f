"""The catalogue of datasets, ``conf/datasets.yaml``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

from mlubench.catalogue.entries import LabelOrderName, read_entries


class DatasetEntry(BaseModel):
    """Labelled images."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    description: str
    form: Literal["digits"]
    label_order: LabelOrderName


def datasets(folders: Sequence[Path] = ()) -> dict[str, DatasetEntry]:
    """Return the datasets by name.

    Args:
        folders: further folders of catalogues (``--conf``).

    Raises:
        ConfigError: a catalogue cannot be read or an entry is wrong; names file and key.
    """
    found = read_entries("datasets.yaml", DatasetEntry, folders)
    return {name: entry for name, (entry, _) in found.items()}
