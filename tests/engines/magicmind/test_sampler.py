"""Samples of power and utilisation, and the end of the thread that takes them."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path

import pytest

from mlubench.engines.magicmind.cnmon import Card, Readings
from mlubench.engines.magicmind.sampler import CardUse, Sampler, summary
from tests.support.cnmon_screens import install, new_screen, show
from tests.support.processes import alive, becomes


def _card(index: int, power: float | None, busy: float | None) -> Card:
    return Card(index, "MLU370-S4", "v1.1.6", "v5.10.13", busy, 40, power, 75, 0, 23308, None)


class Scripted:
    """Gives one reading after the other, and holds the last one back until it is stopped."""

    def __init__(self, readings: Sequence[Readings]) -> None:
        self._left = list(readings)
        self.asked = 0
        self.used_up = threading.Event()

    def __call__(self, stop: threading.Event) -> Readings:
        self.asked += 1
        if self._left:
            return self._left.pop(0)
        self.used_up.set()
        stop.wait()
        return Readings((), "stopped")


def test_means_and_maxima_of_each_card() -> None:
    read = Scripted(
        [
            Readings((_card(0, 30, 0), _card(1, 31, None), _card(2, 99, 99))),
            Readings((), "cnmon failed"),
            Readings((_card(0, 36, 100), _card(1, 33, None))),
            Readings((_card(0, None, 80), _card(1, 38, None))),
        ]
    )
    sampler = Sampler([0, 1, 5], 0, read)
    sampler.start()
    assert read.used_up.wait(60)
    assert sampler.stop() == {
        0: CardUse(3, 33, 36, 60, 100),
        1: CardUse(3, 34, 38, None, None),
    }


def test_a_card_that_reports_nothing() -> None:
    assert summary([_card(0, None, None)]) == CardUse(1, None, None, None, None)


def test_sampling_ends_where_cnmon_keeps_failing() -> None:
    good = Readings((_card(0, 30, 50),))
    read = Scripted([good, *[Readings((), "hung")] * 3, good])
    sampler = Sampler([0], 0, read)
    sampler.start()
    for thread in _threads():
        thread.join(60)
    assert read.asked == 4
    assert sampler.stop() == {0: CardUse(1, 30, 30, 50, 50)}


def test_no_cnmon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    sampler = Sampler([0], 0)
    sampler.start()
    assert sampler.stop() == {}


def test_the_cnmon_on_the_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    show(tmp_path / "bin", new_screen([_card(0, 31, 7)]))
    first, second = tmp_path / "first", tmp_path / "second"
    script = f"cat {tmp_path}/bin/screen; if [ -e {first} ]; then touch {second}; fi; touch {first}"
    monkeypatch.setenv("PATH", install(tmp_path / "bin", script))
    sampler = Sampler([0], 0)
    sampler.start()
    assert becomes(second.exists)  # so the first sample is taken
    use = sampler.stop()
    assert use == {0: CardUse(use[0].samples, 31, 31, 7, 7)}
    assert not _threads()


def test_a_hung_cnmon_does_not_outlive_stop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = tmp_path / "id"
    script = f"echo $$ > {started}.new; mv {started}.new {started}; sleep 9999"
    monkeypatch.setenv("PATH", install(tmp_path / "bin", script))
    sampler = Sampler([0], 0)
    sampler.start()
    assert becomes(started.exists)
    assert sampler.stop() == {}
    assert not _threads()
    assert not alive(int(started.read_text()))


def _threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "cnmon"]
