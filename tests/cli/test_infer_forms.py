"""``mlubench infer`` takes every form of dataset that eval takes, and tells what is odd."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mlubench import cli
from mlubench.images.datasets.digits import DigitsPaths
from mlubench.images.datasets.labels import imagenet_order
from tests.images import packing
from tests.support.networks import write_caffe_network

RESULTS = ("infer_result.txt", "eval_labels.txt", "eval_result_1.txt", "eval_result_5.txt")


class Site:
    """A compiled network of ImageNet's classes, in the 2015 order, and images."""

    def __init__(self, folder: Path, digits: DigitsPaths) -> None:
        self.folder = folder
        self.out = folder / "out"
        self.models = {order: self._compile(order) for order in ("2015", "")}
        pictures = sorted(digits.val.iterdir())[:12]
        wnids = imagenet_order("2012").class_ids
        self.files = {
            f"ILSVRC2012_val_{number:08d}.JPEG": picture.read_bytes()
            for number, picture in enumerate(pictures)
        }
        self.classes = {name: wnids[37 * number] for number, name in enumerate(self.files)}

    def _compile(self, order: str) -> Path:
        prototxt, caffemodel = write_caffe_network(self.folder)
        model = self.folder / f"model{order}"
        given = ["--prototxt", prototxt, "--caffemodel", caffemodel, "--input_size", 56]
        given += ["--resize", "none", "--magicmind_model", model, "--out", self.out]
        assert (
            cli.main(["compile", *map(str, given), *(["--label_order", order] * bool(order))]) == 0
        )
        return model

    def infer(self, *options: object, order: str = "2015") -> int:
        given = ["--magicmind_model", self.models[order], "--out", self.out, *options]
        return cli.main(["infer", *map(str, given)])

    def results(self, order: str = "2015") -> dict[str, bytes]:
        folder = self.out / "output" / self.models[order].name
        found = {name: folder / name for name in RESULTS}
        return {name: path.read_bytes() for name, path in found.items() if path.exists()}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, digits: DigitsPaths) -> Site:
    return Site(tmp_path_factory.mktemp("site"), digits)


def test_every_form_gives_the_same_files(site: Site, tmp_path: Path) -> None:
    own = imagenet_order("2015")
    labels = [own.index_of(site.classes[name]) for name in sorted(site.files)]
    expected: dict[str, bytes] = {}
    for form, write in packing.every_form(tmp_path / "forms", site.files, site.classes).items():
        image_dir, label_file, order = write()
        listed = ["--label_file", label_file, "--label_file_order", order] if label_file else []
        assert site.infer("--image_dir", image_dir, *listed) == 0, form
        expected = expected or site.results()
        assert site.results() == expected, form
    said = expected["eval_labels.txt"].decode().splitlines()
    assert said == [f"[{place}]: {label}" for place, label in enumerate(labels)]
    assert sorted(expected) == sorted(RESULTS)


def test_classes_that_nobody_can_number_are_not_written(
    site: Site, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The folders tell the classes, but not how this network numbers them."""
    folders = packing.class_folders(tmp_path / "folders", site.files, site.classes)
    assert site.infer("--image_dir", folders, order="") == 0
    assert sorted(site.results("")) == sorted(set(RESULTS) - {"eval_labels.txt"})
    named = ["--result_label_file", tmp_path / "labels"]
    assert site.infer("--image_dir", folders, *named, order="") == 2
    assert "--result_label_file: there are no labels to write" in capsys.readouterr().err


def test_a_list_without_orders_is_taken_as_it_is(site: Site, tmp_path: Path) -> None:
    flat = packing.flat(tmp_path / "flat", site.files)
    lines = packing.label_list(tmp_path / "val.txt", site.classes, "2012")
    listed = ["--image_dir", flat, "--label_file", lines, "--result_label_file", tmp_path / "l"]
    assert site.infer(*listed, order="") == 0
    numbers = dict(line.split() for line in lines.read_text().splitlines())
    assert (tmp_path / "l").read_text().splitlines() == [
        f"[{place}]: {numbers[name]}" for place, name in enumerate(sorted(site.files))
    ]


def test_a_list_where_folders_tell_the_classes_is_refused(
    site: Site, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folders = packing.class_folders(tmp_path / "folders", site.files, site.classes)
    lines = packing.label_list(tmp_path / "val.txt", site.classes, "2012")
    assert site.infer("--image_dir", folders, "--label_file", lines) == 2
    assert "tells the classes of its images itself" in capsys.readouterr().err


def test_what_is_odd_about_list_and_images_is_told(
    site: Site, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flat = packing.flat(tmp_path / "flat", site.files)
    first, second, *_ = sorted(site.files)
    lines = tmp_path / "val.txt"
    lines.write_text(f"{second} 3\n{second} 3\nILSVRC2012_val_00000000.JPG 5\n")
    assert site.infer("--image_dir", flat, "--label_file", lines) == 0
    said = capsys.readouterr().out
    assert "1 images, run as float32" in said
    assert "1 image of the list is not there: ILSVRC2012_val_00000000.JPG" in said
    assert f"11 images are not in the list: {first}, " in said
    assert f"1 line of the list repeats another: {second}" in said


def test_a_size_where_nothing_is_resized_is_refused(
    site: Site, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flat = packing.flat(tmp_path / "flat", site.files)
    assert site.infer("--image_dir", flat, "--resize_size", 90) == 2
    said = capsys.readouterr().err
    assert "--resize_size 90: nothing is resized" in said
    assert site.infer("--image_dir", flat, "--resize", "exact", "--resize_size", 90) == 0
    for verb in ("compile", "eval"):
        assert cli.main([verb, "--resize_size", "90", "--out", str(site.out)]) == 2
        assert "--resize_size 90: nothing is resized" in capsys.readouterr().err


@pytest.mark.parametrize("verb", ["infer", "compile"])
def test_a_device_that_is_not_there_is_told_by_the_option(
    site: Site, tmp_path: Path, capsys: pytest.CaptureFixture[str], verb: str
) -> None:
    if verb == "infer":
        flat = packing.flat(tmp_path / "flat", site.files)
        assert site.infer("--image_dir", flat, "--device_id", 99) == 2
    else:
        assert cli.main(["compile", "--device_id", "99", "--out", str(site.out)]) == 2
    said = capsys.readouterr().err
    assert "error: --device_id 99: there is no device cpu:99\n" in said
    assert "--devices" not in said


def test_a_run_holds_the_cache(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is pruned from under infer."""
    from mlubench.magicmind_sample import infer_cpp

    tried = []
    decode = infer_cpp.decode_images

    def pruning(*given: object) -> object:
        tried.append(cli.main(["cache", "prune", "--older_than", "0", "--out", str(site.out)]))
        return decode(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(infer_cpp, "decode_images", pruning)
    flat = packing.flat(tmp_path / "flat", site.files)
    assert site.infer("--image_dir", flat) == 0
    assert tried == [2]


def test_what_was_compiled_says_its_order(site: Site) -> None:
    orders = [
        json.loads((model / "compiled.json").read_text())["label_order"]
        for model in site.models.values()
    ]
    assert orders == ["2015", None]
