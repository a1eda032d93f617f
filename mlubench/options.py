"""How options look as a form, which Prefect's UI makes of their JSON schema."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


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
