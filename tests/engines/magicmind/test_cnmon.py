"""cnmon's screens: both layouts, fields that a card does not report, and a cnmon that fails."""

from __future__ import annotations

import dataclasses
import subprocess
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlubench.engines.magicmind.cnmon import (
    Card,
    Readings,
    parse_screen,
    read_cards,
    run_cnmon,
    visible,
)
from mlubench.errors import ConfigError
from tests.support.cnmon_screens import install, new_screen, old_screen, show
from tests.support.processes import alive, becomes

OLD = """\
Sat Oct  8 11:22:22 2022
+------------------------------------------------------------------------------+
| CNMON v4.20.11                                                               |
+-------------------------------+----------------------+-----------------------+
| Card  VF  Name       Firmware | Inited        Driver | Util        Ecc-Error |
| Fan   Temp      Pwr:Usage/Cap |         Memory-Usage |         vMemory-Usage |
|===============================+======================+=======================|
| 0     /   MLU370-X4    v1.1.6 | On          v4.20.11 | 0%          N/A       |
|  0%   32C         30 W/ 150 W |     0 MiB/ 23308 MiB | 10240 MiB/1048576 MiB |
+-------------------------------+----------------------+-----------------------+
| 1     /   MLU370-X4    v1.1.6 | On          v4.20.11 | 97%         N/A       |
|  0%   61C        112 W/ 150 W | 18012 MiB/ 23308 MiB | 10240 MiB/1048576 MiB |
+-------------------------------+----------------------+-----------------------+

+------------------------------------------------------------------------------+
| Processes:                                                                   |
|  Card  VF  PID    Command Line                             MLU Memory Usage  |
|==============================================================================|
|  1     /   12345  python                                          18012 MiB  |
+------------------------------------------------------------------------------+
"""
NEW = """\
+------------------------------------------------------------------------------+
| CNMON v5.10.13                                               Driver v5.10.13 |
+-------------------------------+----------------------+-----------------------+
| Card  VF  Name       Firmware |               Bus-Id | Util        Ecc-Error |
| Fan   Temp      Pwr:Usage/Cap |         Memory-Usage | SR-IOV   Compute-Mode |
|===============================+======================+=======================|
| 0     /   MLU370-X8    v1.1.6 |         0000:39:00.0 | 0%                N/A |
|  0%   32C        106 W/ 250 W |     0 MiB/ 23374 MiB | N/A           Default |
+-------------------------------+----------------------+-----------------------+
| 1     /   MLU370-X8    v1.1.6 |         0000:3D:00.0 | [N/A]             N/A |
| N/A   39C        N/A W/ 250 W |     N/A/   23374 MiB | N/A           Default |
+-------------------------------+----------------------+-----------------------+
| 12    /   MLU370-S4         / |                  N/A | 100%             [N/A]|
|  /    N/A             [N/A]   |     0 MiB/ xxxxx MiB | N/A           Default |
+-------------------------------+----------------------+-----------------------+

+------------------------------------------------------------------------------+
| Processes:                                                                   |
|  Card  VF  PID    Command Line                             MLU Memory Usage  |
|==============================================================================|
|  No running processes found                                                  |
+------------------------------------------------------------------------------+
"""


def test_the_layout_of_4_20_11() -> None:
    idle = Card(0, "MLU370-X4", "v1.1.6", "v4.20.11", 0, 32, 30, 150, 0, 23308, None)
    busy = Card(1, "MLU370-X4", "v1.1.6", "v4.20.11", 97, 61, 112, 150, 18012, 23308, None)
    assert parse_screen(OLD) == (idle, busy)


def test_the_layout_of_5_10_13_and_fields_that_are_not_reported() -> None:
    driver = "v5.10.13"
    assert parse_screen(NEW) == (
        Card(0, "MLU370-X8", "v1.1.6", driver, 0, 32, 106, 250, 0, 23374, "0000:39:00.0"),
        Card(1, "MLU370-X8", "v1.1.6", driver, None, 39, None, 250, None, 23374, "0000:3D:00.0"),
        Card(12, "MLU370-S4", None, driver, 100, None, None, None, 0, None, None),
    )


def test_a_later_heading_of_the_third_column_changes_nothing() -> None:
    assert parse_screen(NEW.replace("SR-IOV   ", "Mode     ")) == parse_screen(NEW)


def test_lines_that_end_as_a_terminals_do() -> None:
    assert parse_screen(NEW.replace("\n", "  \r\n")) == parse_screen(NEW)


def test_a_virtual_function_is_no_card_of_its_own() -> None:
    first, second = OLD.splitlines()[7:9]
    function = "\n".join([first.replace("0     /", "0     1"), second])
    screen = OLD.replace(second + "\n", second + "\n" + function + "\n")
    assert len(screen) > len(OLD)
    assert parse_screen(screen) == parse_screen(OLD)


def _words(*alternatives: str) -> st.SearchStrategy[str | None]:
    return st.none() | st.sampled_from(alternatives)


