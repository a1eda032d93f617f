"""The flipped images as a page lists them: the most telling ones pictured, others in a table."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mlubench.evaluate.flips import LISTED, PICTURED, Flip, FlipPart

#: Pictures and rows of all lists together: a page of many thousands does not open on a phone.
_PICTURES, _ROWS = 160, 2000


@dataclass(frozen=True)
class FlipGroup:
    """Flips against one thing.

    Attributes:
        against: what the precisions are compared with.
        parts: the lost and the won images, by precision, the lost first.
        thumbnails: JPEGs of some of them, by name.
    """

    against: str
    parts: Sequence[FlipPart]
    thumbnails: Mapping[str, bytes]


@dataclass(frozen=True)
class PicturedFlip:
    """A flip and the address of its picture, which holds all of it."""

    flip: Flip
    source: str


@dataclass(frozen=True)
class FlipList:
    """The lost or the won images of a precision, as listed.

    Attributes:
        precision: which.
        against: what it is compared with.
        won: whether these were won.
        total: how many there are.
        pictured: those with a picture, the most telling first.
        listed: others, without one.
    """

    precision: str
    against: str
    won: bool
    total: int
    pictured: Sequence[PicturedFlip]
    listed: Sequence[Flip]

    @property
    def shown(self) -> int:
        """How many are pictured or listed."""
        return len(self.pictured) + len(self.listed)


def flip_lists(groups: Sequence[FlipGroup]) -> list[FlipList]:
    """Return a list per precision and direction, cut so that the page stays small.

    The precision that lost most comes first, each with the lost images before the won ones.
    """
    parts = [(group, part) for group in groups for part in _most_lost_first(group.parts)]
    pictures = min(PICTURED, max(1, _PICTURES // max(1, len(parts))))
    rows = min(LISTED, max(1, _ROWS // max(1, len(parts))))
    return [_list(group, part, pictures, rows) for group, part in parts]


def _most_lost_first(parts: Sequence[FlipPart]) -> list[FlipPart]:
    lost = {part.precision: part.total for part in parts if not part.won}
    # Sorting keeps the order of equals: by precision, the lost first.
    return sorted(parts, key=lambda part: -lost.get(part.precision, 0))


def _list(group: FlipGroup, part: FlipPart, pictures: int, rows: int) -> FlipList:
    pictured = [flip for flip in part.flips[:pictures] if flip.image in group.thumbnails]
    names = {flip.image for flip in pictured}
    others = [flip for flip in part.flips if flip.image not in names]
    return FlipList(
        precision=part.precision,
        against=group.against,
        won=part.won,
        total=part.total,
        pictured=[PicturedFlip(flip, _source(group.thumbnails[flip.image])) for flip in pictured],
        listed=others[: max(0, rows - len(pictured))],
    )


def _source(jpeg: bytes) -> str:
    return f"data:image/jpeg;base64,{base64.b64encode(jpeg).decode('ascii')}"
