"""Which flipped images a page pictures, which it lists, and in what order."""

from __future__ import annotations

import base64
from dataclasses import replace

from mlubench.evaluate.flips import PICTURED, Flip, parts_of
from mlubench.report.flip_lists import FlipGroup, flip_lists

LOST = Flip("int8", False, "a.JPEG", "n0", 0, 0, 0.9, 1, 0.8)


def _flips(count: int, precision: str = "int8", won: bool = False) -> list[Flip]:
    return [
        replace(LOST, precision=precision, won=won, image=f"{precision}{won}{number:05d}.JPEG")
        for number in range(count)
    ]


def _thumbnails(flips: list[Flip]) -> dict[str, bytes]:
    return {flip.image: flip.image.encode() for flip in flips}


def test_every_flip_is_pictured_or_listed_once() -> None:
    flips = _flips(60)
    (found,) = flip_lists([FlipGroup("float32", parts_of(flips), _thumbnails(flips))])
    assert (len(found.pictured), len(found.listed), found.total) == (PICTURED, 20, 60)
    names = [one.flip.image for one in found.pictured] + [one.image for one in found.listed]
    assert names == [flip.image for flip in flips]
    kind, data = found.pictured[0].source.split(",")
    assert kind == "data:image/jpeg;base64"
    assert base64.b64decode(data) == flips[0].image.encode()


def test_without_pictures_all_are_listed() -> None:
    (found,) = flip_lists([FlipGroup("float32", parts_of(_flips(3)), {})])
    assert (len(found.pictured), len(found.listed)) == (0, 3)


def test_very_many_are_cut_and_counted() -> None:
    groups = [
        FlipGroup("float32", parts_of(flips := _flips(3000, f"p{number}", won)), _thumbnails(flips))
        for number in range(5)
        for won in (False, True)
    ]
    lists = flip_lists(groups)
    assert len(lists) == 10
    assert sum(len(one.pictured) for one in lists) <= 160
    assert sum(one.shown for one in lists) <= 2000
    assert {one.total for one in lists} == {3000}


def test_the_precision_that_lost_most_comes_first() -> None:
    flips = [*_flips(2, "a"), *_flips(9, "a", won=True), *_flips(3, "b"), *_flips(1, "c", won=True)]
    lists = flip_lists([FlipGroup("float32", parts_of(flips), {})])
    order = [(one.precision, one.won) for one in lists]
    assert order == [("b", False), ("a", False), ("a", True), ("c", True)]


def test_nothing_flipped() -> None:
    assert flip_lists([FlipGroup("float32", [], {})]) == []
