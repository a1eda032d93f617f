"""The one exception of decoding."""

from __future__ import annotations

from typing import Literal

#: Why an image cannot be scored. ``unsupported form`` is an image of a kind that cannot be
#: checked for completeness, or that OpenCV cannot decode. ``unreadable`` is none that this user
#: may read, or no file at all.
DamageKind = Literal[
    "empty",
    "not an image",
    "truncated",
    "damaged data",
    "too large",
    "unsupported form",
    "unreadable",
]


class DamagedImage(ValueError):  # noqa: N818  # the image is damaged; the program is not
    """An image that must not be scored. It is an outcome to be recorded, not a user's error.

    Args:
        kind: one of the few kinds that are counted.
        detail: what exactly was found.
    """

    def __init__(self, kind: DamageKind, detail: str) -> None:
        super().__init__(kind, detail)
        self.kind: DamageKind = kind
        self.detail = detail

    def __str__(self) -> str:
        return f"{self.kind}: {self.detail}"