_FIGURES = st.none() | st.integers(0, 999)
_MEMORY = st.none() | st.integers(0, 99999)
_CARDS = st.lists(
    st.builds(
        Card,
        index=st.integers(0, 63),
        name=_words("MLU370-S4", "MLU370-X8", "MLU370 M8", "MLU590"),
        firmware=_words("v1.1.6", "v1.5.0"),
        driver=_words("v4.20.11", "v4.20.18"),
        utilisation_percent=st.none() | st.integers(0, 100),
        temperature_c=_FIGURES,
        power_w=_FIGURES,
        power_cap_w=_FIGURES,
        memory_used_mib=_MEMORY,
        memory_mib=_MEMORY,
        bus_id=_words("0000:39:00.0", "0000:3D:00.0"),
    ),
    unique_by=lambda card: card.index,
)


@given(_CARDS)
def test_every_card_of_an_old_screen_is_read(cards: list[Card]) -> None:
    expected = tuple(dataclasses.replace(card, bus_id=None) for card in cards)
    assert parse_screen(old_screen(cards)) == expected


@given(_CARDS, _words("v5.10.13", "v5.10.31"))
def test_every_card_of_a_new_screen_is_read(cards: list[Card], driver: str | None) -> None:
    expected = tuple(dataclasses.replace(card, driver=driver) for card in cards)
    assert parse_screen(new_screen(cards, driver)) == expected


@given(st.text())
def test_any_other_text_is_no_screen(text: str) -> None:
    assert parse_screen(text) is None


@given(st.data())
def test_a_screen_that_is_cut_is_read_as_far_as_it_goes(data: st.DataObject) -> None:
    whole = parse_screen(NEW)
    assert whole is not None
    cut = parse_screen(NEW[: data.draw(st.integers(0, len(NEW)))]) or ()
    assert [card.index for card in cut] == [card.index for card in whole[: len(cut)]]


def test_the_cnmon_on_the_path_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", show(tmp_path / "bin", NEW))
    assert read_cards() == Readings(parse_screen(NEW) or ())


def test_no_cnmon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert read_cards() == Readings((), "cnmon is not on PATH")


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("echo 'no MLU driver is loaded' >&2; exit 3", "exit status 3: no MLU driver is loaded"),
        ("exit 1", "exit status 1: it said nothing"),
        ("kill -SEGV $$", "exit status -11"),
        ("echo hello", "none of the layouts"),
    ],
)
def test_a_cnmon_that_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, reason: str
) -> None:
    monkeypatch.setenv("PATH", install(tmp_path / "bin", script))
    readings = read_cards()
    assert readings.cards == ()
    assert reason in readings.reason


def test_a_cnmon_that_cannot_be_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", install(tmp_path / "bin", ""))
    (tmp_path / "bin" / "cnmon").write_bytes(b"\x7fELF no program")
    readings = read_cards()
    assert readings.cards == ()
    assert "Exec format error" in readings.reason


def test_a_driver_without_cards() -> None:
    assert read_cards(lambda: new_screen([])) == Readings((), "cnmon shows no card")


def test_a_hung_cnmon_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", install(tmp_path / "bin", "sleep 600"))
    with pytest.raises(subprocess.TimeoutExpired):
        run_cnmon(timeout=0)


def test_what_a_hung_cnmon_started_is_killed_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    child = tmp_path / "child"
    script = f"sleep 600 & echo $! > {child}.new; mv {child}.new {child}; wait"
    monkeypatch.setenv("PATH", install(tmp_path / "bin", script))
    stop = threading.Event()
    watcher = threading.Thread(target=lambda: becomes(child.exists) and stop.set())
    watcher.start()
    with pytest.raises(subprocess.TimeoutExpired):
        run_cnmon(stop, timeout=600)
    watcher.join()
    assert becomes(lambda: not alive(int(child.read_text())))


def test_a_hang_is_told() -> None:
    def hang() -> str:
        raise subprocess.TimeoutExpired(["cnmon"], 15)

    assert read_cards(hang) == Readings((), "cnmon gave no answer for 15 s")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, [0, 1, 2, 3]),
        ("0,2", [0, 2]),
        (" 2 , 0 ", [2, 0]),
        ("3", [3]),
        ("", []),
        ("  ", []),
    ],
)
def test_visible_cards(value: str | None, expected: list[int]) -> None:
    environment = {} if value is None else {"MLU_VISIBLE_DEVICES": value}
    assert visible([0, 1, 2, 3], environment) == expected


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("4", "there is no card '4'"),
        ("0,x", "there is no card 'x'"),
        ("0,,1", "there is no card ''"),
        ("-1", "there is no card '-1'"),
        ("0;1", "there is no card '0;1'"),
        ("\u0661", "there is no card"),
        ("1,1", "named twice"),
    ],
)
def test_a_wrong_value_is_told(value: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words) as caught:
        visible([0, 1], {"MLU_VISIBLE_DEVICES": value})
    assert caught.value.where == "MLU_VISIBLE_DEVICES"
    assert repr(value) in str(caught.value)
    assert "there are: 0, 1" in str(caught.value)
