"""JSON that tells of any change to it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlubench.sealed import open_sealed, sealed_json

_PLAIN = st.none() | st.booleans() | st.integers() | st.text(max_size=20)
#: Two levels deep; deeper values take long to draw and have nothing new.
_JSON = (
    _PLAIN | st.lists(_PLAIN, max_size=4) | st.dictionaries(st.text(max_size=5), _PLAIN, max_size=4)
)


@pytest.mark.parametrize("data", [b"{}", b"[]", b"", b'{"sealed":"' + b"0" * 64 + b'"}'])
def test_what_was_not_sealed_is_not_opened(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"changed|no JSON object|Expecting"):
        open_sealed(data)


@given(st.dictionaries(st.text(max_size=20), _JSON, max_size=6), st.data())
def test_a_sealed_object_tells_of_any_change(value: dict[str, Any], data: st.DataObject) -> None:
    value.pop("sealed", None)
    sealed = sealed_json(value)
    assert open_sealed(sealed) == value
    bit = data.draw(st.integers(0, 8 * len(sealed) - 1))
    changed = bytearray(sealed)
    changed[bit // 8] ^= 1 << bit % 8
    with pytest.raises(ValueError, match=r"."):
        open_sealed(bytes(changed))
