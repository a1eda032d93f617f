"""Which flipped images a page pictures, which it lists, and in what order."""

from __future__ import annotations

import base64
from dataclasses import replace

from mlubench.reports.flip_lists import FlipGroup, flip_lists
from mlubench.reports.flips import PICTURED, Flip, by_direction, pictured

LOST = Flip("int8", False, "a.JPEG", "n0", 0, 0, 0.9, 1, 0.8)


def _flips(count: int, precision: str = "int8", won: bool = False) -> list[Flip]:
    return [
        replace(LOST, precision=precision, won=won, image=f"{precision}{won}{number:05d}.JPEG")
        for number in range(count)
    ]


def _thumbnails(flips: list[Flip]) -> dict[str, bytes]:
    return {flip.image: flip.image.encode() for flip in flips}


def test_where_both_answers_are_sure_comes_first() -> None:
    scores = {"b": (0.9, 0.2), "c": (0.5, 0.6), "d": (0.99, 0.98), "e": (0.2, 0.9)}
    flips = [
        replace(LOST, image=name, reference_score=was, score=now)
        for name, (was, now) in scores.items()
    ]
    (part,) = by_direction(flips)
    assert [flip.image for flip in part] == ["d", "c", "b", "e"]


def test_so_many_of_each_direction_are_pictured_at_most() -> None:
    flips = _flips(PICTURED + 5) + _flips(3, won=True) + _flips(PICTURED + 1, "float16")
    chosen = pictured(flips)
    counts = {(flip.precision, flip.won): 0 for flip in flips}
    for flip in chosen:
        counts[flip.precision, flip.won] += 1
    assert list(counts.values()) == [PICTURED, 3, PICTURED]


def test_every_flip_is_pictured_or_listed_once() -> None:
    flips = _flips(60)
    (found,) = flip_lists([FlipGroup("float32", flips, _thumbnails(flips))])
    assert (len(found.pictured), len(found.listed), found.total) == (PICTURED, 20, 60)
    names = [one.flip.image for one in found.pictured] + [one.image for one in found.listed]
    assert names == [flip.image for flip in flips]
    kind, data = found.pictured[0].source.split(",")
    assert kind == "data:image/jpeg;base64"
    assert base64.b64decode(data) == flips[0].image.encode()


def test_without_pictures_all_are_listed() -> None:
    (found,) = flip_lists([FlipGroup("float32", _flips(3), {})])
    assert (len(found.pictured), len(found.listed)) == (0, 3)


def test_very_many_are_cut_and_counted() -> None:
    groups = [
        FlipGroup("float32", flips := _flips(3000, f"p{number}", won), _thumbnails(flips))
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
    lists = flip_lists([FlipGroup("float32", flips, {})])
    order = [(one.precision, one.won) for one in lists]
    assert order == [("b", False), ("a", False), ("a", True), ("c", True)]


def test_nothing_flipped() -> None:
    assert flip_lists([FlipGroup("float32", [], {})]) == []
