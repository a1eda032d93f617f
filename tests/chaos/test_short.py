"""A short part of every campaign; ``make chaos`` is the whole."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings

from tests.chaos import disk, downloads, flips, kills, once, points, soak
from tests.chaos.campaign import Chance, Counts
from tests.chaos.evaluating import VICTIM, Place
from tests.support.long import long

#: So many bits of each file are flipped; all of them by make chaos.
_BITS = 150
#: The longest networks have so many layers, dimensions and so on; ten times as many by make chaos.
_MANY = 10_000


@pytest.mark.parametrize("kept", flips.KEPT)
def test_a_flipped_bit_is_noticed(kept: str, tmp_path: Path) -> None:
    files, noticed = flips.KEPT[kept](tmp_path)
    assert files
    for file in files:
        bits = list(range(8 * file.stat().st_size))
        some = random.Random(0).sample(bits, min(_BITS, len(bits)))
        assert flips.unnoticed(file, noticed, some) == [], file.name


def test_every_kind_of_bad_image_is_scored_or_told(tmp_path: Path) -> None:
    from tests.chaos import images

    assert images.kinds() >= 30
    images.every_kind(tmp_path, random.Random(0), Counts())
    images.disturb_many(tmp_path / "disturbed", random.Random(0), Counts())


def test_networks_that_are_wrong_by_hand(tmp_path: Path) -> None:
    from tests.chaos import networks

    counts = Counts()
    networks.check_by_hand(tmp_path, counts, many=_MANY)
    assert sum(counts.done.values()) >= 200


@long
def test_documents_that_are_wrong_by_hand(tmp_path: Path) -> None:
    from tests.chaos import documents

    documents.check_by_hand(tmp_path, Counts())


@pytest.mark.parametrize("habit", downloads.ANSWERS)
def test_bad_downloads(habit: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    downloads.attempt(tmp_path / "models", [habit])


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(once.cases())
def test_every_image_is_scored_or_told_exactly_once(case: once.Case) -> None:
    with once.scratch() as folder:
        once.check(case, Path(folder))


@pytest.fixture(scope="module")
def chance(tmp_path_factory: pytest.TempPathFactory) -> Chance:
    return Chance(seed=0, folder=tmp_path_factory.mktemp("chaos"), end=0)


@pytest.fixture(scope="module")
def plain_whole(chance: Chance) -> Iterator[kills.Undisturbed]:
    """A run whose flow ran without Prefect."""
    with kills.undisturbed(chance.folder / "plain", "", "force_float16") as whole:
        yield whole


@pytest.fixture(scope="module")
def whole(chance: Chance, prefect_server: str) -> Iterator[kills.Undisturbed]:
    with kills.undisturbed(chance.folder, prefect_server, "force_float16") as whole:
        yield whole


def test_all_killed_while_images_are_inferred(
    chance: Chance, plain_whole: kills.Undisturbed
) -> None:
    _kill_all(Place(chance.folder / "infer", plain_whole.place.options, VICTIM), plain_whole)


@long
def test_all_killed_while_prefect_sees_it(chance: Chance, whole: kills.Undisturbed) -> None:
    _kill_all(Place(chance.folder / "seen", whole.place.options), whole)


def _kill_all(place: Place, whole: kills.Undisturbed) -> None:
    place.more = whole.server
    kills.warm(whole.place, place)
    counts = Counts()
    kills.kill(place, whole, "infer", "all", random.Random(0), counts, again=False)
    assert counts.done["kills"] == 1


@long
def test_killed_between_a_run_and_its_history(chance: Chance, whole: kills.Undisturbed) -> None:
    counts = Counts()
    step = "1 os.rename history/accuracy/RUN.new"
    points.kill_before(step, chance, whole, counts)
    assert counts.done["kills"] == 1


@pytest.mark.parametrize("length", [300, 5000])
def test_a_path_that_is_too_long(
    chance: Chance, plain_whole: kills.Undisturbed, length: int
) -> None:
    counts = Counts()
    disk.too_long(length)(chance, counts, plain_whole)
    assert counts.done["paths that are too long"] == 1


def test_what_grows_is_told() -> None:
    flat = [soak.Held(300, 200, 20, 10, 1)] * 8
    assert soak.growth(flat) == []
    leaking = [soak.Held(300 + 4 * i, 200, 20 + i, 10, 1) for i in range(8)]
    assert [one.split(":")[0] for one in soak.growth(leaking)] == ["megabytes", "files"]
