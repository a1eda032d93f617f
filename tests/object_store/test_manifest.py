"""Manifests: what is written is read, and nothing else is believed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlubench.object_store.manifest import (
    FileFacts,
    Manifest,
    key_of,
    manifest_object,
    read_manifest,
    write_manifest,
)
from mlubench.sealed import sealed_json

FACTS = FileFacts(3, "0123456789abcdef" * 4)
ONE = Manifest("compiled", "k1", {"a/b.bin": FACTS, "c": FileFacts(0, "f" * 64)})


def test_what_is_written_is_read() -> None:
    assert read_manifest(write_manifest(ONE), "compiled", "k1") == ONE
    assert ONE.bytes == 3


def test_where_things_lie() -> None:
    assert manifest_object("compiled", "k1") == "manifests/compiled/k1.json"
    assert key_of("k1.json") == "k1"
    assert key_of("k1.tmp") is None
    assert key_of("...json") is None
    assert ONE.object_of("a/b.bin") == "compiled/k1/0123456789abcdef/a/b.bin"


@given(st.integers(0, len(write_manifest(ONE)) - 1), st.integers(1, 255))
def test_a_changed_byte_is_noticed(place: int, change: int) -> None:
    data = bytearray(write_manifest(ONE))
    data[place] ^= change
    with pytest.raises(ValueError):  # noqa: PT011  # of several kinds
        read_manifest(bytes(data), "compiled", "k1")


@given(st.integers(0, len(write_manifest(ONE)) - 1))
def test_half_of_one_is_none(size: int) -> None:
    with pytest.raises(ValueError):  # noqa: PT011
        read_manifest(write_manifest(ONE)[:size], "compiled", "k1")


def test_deep_levels_are_none() -> None:
    with pytest.raises(ValueError, match="levels"):
        read_manifest(b"[" * 200_000, "compiled", "k1")


def test_one_of_another_entry_is_none() -> None:
    with pytest.raises(ValueError, match="another entry"):
        read_manifest(write_manifest(ONE), "compiled", "k2")


@pytest.mark.parametrize(
    "name",
    ["/etc/passwd", "../up", "a/../../up", "a//b", "./a", "a\\b", "", ".", "a\0b", "\x1b[31m"],
)
def test_no_file_leaves_its_folder(name: str) -> None:
    with pytest.raises(ValueError, match="no file of an entry"):
        read_manifest(write_manifest(Manifest("k", "k1", {name: FACTS})), "k", "k1")


@pytest.mark.parametrize("facts", [None, [], [1], [-1, "f" * 64], ["1", "f" * 64], [1, "f"], {}])
def test_facts_that_are_none(facts: object) -> None:
    value = {"layout": 1, "kind": "k", "key": "k1", "files": {"a": facts}}
    with pytest.raises(ValueError, match="no size and SHA-256"):
        read_manifest(sealed_json(value), "k", "k1")
