"""Reading catalogues: YAML files of entries by name, checked with pydantic."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Literal, TypeVar

import yaml
from pydantic import BaseModel, BeforeValidator, Field, TypeAdapter, ValidationError

from mlubench.conf import CONF
from mlubench.errors import ConfigError

#: YAML reads an unquoted 2012 as a number.
LabelOrderName = Annotated[Literal["2012", "2015", "digits"], BeforeValidator(str)]
Resize = Literal["short", "exact", "none"]
Channels = Annotated[tuple[float, ...], Field(min_length=3, max_length=3)]
Variances = Annotated[tuple[Annotated[float, Field(gt=0)], ...], Field(min_length=3, max_length=3)]

Entry = TypeVar("Entry", bound=BaseModel)


def read_entries(
    file_name: str, entry: type[Entry], folders: Sequence[Path]
) -> dict[str, tuple[Entry, Path]]:
    """Return the entries of a catalogue by name, each with the folder that it is from.

    Args:
        file_name: the catalogue's file, such as ``models.yaml``.
        entry: the class of its entries.
        folders: further folders (``--conf``) beside the project's own; each may have such a
            file, and its entries replace those of the same name.

    Raises:
        ConfigError: a catalogue cannot be read or an entry is wrong; names file and key.
    """
    entries = {name: (found, CONF) for name, found in _read(CONF / file_name, entry).items()}
    for folder in folders:
        if not folder.is_dir():
            raise ConfigError(
                "is no folder",
                where=f"--conf {folder}",
                expected="a folder with a models.yaml or datasets.yaml",
                fix="see conf/ in the project for their form",
            )
        if (folder / file_name).exists():
            more = _read(folder / file_name, entry)
            entries |= {name: (found, folder) for name, found in more.items()}
    return entries


def entry_named(entries: Mapping[str, Entry], name: str, option: str) -> Entry:
    """Return an entry of a catalogue.

    Raises:
        ConfigError: there is no such name.
    """
    try:
        return entries[name]
    except KeyError:
        raise ConfigError(
            f"there is no {name!r} in the catalogue",
            where=option,
            expected="one of " + ", ".join(sorted(entries)),
            fix="name one of these, or give the files themselves (see mlubench eval --help)",
        ) from None


def _read(path: Path, entry: type[Entry]) -> dict[str, Entry]:
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
        return TypeAdapter(dict[str, entry]).validate_python(data)  # type: ignore[valid-type]
    except OSError as error:
        raise ConfigError(
            f"cannot be read: {error.strerror}", where=str(path), fix="restore the file"
        ) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"is not YAML: {error}", where=str(path)) from error
    except ValidationError as error:
        first = error.errors()[0]
        raise ConfigError(
            f"{first['msg']} (got {first['input']!r})",
            where=f"{path}: {'.'.join(map(str, first['loc']))}",
            fix="the head of the file says what each key means",
        ) from error
