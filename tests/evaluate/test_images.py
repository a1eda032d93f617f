"""Which images a catalogue's entry or the options name, and what is told of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlubench import catalogue
from mlubench.errors import ConfigError, DatasetError
from mlubench.evaluate.images import ChosenImages, choose_images
from mlubench.evaluate.options import check_parameters
from mlubench.images.datasets.labels import imagenet_order
from tests.images import packing

FILES = {f"ILSVRC2012_val_{number:08d}.JPEG": b"x%d" % number for number in range(8)}
CLASSES = {name: imagenet_order("2012").class_ids[number * 80] for number, name in enumerate(FILES)}
ORDER = imagenet_order("2015")


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that the environment names; it is not there yet."""
    monkeypatch.setenv("ILSVRC2012_DATASETS_PATH", str(tmp_path / "imagenet"))
    return tmp_path / "imagenet"


def _choose(tmp_path: Path, **options: object) -> ChosenImages:
    options = {"precision": ("force_float32",), "dataset": "imagenet_val", **options}
    return choose_images(check_parameters(**options), ORDER, tmp_path / "data")


def _conf(tmp_path: Path, **keys: str) -> Path:
    lines = "".join(f"  {key}: {value}\n" for key, value in keys.items())
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf" / "datasets.yaml").write_text(f"mine:\n  description: x\n{lines}")
    return tmp_path / "conf"


def _classes(chosen: ChosenImages) -> dict[str, str]:
    return {image.name: image.class_id for image in chosen.scored.images}


def test_labels_are_in_the_networks_order(root: Path, tmp_path: Path) -> None:
    packing.class_folders(root, FILES, CLASSES)
    chosen = _choose(tmp_path)
    assert chosen.labels.tolist() == [ORDER.index_of(CLASSES[name]) for name in sorted(FILES)]
    assert chosen.remarks() == []


@pytest.mark.parametrize("beside", [True, False], ids=["beside the images", "above them"])
@pytest.mark.parametrize(
    ("name", "order"),
    [("ILSVRC2012_val.txt", "2012"), ("ILSVRC2015_val.txt", "2015"), ("val.txt", "2012")],
)
@pytest.mark.parametrize("packed", [False, True], ids=["folder", "tar"])
def test_a_label_list_is_found(
    root: Path, tmp_path: Path, name: str, order: str, packed: bool, beside: bool
) -> None:
    folder = packing.flat(tmp_path / "files" if packed else root, FILES)
    if packed:
        root.mkdir()
        packing.tar(root / "ILSVRC2012_img_val.tar", folder)
    packing.label_list((root if beside else tmp_path) / name, CLASSES, order)
    assert _classes(_choose(tmp_path)) == CLASSES


def test_a_list_beside_folders_of_classes_is_not_needed(root: Path, tmp_path: Path) -> None:
    packing.class_folders(root, FILES, CLASSES)
    (root / "val.txt").write_text("something else\n")
    assert _classes(_choose(tmp_path)) == CLASSES


def test_a_list_beside_images_named_by_class_is_not_needed(root: Path, tmp_path: Path) -> None:
    packing.named_by_class(root, FILES, CLASSES)
    (tmp_path / "ILSVRC2012_val.txt").write_text("another.JPEG 3\n")
    assert _classes(_choose(tmp_path)) == CLASSES


def test_the_environment_may_name_the_archive_itself(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = packing.tar(tmp_path / "x.tar", packing.class_folders(root, FILES, CLASSES))
    monkeypatch.setenv("ILSVRC2012_DATASETS_PATH", str(archive))
    assert _classes(_choose(tmp_path)) == CLASSES


def test_a_list_that_is_missing_is_told(root: Path, tmp_path: Path) -> None:
    packing.flat(root, FILES)
    with pytest.raises(DatasetError, match="nothing tells the classes") as caught:
        _choose(tmp_path)
    assert "ILSVRC2012_val.txt or ILSVRC2015_val.txt or val.txt" in caught.value.fix
    assert "label_file" in caught.value.fix


@pytest.mark.parametrize("value", [None, ""])
def test_a_variable_that_is_not_set_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: str | None
) -> None:
    monkeypatch.delenv("ILSVRC2012_DATASETS_PATH", raising=False)
    if value is not None:
        monkeypatch.setenv("ILSVRC2012_DATASETS_PATH", value)
    with pytest.raises(ConfigError, match="ILSVRC2012_DATASETS_PATH is not set") as caught:
        _choose(tmp_path)
    assert caught.value.where == "dataset imagenet_val: path"


