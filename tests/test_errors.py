"""Errors tell all that a user needs, and survive a journey between processes."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path

import pytest

from mlubench import errors

KINDS = [kind for kind in vars(errors).values() if isinstance(kind, type)]


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_pickled_whole(kind: type[errors.MlubenchError]) -> None:
    error = kind("it is wrong", where="a.prototxt, layer conv1", expected="64", fix="mend it")
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is kind
    assert str(copy) == str(error)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_in_the_drawing(kind: type[errors.MlubenchError]) -> None:
    line = next(line for line in (errors.__doc__ or "").splitlines() if kind.__name__ in line)
    if line.split()[-1].isdigit():
        assert int(line.split()[-1]) == kind.exit_status


def test_the_message_names_everything() -> None:
    error = errors.NetworkError("it is wrong", where="a.prototxt", expected="64", fix="mend it")
    assert str(error) == "a.prototxt: it is wrong\n  expected: 64\n  to mend it: mend it"
    assert str(errors.NetworkError("it is wrong", where="a")) == "a: it is wrong"


@pytest.mark.parametrize(
    ("cause", "words"),
    [
        (lambda: Path("/nowhere/x").read_text(), "No such file or directory"),
        (lambda: b"\xff".decode(), "it is no text in UTF-8"),
        (lambda: json.loads('{\n"a" 1}'), "it is no JSON in line 2, column 5: Expecting ':'"),
        (lambda: {}["spec"], "there is no spec in it"),
        (lambda: int("x"), "invalid literal"),
    ],
)
def test_causes_are_told_in_words(cause: Callable[[], object], words: str) -> None:
    with pytest.raises((OSError, ValueError, KeyError)) as caught:
        cause()
    said = errors.in_words(caught.value)
    assert said.startswith(words)
    assert "/nowhere" not in said
    assert "Errno" not in said
