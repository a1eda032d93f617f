"""The catalogue of datasets, ``conf/datasets.yaml``."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, model_validator

from mlubench.catalogue.entries import LabelOrderName, read_entries
from mlubench.errors import ConfigError

_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")


class DatasetEntry(BaseModel):
    """Labelled images.

    Paths may hold environment variables, ``${NAME}``, which are looked up when the entry is used.
    A path that begins with one is not relative to the catalogue.

    Attributes:
        description: in a few words.
        form: ``digits``, which are written when first used, or ``images``, which are there.
        label_order: how the label list numbers the classes.
        path: where the images lie: a folder or an archive.
        label_file: the label list; without it, one beside the images is looked for.
        calibration: a folder or an archive of images to calibrate on; without it, some of the
            scored images are held out.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    description: str
    form: Literal["digits", "images"]
    label_order: LabelOrderName
    path: str | None = None
    label_file: str | None = None
    calibration: str | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.form == "images" and self.path is None:
            raise ValueError("form images needs path, where the images lie")
        if self.form == "digits" and (self.path or self.label_file or self.calibration):
            raise ValueError("form digits has no path, label_file or calibration: it is written")
        return self


def datasets(folders: Sequence[Path] = ()) -> dict[str, DatasetEntry]:
    """Return the datasets by name, file names made absolute but for environment variables.

    Args:
        folders: further folders of catalogues (``--conf``).

    Raises:
        ConfigError: a catalogue cannot be read or an entry is wrong; names file and key.
    """
    return {
        name: entry.model_copy(
            update={
                key: _within(folder, getattr(entry, key))
                for key in ("path", "label_file", "calibration")
            }
        )
        for name, (entry, folder) in read_entries("datasets.yaml", DatasetEntry, folders).items()
    }


def expanded(text: str, *, where: str) -> Path:
    """Return a path with its environment variables replaced.

    Raises:
        ConfigError: a variable is not set, or is empty.
    """

    def value(found: re.Match[str]) -> str:
        if not (text := os.environ.get(found[1], "")):
            raise ConfigError(
                f"the environment variable {found[1]} is not set",
                where=where,
                expected="the folder that holds the images",
                fix=f"export {found[1]}=/folder/of/the/images, or name them with --image_dir",
            )
        return text

    return Path(_VARIABLE.sub(value, text))


def _within(folder: Path, text: str | None) -> str | None:
    return text if text is None or text.startswith("${") else str(folder / text)
