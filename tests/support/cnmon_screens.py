"""Screens of cnmon in both layouts, made of cards, and a program that shows one."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from mlubench.engines.magicmind.cnmon import Card

_RULE = f"+{'-' * 31}+{'-' * 22}+{'-' * 23}+"
_DOUBLE = f"|{'=' * 31}+{'=' * 22}+{'=' * 23}|"
_OUTER = f"+{'-' * 78}+"


def old_screen(cards: Sequence[Card], version: str = "v4.20.11") -> str:
    """Return the screen of v4.20.11: the driver in a column, no place on the bus."""
    head = [
        "Sat Oct  8 11:22:22 2022",
        _OUTER,
        f"| {f'CNMON {version}':<76} |",
        _RULE,
        _row("Card  VF  Name       Firmware", "Inited        Driver", "Util        Ecc-Error"),
        _row("Fan   Temp      Pwr:Usage/Cap", "Memory-Usage", "vMemory-Usage"),
        _DOUBLE,
    ]
    rows = [
        line
        for card in cards
        for line in (
            _row(
                _product(card),
                f"{'On':<7} {_said(card.driver):>12}",
                f"{_with(card.utilisation_percent, '%'):<12}N/A      ",
            ),
            _row(_health(card), _memory(card), "10240 MiB/1048576 MiB"),
            _RULE,
        )
    ]
    return "\n".join([*head, *rows, "", *_processes()]) + "\n"


def new_screen(cards: Sequence[Card], driver: str | None = "v5.10.13") -> str:
    """Return the screen of v5.10.13: the driver in the banner, a column for the bus."""
    shown = f"Driver {driver}" if driver else ""
    head = [
        "Wed Jun 21 10:27:01 2023",
        _OUTER,
        f"| {'CNMON v5.10.13':<38}{shown:>38} |",
        _RULE,
        _row("Card  VF  Name       Firmware", "Bus-Id", "Util        Ecc-Error"),
        _row("Fan   Temp      Pwr:Usage/Cap", "Memory-Usage", "SR-IOV   Compute-Mode"),
        _DOUBLE,
    ]
    rows = [
        line
        for card in cards
        for line in (
            _row(
                _product(card),
                _said(card.bus_id),
                f"{_with(card.utilisation_percent, '%'):<16}  N/A",
            ),
            _row(_health(card), _memory(card), "N/A           Default"),
            _RULE,
        )
    ]
    return "\n".join([*head, *rows, "", *_processes()]) + "\n"


def install(folder: Path, script: str) -> str:
    """Write a shell script as ``cnmon`` into a folder; return the PATH that finds it first."""
    folder.mkdir(exist_ok=True)
    program = folder / "cnmon"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    return os.pathsep.join([str(folder), os.environ["PATH"]])


def show(folder: Path, screen: str) -> str:
    """Install a cnmon that shows a screen; return the PATH that finds it first."""
    folder.mkdir(exist_ok=True)
    (folder / "screen").write_text(screen)
    return install(folder, f"/bin/cat '{folder / 'screen'}'")


def _row(first: str, second: str, third: str) -> str:
    return f"| {first:>29} | {second:>20} | {third:>21} |"


def _processes() -> list[str]:
    return [
        _OUTER,
        f"| {'Processes:':<76} |",
        f"| {' Card  VF  PID    Command Line                             MLU Memory Usage':<76} |",
        f"|{'=' * 78}|",
        f"| {' 0     /   4711   python -m mlubench.worker                          512 MiB':<76} |",
        _OUTER,
    ]


def _product(card: Card) -> str:
    return f"{card.index:<5} /   {_said(card.name):<10} {_said(card.firmware):>8}"


def _health(card: Card) -> str:
    power = f"{_with(card.power_w, ' W')}/ {_with(card.power_cap_w, ' W')}"
    return f" 0%   {_with(card.temperature_c, 'C'):<4} {power:>18}"


def _memory(card: Card) -> str:
    return f"{_with(card.memory_used_mib, ' MiB')}/ {_with(card.memory_mib, ' MiB')}"


def _said(word: str | None) -> str:
    return "N/A" if word is None else word


def _with(figure: float | None, unit: str) -> str:
    return "N/A" if figure is None else f"{figure:g}{unit}"
