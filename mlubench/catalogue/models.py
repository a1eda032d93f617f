"""The catalogue of networks, ``conf/models.yaml``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from mlubench.catalogue.entries import Channels, LabelOrderName, Resize, Variances, read_entries


class ModelEntry(BaseModel):
    """A network: its files and the preprocessing that it was trained for."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    description: str
    prototxt: Path
    caffemodel: Path
    input_size: Annotated[int, Field(gt=0)]
    means: Channels
    vars: Variances
    resize: Resize
    resize_size: Annotated[int, Field(gt=0)]
    label_order: LabelOrderName


def models(folders: Sequence[Path] = ()) -> dict[str, ModelEntry]:
    """Return the networks by name, file names made absolute.

    Args:
        folders: further folders of catalogues (``--conf``).

    Raises:
        ConfigError: a catalogue cannot be read or an entry is wrong; names file and key.
    """
    return {
        name: entry.model_copy(
            update={"prototxt": folder / entry.prototxt, "caffemodel": folder / entry.caffemodel}
        )
        for name, (entry, folder) in read_entries("models.yaml", ModelEntry, folders).items()
    }
