"""The forms of datasets: recognised, equal to each other, ambiguous, unknown."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlubench.errors import DatasetError
from mlubench.images.datasets.calibration_list import calibration_images
from mlubench.images.datasets.dataset import Dataset
from mlubench.images.datasets.forms import LabelList, find_images, read_images, read_unlabelled
from mlubench.images.datasets.labels import ImagenetOrder, imagenet_order
from mlubench.images.datasets.wnids import plain_name, told_wnids
from mlubench.images.decoding.decoder import decode_dataset
from mlubench.images.decoding.preprocess import Preprocess
from tests.images import packing
from tests.images.pictures import jpeg, picture

FILES = {
    f"ILSVRC2012_val_{number:08d}.JPEG": jpeg(picture(40, 50, seed=number)) for number in range(12)
}
CLASSES = {name: imagenet_order("2012").class_ids[number * 80] for number, name in enumerate(FILES)}


def _read(path: Path, list_: Path | None = None, order: ImagenetOrder | None = None) -> Dataset:
    labels = LabelList(list_, imagenet_order(order)) if list_ and order else None
    return read_images(path, labels, name="val", data=path.parent / "data")


def test_every_form_is_the_same_dataset(tmp_path: Path) -> None:
    for form, write in packing.every_form(tmp_path / "forms", FILES, CLASSES).items():
        path, list_, order = write()
        dataset = _read(path, list_, order)  # type: ignore[arg-type]  # 2012 or 2015
        assert {image.name: image.class_id for image in dataset.images} == CLASSES, form
        assert [image.name for image in dataset.images] == sorted(FILES)
        assert [dataset.read(index) for index in range(12)] == [FILES[n] for n in sorted(FILES)]
        names = [image.name for image in dataset.images]
        facts = dataset.source.stats(names)
        sizes = {name: one.size for name, one in zip(names, facts, strict=True)}
        assert sizes == {name: len(data) for name, data in FILES.items()}
        assert dataset.remarks() == []


def test_every_form_has_the_same_digest(tmp_path: Path) -> None:
    digests = set()
    for form, write in packing.every_form(tmp_path / "forms", FILES, CLASSES).items():
        path, list_, order = write()
        decoded = decode_dataset(
            _read(path, list_, order),  # type: ignore[arg-type]  # 2012 or 2015
            Preprocess("none", 32, 32),
            tmp_path / "cache" / form,
            workers=1,
            progress=lambda done, total: None,
        )
        digests.add(decoded.content_digest)
    assert len(digests) == 1


def test_calibration_images_may_have_every_form(tmp_path: Path) -> None:
    for form, write in packing.every_form(tmp_path / "forms", FILES, CLASSES).items():
        dataset = calibration_images(write()[0], None, tmp_path / "data")
        assert {image.class_id for image in dataset.images} == {""}, form
        data = sorted(dataset.read(index) for index in range(len(dataset.images)))
        assert data == sorted(FILES.values()), form


def test_what_a_tar_lacks_and_has_too_much_is_told(tmp_path: Path) -> None:
    archive = packing.tar(tmp_path / "a.tar", packing.flat(tmp_path / "flat", FILES))
    listed = dict(list(CLASSES.items())[2:]) | {"absent.JPEG": "n01440764"}
    lines = packing.label_list(tmp_path / "val.txt", listed, "2012")
    with lines.open("a") as stream:
        stream.write("absent.JPEG 0\n")
    dataset = _read(archive, lines, "2012")
    assert dataset.missing == dataset.duplicates == ("absent.JPEG",)
    assert dataset.unlisted == tuple(sorted(FILES))[:2]


def test_images_without_a_list_are_told(tmp_path: Path) -> None:
    folder = packing.flat(tmp_path / "flat", FILES)
    for path in (folder, packing.tar(tmp_path / "a.tar", folder)):
        with pytest.raises(DatasetError, match="classes of 12 of its 12 images") as caught:
            _read(path)
        assert "--label_file" in caught.value.fix
    packing.named_by_class(folder, FILES, CLASSES)
    with pytest.raises(DatasetError, match="called ILSVRC2012_val_00000000"):
        _read(folder)


def test_images_to_calibrate_on_have_names_that_are_text(tmp_path: Path) -> None:
    (tmp_path / os.fsdecode(b"\xff.png")).write_bytes(b"x")
    with pytest.raises(DatasetError, match="is not UTF-8"):
        read_unlabelled(tmp_path, data=tmp_path / "data")


def test_a_list_where_folders_or_a_column_tell_the_classes_is_refused(tmp_path: Path) -> None:
    lines = packing.label_list(tmp_path / "val.txt", CLASSES, "2012")
    folders = packing.class_folders(tmp_path / "folders", FILES, CLASSES)
    archive = packing.tar(tmp_path / "a.tar", folders)
    shards = packing.parquet(tmp_path / "p", FILES, CLASSES)
    for path in (folders, archive, shards):
        with pytest.raises(DatasetError, match="tells the classes of its images itself"):
            _read(path, lines, "2012")
    assert not (tmp_path / "data").exists()


def test_two_forms_in_a_folder_are_told(tmp_path: Path) -> None:
    makers = (
        lambda root: packing.flat(root, FILES),
        lambda root: packing.class_folders(root, FILES, CLASSES),
        lambda root: packing.parquet(root, FILES, CLASSES),
    )
    for one in range(3):
        for other in range(one):
            root = tmp_path / f"{one}{other}"
            makers[one](root)
            makers[other](root)
            with pytest.raises(DatasetError, match=r"several forms: .* and ") as caught:
                find_images(root, listed=True)
            for word in ("flat folder", "class id", ".tar", ".parquet"):
                assert word in caught.value.expected


def test_an_archive_beside_its_unpacked_images_is_not_looked_at(tmp_path: Path) -> None:
    folder = packing.flat(tmp_path / "flat", FILES)
    packing.tar(tmp_path / "ILSVRC2012_img_val.tar", folder)
    shutil.move(tmp_path / "ILSVRC2012_img_val.tar", folder)
    assert find_images(folder, listed=True).form == "flat"


def test_the_archive_of_a_folder_is_found(tmp_path: Path) -> None:
    for name in ("x.tar", "y.tar"):
        (tmp_path / name).write_bytes(b"")
    with pytest.raises(DatasetError, match=r"x\.tar and y\.tar"):
        find_images(tmp_path, listed=True)
    (tmp_path / "ILSVRC2012_img_val.tar").write_bytes(b"")
    assert find_images(tmp_path, listed=True).path.name == "ILSVRC2012_img_val.tar"
    (tmp_path / "val").mkdir()
    with pytest.raises(DatasetError, match=r"val\.tar and val"):
        find_images(tmp_path, listed=True)


def test_nothing_that_is_known_is_told(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "other" / "tench").mkdir(parents=True)
    (tmp_path / "other" / "notes.txt").write_text("x")
    for name in ("empty", "other"):
        with pytest.raises(DatasetError, match="no images in a form that is known"):
            _read(tmp_path / name)
    with pytest.raises(DatasetError, match="No such file"):
        _read(tmp_path / "absent")
    (tmp_path / "classes" / "n01440764").mkdir(parents=True)
    with pytest.raises(DatasetError, match="there is no image in it"):
        _read(tmp_path / "classes")


def test_a_list_may_name_files_of_any_kind(tmp_path: Path) -> None:
    packing.flat(tmp_path / "flat", {"one": FILES["ILSVRC2012_val_00000001.JPEG"]})
    (tmp_path / "val.txt").write_text("one 7\n")
    dataset = _read(tmp_path / "flat", tmp_path / "val.txt", "2012")
    assert [image.name for image in dataset.images] == ["one"]


def test_one_name_in_two_folders_is_told(tmp_path: Path) -> None:
    for wnid in ("n01440764", "n01443537"):
        packing.flat(tmp_path / "v" / wnid, {"1.JPEG": b"x"})
    with pytest.raises(
        DatasetError, match=r"called 1\.JPEG: n01440764/1\.JPEG and n01443537/1\.JPEG"
    ):
        _read(tmp_path / "v")


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("n01440764/n01443537_1.JPEG", "n01440764 and n01443537"),
        ("n00000001/1.JPEG", "class n00000001"),
    ],
)
def test_a_class_that_cannot_be_is_told(tmp_path: Path, path: str, words: str) -> None:
    (tmp_path / "v" / path).parent.mkdir(parents=True)
    (tmp_path / "v" / path).write_bytes(b"x")
    with pytest.raises(DatasetError, match=words) as caught:
        _read(tmp_path / "v")
    assert caught.value.where.endswith(path)


@pytest.mark.parametrize(
    ("path", "name", "wnids"),
    [
        ("n01440764/ILSVRC2012_val_00000293.JPEG", "ILSVRC2012_val_00000293.JPEG", {"n01440764"}),
        ("n01440764_10026.JPEG", "n01440764_10026.JPEG", {"n01440764"}),
        ("n01440764_tench.JPEG", "n01440764_tench.JPEG", {"n01440764"}),
        ("n01440764_10026_n01440764.JPEG", "n01440764_10026.JPEG", {"n01440764"}),
        ("val_1_n01440764.JPEG", "val_1.JPEG", {"n01440764"}),
        ("a/n01440764x/b.JPEG", "b.JPEG", set()),
        ("n01440764/more/b.JPEG", "b.JPEG", set()),
        ("n0144076_1.JPEG", "n0144076_1.JPEG", set()),
        ("n01440764.JPEG", "n01440764.JPEG", set()),
        ("_n01440764.JPEG", "_n01440764.JPEG", set()),
    ],
)
def test_class_ids_in_paths(path: str, name: str, wnids: set[str]) -> None:
    assert plain_name(path) == name
    assert told_wnids(path) == wnids


@given(st.text(max_size=30), st.from_regex(r"n[0-9]{8}", fullmatch=True))
def test_a_class_behind_a_name_comes_off_again(stem: str, wnid: str) -> None:
    stem = "x" + stem.replace("/", "").replace("\n", "")
    assert plain_name(f"folder/{stem}_{wnid}.JPEG") == f"{stem}.JPEG"
    assert wnid in told_wnids(f"{stem}_{wnid}.JPEG")


def test_nothing_that_is_called_an_image_is_passed_over(tmp_path: Path) -> None:
    folder = tmp_path / "val" / "n01440764"
    folder.mkdir(parents=True)
    (folder / "a.JPEG").write_bytes(jpeg(picture(40, 50)))
    (folder / "circle.JPEG").symlink_to("circle.JPEG")
    (folder / "folder.JPEG").mkdir()
    (folder / "nowhere.JPEG").symlink_to("nothing")
    os.mkfifo(folder / "pipe.JPEG")
    dataset = _read(tmp_path / "val")
    spec = Preprocess("short", 30, 24)
    decoded = decode_dataset(
        dataset, spec, tmp_path / "cache", workers=1, progress=lambda done, total: None
    )
    assert {record.name: record.kind for record in decoded.records} == {
        "a.JPEG": "",
        **dict.fromkeys(("circle.JPEG", "folder.JPEG", "nowhere.JPEG", "pipe.JPEG"), "unreadable"),
    }


@pytest.mark.parametrize("name", ["a\nb.JPEG", "\x1b[2J.JPEG", "a\u2028b.JPEG"])
def test_a_name_that_no_line_can_hold_is_told_escaped(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "val" / "n01440764"
    folder.mkdir(parents=True)
    (folder / name).write_bytes(b"x")
    with pytest.raises(DatasetError, match="has a control character") as caught:
        _read(tmp_path / "val")
    assert name not in str(caught.value)


def test_a_missing_folder_of_listed_images_is_told(tmp_path: Path) -> None:
    listed = tmp_path / "list.txt"
    listed.write_text("a.png\n")
    with pytest.raises(DatasetError, match="cannot be read") as error:
        calibration_images(tmp_path / "nowhere", listed, tmp_path / "data")
    assert error.value.where == str(tmp_path / "nowhere")
    assert "--image_dir" not in str(error.value)
