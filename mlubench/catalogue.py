"""The catalogues: networks and datasets by name, as ``conf/models.yaml`` and ``datasets.yaml``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, TypeVar

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, TypeAdapter, ValidationError

from mlubench.conf import CONF
from mlubench.errors import ConfigError

Resize = Literal["short", "exact", "none"]
#: YAML reads an unquoted 2012 as a number.
LabelOrderName = Annotated[Literal["2012", "2015", "digits"], BeforeValidator(str)]
Channels = Annotated[tuple[float, ...], Field(min_length=3, max_length=3)]
Variances = Annotated[tuple[Annotated[float, Field(gt=0)], ...], Field(min_length=3, max_length=3)]

_Entry = TypeVar("_Entry", bound=BaseModel)


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


class DatasetEntry(BaseModel):
    """Labelled images."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    description: str
    form: Literal["digits"]
    label_order: LabelOrderName


def models(conf: Path = CONF) -> dict[str, ModelEntry]:
    """Return the catalogue of networks by name, file names made absolute.

    Raises:
        ConfigError: the catalogue cannot be read or an entry is wrong; names the key.
    """
    entries = _read(conf / "models.yaml", ModelEntry)
    return {
        name: entry.model_copy(
            update={"prototxt": conf / entry.prototxt, "caffemodel": conf / entry.caffemodel}
        )
        for name, entry in entries.items()
    }


def datasets(conf: Path = CONF) -> dict[str, DatasetEntry]:
    """Return the catalogue of datasets by name.

    Raises:
        ConfigError: the catalogue cannot be read or an entry is wrong; names the key.
    """
    return _read(conf / "datasets.yaml", DatasetEntry)


def entry_named(entries: Mapping[str, _Entry], name: str, option: str) -> _Entry:
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


def _read(path: Path, entry: type[_Entry]) -> dict[str, _Entry]:
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
