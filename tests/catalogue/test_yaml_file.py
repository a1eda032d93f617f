"""YAML that people write: what is refused rather than ignored or blown up."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlubench.catalogue.yaml_file import read_yaml
from mlubench.errors import ConfigError


def _read(folder: Path, text: str) -> object:
    path = folder / "a.yaml"
    path.write_text(text)
    return read_yaml(path)


def test_a_few_aliases_and_merges_are_yaml_as_ever(tmp_path: Path) -> None:
    text = "a: &x {p: 1, q: 2}\nb: *x\nc: {<<: *x, q: 3}\n"
    assert _read(tmp_path, text) == {
        "a": {"p": 1, "q": 2},
        "b": {"p": 1, "q": 2},
        "c": {"p": 1, "q": 3},
    }


def test_a_mapping_that_is_merged_into_may_itself_be_merged(tmp_path: Path) -> None:
    text = "a: &x {p: 1}\nb: &y {<<: *x, p: 2}\nc: {<<: *y, p: 3}\n"
    assert _read(tmp_path, text) == {"a": {"p": 1}, "b": {"p": 2}, "c": {"p": 3}}


def test_levels_and_digits_up_to_the_most(tmp_path: Path) -> None:
    found = _read(tmp_path, "[" * 50 + "]" * 50)
    for _ in range(49):
        assert isinstance(found, list)
        (found,) = found
    assert found == []
    assert _read(tmp_path, "a: 0b" + "0_" * 60 + "101") == {"a": 5}


BILLION_LAUGHS = "\n".join(
    ["a0: &a0 [lol]", *(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 10))]
)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (BILLION_LAUGHS, "more than 16 aliases"),
        ("a: &x\n  b: *x\n", "*x stands within &x"),
        ("a: 1\nb: 2\na: 3\n", "the key 'a' is there twice"),
        ("a: {b: 1, b: 1}\n", "the key 'b' is there twice"),
        ("[" * 51 + "]" * 51, "nested too deeply: more than 50 levels"),
        ("[" * 5000, "nested too deeply"),
        ("a: 1" + ":1" * 100, "a number of more than 128 digits"),
        ("a: [", "is not YAML"),
        ("a: !!python/object/apply:os.system [true]\n", "is not YAML"),
        ("a: 2026-13-45\n", "is not YAML"),
        ('a: !!int ""\n', "is not YAML"),
        ("a: !!bool perhaps\n", "is not YAML"),
        ("a: !!timestamp soon\n", "is not YAML"),
        ("a: !!float _\n", "is not YAML"),
        ("#" * 2**18 + "\n", "has more than 262144 bytes"),
    ],
)
def test_what_is_refused_names_the_file(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        _read(tmp_path, text)
    assert words in str(caught.value)
    assert str(tmp_path / "a.yaml") in str(caught.value)


def test_a_file_that_is_absent_or_in_another_encoding(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        read_yaml(tmp_path / "absent.yaml")
    (tmp_path / "a.yaml").write_bytes(b"a: \xff\n")
    with pytest.raises(ConfigError, match="is not YAML"):
        read_yaml(tmp_path / "a.yaml")
