"""Reading catalogues: YAML files of entries by name, checked with pydantic."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Literal, TypeVar

from pydantic import BaseModel, BeforeValidator, Field, TypeAdapter, ValidationError

from mlubench.catalogue.yaml_file import read_yaml
from mlubench.conf import CONF
from mlubench.errors import ConfigError
from mlubench.validation import fault_lines

#: YAML reads an unquoted 2012 as a number.
LabelOrderName = Annotated[Literal["2012", "2015", "digits"], BeforeValidator(str)]
Resize = Literal["short", "exact", "none"]
Channels = Annotated[tuple[float, ...], Field(min_length=3, max_length=3)]
Variances = Annotated[tuple[Annotated[float, Field(gt=0)], ...], Field(min_length=3, max_length=3)]

Entry = TypeVar("Entry", bound=BaseModel)
_CATALOGUES = ("models.yaml", "datasets.yaml", "engines.yaml")
#: Where a catalogue's keys are told.
_MEANING = "docs/networks.md and docs/data.md say"
_MEANINGS = {"engines.yaml": "conf/engines.yaml says"}
_ANY_CATALOGUE = f"{', '.join(_CATALOGUES[:-1])} or {_CATALOGUES[-1]}"
_SUITES = "suites"


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
        _check_folder(folder)
        if (folder / file_name).exists():
            more = _read(folder / file_name, entry)
            entries |= {name: (found, folder) for name, found in more.items()}
    return entries


def _check_folder(folder: Path) -> None:
    """A folder of catalogues has one at least: a wrong folder would be passed over in silence."""
    if not any((folder / name).exists() for name in (*_CATALOGUES, _SUITES)):
        raise ConfigError(
            f"there is no {_ANY_CATALOGUE} in it" if folder.is_dir() else "is no folder",
            where=f"--conf {folder}",
            expected=f"a folder with a {_ANY_CATALOGUE}",
            fix="see conf/ in the project for their form",
        )


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
        return TypeAdapter(dict[str, entry]).validate_python(  # type: ignore[valid-type]
            read_yaml(path)
        )
    except ValidationError as error:
        faults = fault_lines(error)
        raise ConfigError(
            faults[0]
            if len(faults) == 1
            else "\n    ".join([f"has {len(faults)} faults", *faults]),
            where=str(path),
            fix=f"{_MEANINGS.get(path.name, _MEANING)} what each key means",
        ) from error
