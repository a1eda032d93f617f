"""Devices told together where they are alike."""

from __future__ import annotations

import pytest

from mlubench.devices.names import grouped


@pytest.mark.parametrize(
    ("devices", "told"),
    [
        ([], []),
        (["cpu:0"], ["cpu:0"]),
        (["cpu:0", "cpu:1"], ["cpu:0, cpu:1"]),
        ([f"mlu:{one}: a card" for one in range(8)], ["mlu:0 to mlu:7: a card"]),
        (
            ["mlu:0: a card", "mlu:1: lost: a: b", "mlu:2: a card", "mlu:3: a card"],
            ["mlu:0, mlu:2, mlu:3: a card", "mlu:1: lost: a: b"],
        ),
        (["mlu:9: x", "mlu:10: x", "mlu:11: x", "a: x"], ["mlu:9 to mlu:11, a: x"]),
        (["mlu:2: x", "mlu:1: x", "mlu:0: x"], ["mlu:2, mlu:1, mlu:0: x"]),
        (["mlu:0: x", "cpu:1: x", "cpu:2: x"], ["mlu:0, cpu:1, cpu:2: x"]),
    ],
)
def test_devices_of_one_description(devices: list[str], told: list[str]) -> None:
    assert grouped(devices) == told
