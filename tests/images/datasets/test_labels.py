"""Label orders against the facts, and label lists of every shape."""

from __future__ import annotations

import csv
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlubench.errors import ConfigError, DatasetError
from mlubench.images.datasets.labels import (
    LabelOrder,
    imagenet_order,
    read_label_list,
    simple_order,
)


def test_orders_number_the_same_classes_differently() -> None:
    old, new = imagenet_order("2012"), imagenet_order("2015")
    assert len(old.class_ids) == len(new.class_ids) == 1000
    assert sorted(old.class_ids) == sorted(new.class_ids) == list(old.class_ids)
    assert all(new.index_of(wnid) != label for label, wnid in enumerate(old.class_ids))
    assert dict(zip(old.class_ids, old.names, strict=True)) == dict(
        zip(new.class_ids, new.names, strict=True)
    )


def test_known_classes() -> None:
    assert imagenet_order("2012").names[0] == "tench, Tinca tinca"
    assert imagenet_order("2015").names[448] == "tench, Tinca tinca"
    assert imagenet_order("2015").index_of("n01440764") == 448


def test_table_is_that_of_the_facts(shared_data: Path) -> None:
    with (shared_data / "imagenet_classes.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    old, new = imagenet_order("2012"), imagenet_order("2015")
    for row in rows:
        assert old.index_of(row["wnid"]) == int(row["index_2012"])
        assert new.index_of(row["wnid"]) == int(row["index_2015"])
        assert old.names[int(row["index_2012"])] == row["name"]
    assert len(rows) == 1000


def test_real_lists_give_each_image_one_class(shared_data: Path) -> None:
    """The two lists number differently, one has trailing spaces, and they mean the same."""
    classes = {}
    for year in ("2012", "2015"):
        labels = read_label_list(shared_data / f"ILSVRC{year}_val.txt")
        order = imagenet_order(year)
        classes[year] = {name: order.class_ids[label] for name, label in labels}
        assert len(labels) == len(classes[year]) == 50_000
    assert classes["2012"] == classes["2015"]


def test_order_of_the_file_is_kept(shared_data: Path) -> None:
    labels = read_label_list(shared_data / "ILSVRC2012_val.txt")
    assert labels[0] == ("ILSVRC2012_val_00023660.JPEG", 934)


def test_unknown_order_and_class() -> None:
    with pytest.raises(ConfigError, match="2013"):
        imagenet_order("2013")  # type: ignore[arg-type]  # the point of the test
    with pytest.raises(DatasetError, match="n99999999"):
        imagenet_order("2012").index_of("n99999999")


def test_simple_order() -> None:
    order = simple_order("pets", ["cat", "dog"])
    assert order == LabelOrder("pets", ("cat", "dog"), ("cat", "dog"))
    assert order.index_of("dog") == 1


@pytest.mark.parametrize("names", [[], ["cat", "cat"]])
def test_impossible_order(names: list[str]) -> None:
    with pytest.raises(ConfigError):
        simple_order("pets", names)


NAMES = st.text(
    st.characters(exclude_categories=["Cs"]).filter(lambda c: not c.isspace() and c != "\ufeff"),
    min_size=1,
    max_size=12,
)
SPACES = st.text(st.sampled_from(" \t\x0b\x0c\u3000"), max_size=3)
GAPS = SPACES.filter(bool)
LINES = st.tuples(SPACES, GAPS, SPACES, st.sampled_from(["\n", "\r\n", "\n\n", "\n \t\n"]))


@given(
    st.dictionaries(NAMES, st.integers(0, 999_999_999), max_size=8).flatmap(
        lambda labels: st.tuples(
            st.just(labels), st.lists(LINES, min_size=len(labels), max_size=len(labels))
        )
    ),
    st.booleans(),
)
def test_any_white_space(
    case: tuple[dict[str, int], list[tuple[str, str, str, str]]], mark: bool
) -> None:
    labels, lines = case
    text = "".join(
        f"{before}{name}{gap}{label}{after}{end}"
        for (name, label), (before, gap, after, end) in zip(labels.items(), lines, strict=True)
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "labels.txt"
        path.write_bytes(text.encode("utf-8-sig" if mark else "utf-8"))
        assert read_label_list(path) == tuple(labels.items())


@pytest.mark.parametrize(
    "line",
    [
        "b.jpg",
        "b.jpg 1 2",
        "b.jpg x",
        "b.jpg -1",
        "b.jpg 1.5",
        "b.jpg 1_0",
        "b.jpg \N{ARABIC-INDIC DIGIT ONE}",
        "a 3",
    ],
)
def test_bad_line_is_named(tmp_path: Path, line: str) -> None:
    path = tmp_path / "labels.txt"
    path.write_text(f"a 0\n\n{line}\n", encoding="utf-8")
    with pytest.raises(DatasetError) as caught:
        read_label_list(path)
    assert caught.value.where == f"{path}, line 3"


@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 1)), max_size=9),
)
def test_names_that_are_listed_again(lines: list[tuple[str, int]]) -> None:
    """With the same label they are kept; with another one, both lines are named."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "labels.txt"
        path.write_text("".join(f"{name} {label}\n" for name, label in lines))
        first: dict[str, int] = {}
        for number, (name, label) in enumerate(lines):
            if lines[first.setdefault(name, number)][1] != label:
                with pytest.raises(DatasetError, match="expected: one label") as caught:
                    read_label_list(path)
                assert caught.value.where == f"{path}, line {number + 1}"
                assert caught.value.what.endswith(f" in line {first[name] + 1}")
                return
        assert read_label_list(path) == tuple(lines)


def test_unreadable_lists(tmp_path: Path) -> None:
    (tmp_path / "latin").write_bytes(b"caf\xe9.jpg 1\n")
    for path in (tmp_path / "latin", tmp_path / "absent", tmp_path):
        with pytest.raises(DatasetError, match="cannot be read") as caught:
            read_label_list(path)
        assert caught.value.where == str(path)
