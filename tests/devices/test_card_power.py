"""Whose power and utilisation are whose, where the SDK numbers cards otherwise than cnmon."""

from __future__ import annotations

import functools
from pathlib import Path

import pytest

from mlubench.devices.card_power import sampled
from mlubench.devices.engine_host import EngineHost
from mlubench.engines.magicmind.cnmon import Card, Readings
from mlubench.engines.magicmind.sampler import Sampler
from tests.support.cnmon_screens import new_screen, show

CARDS = [
    Card(index, "MLU370-S4", "v1.1.6", "v5.10.13", index, 40, 30 + index, 75, 0, 23308, None)
    for index in range(3)
]


@pytest.fixture(autouse=True)
def _cnmon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", show(tmp_path / "bin", new_screen(CARDS)))
    monkeypatch.delenv("MLU_VISIBLE_DEVICES", raising=False)
    # The block below ends at once, which would end a cnmon that has just been started.
    at_once = functools.partial(Sampler, read=lambda stop: Readings(tuple(CARDS)))
    monkeypatch.setattr("mlubench.devices.card_power.Sampler", at_once)


def _power(engine: EngineHost, *names: str) -> dict[str, float | None]:
    with sampled(engine, names) as use:
        assert use == {}
    return {name: one.power_max_w for name, one in use.items()}


def test_each_card_by_its_name() -> None:
    assert _power(EngineHost("magicmind"), "mlu:0", "mlu:2") == {"mlu:0": 30, "mlu:2": 32}


def test_cards_that_are_numbered_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLU_VISIBLE_DEVICES", "2,0")
    assert _power(EngineHost("magicmind"), "mlu:0", "mlu:1") == {"mlu:0": 32, "mlu:1": 30}


def test_the_variable_of_the_workers_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLU_VISIBLE_DEVICES", "0")
    engine = EngineHost("magicmind", environment={"MLU_VISIBLE_DEVICES": "1,2"})
    assert _power(engine, "mlu:0", "mlu:1") == {"mlu:0": 31, "mlu:1": 32}


@pytest.mark.parametrize("value", ["7", "a", ""])
def test_cards_that_nobody_knows(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("MLU_VISIBLE_DEVICES", value)
    assert _power(EngineHost("magicmind"), "mlu:0") == {}


def test_an_engine_without_cards_asks_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mlubench.devices.card_power.read_cards", lambda: pytest.fail("asked"))
    assert _power(EngineHost("openvino"), "cpu:0") == {}
