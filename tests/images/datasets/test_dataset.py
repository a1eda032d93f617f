"""Datasets: order, what is missing, cuts, splits, identity."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlubench.errors import ConfigError, DatasetError
from mlubench.images.datasets.damage import DamagedImage
from mlubench.images.datasets.dataset import (
    Dataset,
    ImageRef,
    calibration_split,
    listing_digest,
    read_image_folder,
)
from mlubench.images.datasets.source import MAX_FILE_BYTES
from tests.images.pictures import ORDER, MemorySource, write_folder

FILES = {f"{letter}.jpg": letter.encode() * 9 for letter in "abcdef"}


def _memory(classes: dict[str, str]) -> Dataset:
    images = tuple(ImageRef(name, class_id) for name, class_id in sorted(classes.items()))
    return Dataset("m", Path("memory"), images, MemorySource(dict.fromkeys(classes, b"x")))


def test_images_are_sorted_whatever_the_list(tmp_path: Path) -> None:
    dataset = write_folder(tmp_path, FILES)
    lines = (tmp_path / "labels.txt").read_text().splitlines()
    random.Random(3).shuffle(lines)
    (tmp_path / "shuffled.txt").write_text("\n".join(lines))
    again = read_image_folder(tmp_path / "images", tmp_path / "shuffled.txt", ORDER, name="pets")
    assert again == dataset
    assert [image.name for image in dataset.images] == sorted(FILES)
    assert [image.class_id for image in dataset.images] == ["cat", "dog", "eel"] * 2
    assert dataset.read(1) == b"b" * 9
    assert listing_digest(again) == listing_digest(dataset)


def test_missing_and_unlisted_are_told(tmp_path: Path) -> None:
    write_folder(tmp_path, FILES)
    folder = tmp_path / "images"
    (folder / "b.jpg").unlink()
    (folder / "c.jpg").unlink()
    (folder / "c.jpg").symlink_to("nowhere")
    for name in ("new.JPEG", ".hidden.jpg", "notes.txt"):
        (folder / name).write_bytes(b"x")
    (folder / os.fsdecode(b"\xff.png")).write_bytes(b"x")
    (folder / "sub.jpg").mkdir()
    dataset = read_image_folder(folder, tmp_path / "labels.txt", ORDER, name="pets")
    assert [image.name for image in dataset.images] == ["a.jpg", "d.jpg", "e.jpg", "f.jpg"]
    assert dataset.missing == ("b.jpg", "c.jpg")
    assert dataset.unlisted == ("\\udcff.png", "new.JPEG")


def test_remarks_are_sentences(tmp_path: Path) -> None:
    dataset = write_folder(tmp_path, FILES)
    assert dataset.remarks() == []
    (tmp_path / "images" / "b.jpg").unlink()
    for number in range(7):
        (tmp_path / "images" / f"new{number}.jpg").write_bytes(b"x")
    lines = (tmp_path / "labels.txt").read_text()
    (tmp_path / "labels.txt").write_text(lines + "c.jpg 2\n\nc.jpg 2\na.jpg 0\n")
    dataset = read_image_folder(tmp_path / "images", tmp_path / "labels.txt", ORDER, name="pets")
    assert dataset.duplicates == ("a.jpg", "c.jpg", "c.jpg")
    assert dataset.remarks() == [
        "1 image of the list is not there: b.jpg",
        "7 images are not in the list: new0.jpg, new1.jpg, new2.jpg, new3.jpg, new4.jpg and 2 more",
        "3 lines of the list repeat others: a.jpg, c.jpg, c.jpg",
    ]
    assert dataset.first(2).duplicates == ("a.jpg", "c.jpg", "c.jpg")
    assert dataset.first(1).duplicates == ("a.jpg",)
    calibration, scored = calibration_split(dataset, 1)
    assert calibration.remarks() == []
    assert scored.remarks() == dataset.remarks()


def test_names_do_not_leave_the_folder(tmp_path: Path) -> None:
    write_folder(tmp_path, FILES)
    (tmp_path / "labels.txt").write_text("../labels.txt 0\na.jpg 1\n")
    dataset = read_image_folder(tmp_path / "images", tmp_path / "labels.txt", ORDER, name="pets")
    assert dataset.missing == ("../labels.txt",)


def test_first(tmp_path: Path) -> None:
    dataset = write_folder(tmp_path, FILES)
    (tmp_path / "images" / "b.jpg").unlink()
    (tmp_path / "images" / "e.jpg").unlink()
    dataset = read_image_folder(tmp_path / "images", tmp_path / "labels.txt", ORDER, name="pets")
    cut = dataset.first(2)
    assert [image.name for image in cut.images] == ["a.jpg", "c.jpg"]
    assert cut.missing == ("b.jpg",)
    assert dataset.first(4) == dataset.first(99) == dataset
    with pytest.raises(ConfigError, match="0 images"):
        dataset.first(0)


def test_what_is_wrong_is_named(tmp_path: Path) -> None:
    write_folder(tmp_path, FILES)
    labels = tmp_path / "labels.txt"
    with pytest.raises(DatasetError, match="No such file"):
        read_image_folder(tmp_path / "absent", labels, ORDER, name="pets")
    labels.write_text("a.jpg 0\nb.jpg 3\n")
    with pytest.raises(DatasetError, match=r"label of b\.jpg is 3"):
        read_image_folder(tmp_path / "images", labels, ORDER, name="pets")
    for text, words in (("", "names no image"), ("z.jpg 0\n", "none of the 1 listed images")):
        labels.write_text(text)
        with pytest.raises(DatasetError, match=words):
            read_image_folder(tmp_path / "images", labels, ORDER, name="pets")


def test_image_that_went_away(tmp_path: Path) -> None:
    dataset = write_folder(tmp_path, FILES)
    (tmp_path / "images" / "a.jpg").unlink()
    with pytest.raises(DatasetError, match="cannot be read") as caught:
        dataset.read(0)
    assert caught.value.where.endswith("a.jpg")
    with pytest.raises(DatasetError, match="cannot be read"):
        listing_digest(dataset)


def test_listing_digest_sees_every_change(tmp_path: Path) -> None:
    dataset = write_folder(tmp_path, FILES)
    seen = {listing_digest(dataset)}
    path = tmp_path / "images" / "a.jpg"
    os.utime(path, ns=(0, 1))
    seen.add(listing_digest(dataset))
    path.write_bytes(b"longer than before")
    os.utime(path, ns=(0, 1))
    seen.add(listing_digest(dataset))
    seen.add(listing_digest(dataset.first(5)))
    (tmp_path / "labels.txt").write_text("".join(f"{name} 1\n" for name in FILES))
    relabelled = read_image_folder(tmp_path / "images", tmp_path / "labels.txt", ORDER, name="p")
    seen.add(listing_digest(relabelled))
    assert len(seen) == 5


@given(
    st.dictionaries(
        st.text("abcdefgh", min_size=1, max_size=4), st.sampled_from("xyz"), min_size=2
    ),
    st.data(),
)
def test_split_is_a_fair_partition(classes: dict[str, str], data: st.DataObject) -> None:
    dataset = _memory(classes)
    count = data.draw(st.integers(1, len(classes) - 1))
    calibration, scored = calibration_split(dataset, count, seed=data.draw(st.integers(0, 9)))
    assert len(calibration.images) == count
    assert sorted(calibration.images + scored.images, key=lambda image: image.name) == list(
        dataset.images
    )
    given_by = {key: [i.class_id for i in calibration.images].count(key) for key in "xyz"}
    left_in = {image.class_id for image in scored.images}
    assert all(given_by[key] >= max(given_by.values()) - 1 for key in left_in)


def test_split_hangs_on_names_and_seed_alone() -> None:
    classes = {f"{number:03d}": "xyz"[number % 3] for number in range(60)}
    dataset = _memory(classes)
    chosen = {seed: calibration_split(dataset, 6, seed=seed)[0].images for seed in range(3)}
    assert len(set(chosen.values())) == 3
    assert calibration_split(_memory(classes), 6)[0].images == chosen[0]
    assert chosen[0] != dataset.images[:6]


@pytest.mark.parametrize("count", [0, -1, 6, 7])
def test_split_leaves_both_sides_something(tmp_path: Path, count: int) -> None:
    with pytest.raises(ConfigError, match="for calibration"):
        calibration_split(write_folder(tmp_path, FILES), count)


def test_what_cannot_be_read_is_damage(tmp_path: Path) -> None:
    """A link in a circle, a folder, a pipe, a sparse giant: each of itself, not of its disk."""
    dataset = write_folder(tmp_path, FILES)
    whole = listing_digest(dataset)
    folder = tmp_path / "images"
    for name in "abcdef"[:4]:
        (folder / f"{name}.jpg").unlink()
    (folder / "a.jpg").symlink_to("a.jpg")
    (folder / "b.jpg").mkdir()
    os.mkfifo(folder / "c.jpg")
    (folder / "d.jpg").symlink_to("nowhere")
    os.truncate(folder / "e.jpg", MAX_FILE_BYTES + 1)
    kinds = []
    for index in range(5):
        with pytest.raises(DamagedImage) as caught:
            dataset.read(index)
        kinds.append(caught.value.kind)
    assert kinds == [*["unreadable"] * 4, "too large"]
    assert dataset.read(5) == FILES["f.jpg"]
    assert listing_digest(dataset) != whole


def test_a_link_in_a_circle_is_no_end_of_the_folder(tmp_path: Path) -> None:
    dataset = write_folder(tmp_path, FILES)
    (tmp_path / "images" / "a.jpg").unlink()
    (tmp_path / "images" / "a.jpg").symlink_to("a.jpg")
    again = read_image_folder(tmp_path / "images", tmp_path / "labels.txt", ORDER, name="pets")
    assert again == dataset


def test_a_file_that_may_be_read_again_is_another_image(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither its size nor its time of change tells; root may read whatever its mode is."""
    dataset = write_folder(tmp_path, FILES)
    path = tmp_path / "images" / "a.jpg"
    path.chmod(0o600)
    whole = listing_digest(dataset)
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    assert listing_digest(dataset) != whole


def test_line_ends_in_names_are_escaped(tmp_path: Path) -> None:
    write_folder(tmp_path, FILES)
    (tmp_path / "images" / "x\ny\x1b[2J.jpg").write_bytes(b"x")
    dataset = read_image_folder(tmp_path / "images", tmp_path / "labels.txt", ORDER, name="pets")
    assert dataset.unlisted == ("x\\ny\\x1b[2J.jpg",)