def test_an_entry_of_ones_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Paths are relative to the catalogue unless they begin with a variable."""
    monkeypatch.setenv("MINE", str(tmp_path / "conf"))
    monkeypatch.setenv("PART", "images")
    conf = _conf(
        tmp_path,
        form="images",
        label_order="2015",
        path="my/${PART}",
        label_file="${MINE}/list",
        calibration="train",
    )
    packing.flat(conf / "my" / "images", FILES)
    packing.label_list(conf / "list", CLASSES, "2015")
    packing.flat(conf / "train", {"0.JPEG": b"other"})
    chosen = _choose(tmp_path, dataset="mine", conf=(conf,), precision=("qint8_mixed_float16",))
    assert _classes(chosen) == CLASSES
    assert chosen.scored.name == "mine"
    assert chosen.calibration is not None
    assert [image.name for image in chosen.calibration.images] == ["0.JPEG"]


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"form": "images", "label_order": "2012", "pfad": "x"}, "pfad"),
        ({"form": "images", "label_order": "2012"}, "needs path"),
        ({"form": "digits", "label_order": "digits", "path": "x"}, "has no path"),
        ({"form": "parquet", "label_order": "2012", "path": "x"}, "form"),
        ({"form": "images", "label_order": "2013", "path": "x"}, "label_order"),
    ],
)
def test_a_wrong_entry_is_told(tmp_path: Path, keys: dict[str, str], words: str) -> None:
    with pytest.raises(ConfigError, match=words) as caught:
        catalogue.datasets((_conf(tmp_path, **keys),))
    assert "datasets.yaml: mine" in str(caught.value)


def test_every_fault_of_a_catalogue_is_told(tmp_path: Path) -> None:
    conf = _conf(tmp_path, form="parquet", label_order="2013", pfad="x")
    with (conf / "datasets.yaml").open("a") as stream:
        stream.write("other:\n  form: images\n  label_order: 2012\n")
    with pytest.raises(ConfigError) as caught:
        catalogue.datasets((conf,))
    first, *faults = str(caught.value).splitlines()[:-1]
    assert first == f"{conf / 'datasets.yaml'}: has 4 faults"
    assert [line.strip() for line in faults] == [
        "mine.form: Input should be 'digits' or 'images' (got 'parquet')",
        "mine.label_order: Input should be '2012', '2015' or 'digits' (got '2013')",
        "mine.pfad: Extra inputs are not permitted (got 'x')",
        "other.description: Field required",
    ]


def test_a_folder_without_any_catalogue_is_told(tmp_path: Path) -> None:
    (tmp_path / "model.yaml").write_text("mine:\n")
    for read in (catalogue.datasets, catalogue.models):
        with pytest.raises(
            ConfigError, match=r"no models\.yaml, datasets\.yaml or engines\.yaml in it"
        ) as caught:
            read((tmp_path,))
        assert caught.value.where == f"--conf {tmp_path}"
    (tmp_path / "datasets.yaml").write_text("{}\n")
    assert catalogue.models((tmp_path,)) == catalogue.models()


@pytest.mark.parametrize("option", ["label_file", "label_file_order"])
def test_a_list_or_its_order_alone(tmp_path: Path, option: str) -> None:
    """Where folders tell the classes it is one too many, elsewhere one too few."""
    other = {"label_file": "label_file_order", "label_file_order": "label_file"}[option]
    options = {option: {"label_file": tmp_path / "val.txt", "label_file_order": "2012"}[option]}
    folders = packing.class_folders(tmp_path / "folders", FILES, CLASSES)
    shards = packing.parquet(tmp_path / "shards", FILES, CLASSES)
    for image_dir in (folders, shards):
        with pytest.raises(ConfigError, match="tells the classes of its images itself") as caught:
            _choose(tmp_path, dataset=None, image_dir=image_dir, **options)
        assert caught.value.where == f"--{option}"
        assert "none is needed" in caught.value.expected
        assert caught.value.fix == f"leave --{option} out"
    flat = packing.flat(tmp_path / "flat", FILES)
    with pytest.raises(ConfigError, match=f"--{option} is given without --{other}") as caught:
        _choose(tmp_path, dataset=None, image_dir=flat, **options)
    assert caught.value.where == f"--{other}"


@pytest.mark.parametrize("text", ["", " \n\n"])
def test_an_empty_label_list_is_told(tmp_path: Path, text: str) -> None:
    flat = packing.flat(tmp_path / "flat", FILES)
    lines = tmp_path / "val.txt"
    lines.write_text(text)
    with pytest.raises(DatasetError, match="the label list names no image") as caught:
        _choose(tmp_path, dataset=None, image_dir=flat, label_file=lines, label_file_order="2012")
    assert caught.value.where == str(lines)


def test_images_that_tell_their_classes_need_no_list(tmp_path: Path) -> None:
    folder = packing.named_by_class(tmp_path / "n", FILES, CLASSES)
    assert _classes(_choose(tmp_path, dataset=None, image_dir=folder)) == CLASSES


def test_what_must_be_known_of_the_list_is_said(tmp_path: Path) -> None:
    folder = packing.flat(tmp_path / "flat", FILES)
    names = sorted(FILES)
    listed = {**{f"absent_{n}.JPEG": "n01440764" for n in range(7)}, names[0]: CLASSES[names[0]]}
    lines = packing.label_list(tmp_path / "val.txt", listed, "2012")
    lines.write_text(lines.read_text() + f"{names[0]} 0\n{names[0]} 0\n")
    chosen = _choose(
        tmp_path, dataset=None, image_dir=folder, label_file=lines, label_file_order="2012"
    )
    absent = ", ".join(f"absent_{number}.JPEG" for number in range(5))
    assert chosen.remarks() == [
        f"7 images of the list are not there: {absent} and 2 more",
        f"7 images are not in the list: {', '.join(names[1:6])} and 2 more",
        f"2 lines of the list repeat others: {names[0]}, {names[0]}",
    ]
