"""Types that option models share, and how options look as a form of Prefect's UI."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, TypeAdapter

from mlubench.errors import ConfigError

Positive = Annotated[int, Field(gt=0)]

#: More would be a slip: no host has as many cores for a device, and each takes memory.
Threads = Annotated[int, Field(gt=0, le=256)]

#: A bool that is no mere flag on the command line: the seed writes --dynamic_shape true.
Flag = Annotated[Literal[True, False], BeforeValidator(TypeAdapter(bool).validate_python)]

Count = Annotated[int, Field(ge=0)]


def form(text: str, *first: str) -> Callable[[dict[str, Any]], None]:
    """Return what a model's ``json_schema_extra`` is to be.

    Args:
        text: what stands above the form.
        first: the fields that come first; the others follow in their order.
    """

    def arrange(schema: dict[str, Any]) -> None:
        fields = schema["properties"]
        schema["description"] = text
        schema["properties"] = {name: fields[name] for name in dict.fromkeys([*first, *fields])}

    return arrange


def wrong(what: str, option: str, expected: str) -> ConfigError:
    """Return the error of a wrong option."""
    return ConfigError(what, where=option, expected=expected, fix="see --help and docs/flags.md")
