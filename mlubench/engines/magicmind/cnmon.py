"""What cards there are and how they do, read from the screen of ``cnmon``.

Two layouts are documented: that of v4.20.11, where the driver stands in a column, and that of
v5.10.13, where it stands in the banner and a column has the card's place on the bus. A column is
found by its heading, so other versions of either layout are read as well. What a card does not
report (``N/A``, ``[N/A]``, ``/``, or anything that is no figure with its unit) is None.

Standard library only, Python 3.7 syntax.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import Callable, Iterable, Iterator, List, Mapping, Optional, Sequence, Tuple

from mlubench.errors import ConfigError

PROGRAM = "cnmon"
VISIBLE = "MLU_VISIBLE_DEVICES"
#: Seconds after which cnmon counts as hung. It answers in less than one where the driver is well.
TIMEOUT = 15.0
_POLL = 0.02
#: Seconds that a killed cnmon has to go; inside the kernel's driver it cannot be killed.
_LAST_WAIT = 1.0

_Cells = Tuple[str, str, str]


@dataclass(frozen=True)
class Card:
    """A card as cnmon shows it; None where the card does not report.

    Attributes:
        index: cnmon's number of the card.
        name: the product, such as ``MLU370-S4``.
        firmware: its version, such as ``v1.1.6``.
        driver: the driver's version, such as ``v5.10.13``.
        utilisation_percent: how busy its cores are, 0 to 100.
        temperature_c: in degrees Celsius.
        power_w: what it draws, in watts.
        power_cap_w: what it may draw, in watts.
        memory_used_mib: in MiB.
        memory_mib: what is usable, in MiB.
        bus_id: its place on the PCI bus, such as ``0000:39:00.0``.
    """

    index: int
    name: Optional[str]
    firmware: Optional[str]
    driver: Optional[str]
    utilisation_percent: Optional[float]
    temperature_c: Optional[float]
    power_w: Optional[float]
    power_cap_w: Optional[float]
    memory_used_mib: Optional[int]
    memory_mib: Optional[int]
    bus_id: Optional[str]


@dataclass(frozen=True)
class Readings:
    """The cards, in cnmon's order.

    Attributes:
        cards: empty where there is a reason.
        reason: why there are none; empty where there are some.
    """

    cards: Tuple[Card, ...]
    reason: str = ""


def run_cnmon(stop: Optional[threading.Event] = None, timeout: float = TIMEOUT) -> str:
    """Return the screen of the ``cnmon`` on PATH.

    Args:
        stop: ends the wait when it is set.
        timeout: seconds after which cnmon is killed.

    Raises:
        OSError: there is no cnmon, or it cannot be started.
        subprocess.SubprocessError: it failed, or was killed.
    """
    program = shutil.which(PROGRAM)
    if program is None:
        raise FileNotFoundError(f"{PROGRAM} is not on PATH")
    stop = threading.Event() if stop is None else stop
    # A file, not a pipe: what cnmon has started may hold a pipe open when cnmon is gone.
    with tempfile.TemporaryFile() as screen:
        process = subprocess.Popen(
            [program],
            stdin=subprocess.DEVNULL,
            stdout=screen,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # so that it is killed with all that it has started
        )
        start = time.monotonic()
        while process.poll() is None:
            waited = time.monotonic() - start
            if waited >= timeout or stop.wait(_POLL):
                _kill(process)
                raise subprocess.TimeoutExpired([program], round(waited, 1))
        screen.seek(0)
        text = screen.read().decode("utf-8", "replace")
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, [program], text)
    return text


def _kill(process: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    with suppress(subprocess.TimeoutExpired):
        process.wait(_LAST_WAIT)


def read_cards(run: Callable[[], str] = run_cnmon) -> Readings:
    """Ask cnmon for the cards; where that fails, the reason stands in place of them.

    Args:
        run: returns cnmon's screen; raises as :func:`run_cnmon`.
    """
    try:
        screen = run()
    except subprocess.TimeoutExpired as error:
        return Readings((), f"{PROGRAM} gave no answer for {error.timeout:g} s")
    except subprocess.CalledProcessError as error:
        words = (error.output or "").strip().splitlines()[-1:] or ["it said nothing"]
        return Readings((), f"{PROGRAM} failed with exit status {error.returncode}: {words[0]}")
    except OSError as error:
        return Readings((), error.strerror or str(error))
    cards = parse_screen(screen)
    if cards is None:
        return Readings((), f"{PROGRAM}'s screen has none of the layouts that are known")
    return Readings(cards) if cards else Readings((), f"{PROGRAM} shows no card")


def parse_screen(screen: str) -> Optional[Tuple[Card, ...]]:
    """Return the cards of a screen; None where it holds no table of cards."""
    lines = [line.strip() for line in screen.splitlines()]
    rows = list(_table(lines))
    if not rows:
        return None
    banners = [re.match(r"\| *CNMON .*\bDriver +(v\S+) *\|$", line) for line in lines]
    driver = next((banner.group(1) for banner in banners if banner), None)
    headings, body = rows[0], rows[1:]
    cards: List[Card] = []
    for first, second in zip(body, [*body[1:], ("", "", "")]):
        index = re.match(r"\d+(?= )", first[0])
        # A card's virtual functions, where they are shown, are not cards of their own.
        if index and all(card.index != int(index.group()) for card in cards):
            cards.append(_card(headings, first, second, driver))
    return tuple(cards)


def _table(lines: Iterable[str]) -> Iterator[_Cells]:
    """Yield the rows of the table of cards, from its headings on, each with its three cells."""
    inside = False
    for line in lines:
        cells = [cell.strip() for cell in line[1:-1].split("|")]
        inside = inside or bool(re.match(r"Card +VF +Name +Firmware$", cells[0]))
        if inside and not line:
            return  # the table of processes follows
        if inside and len(cells) == 3:
            yield cells[0], cells[1], cells[2]


def _card(headings: _Cells, first: _Cells, second: _Cells, driver: Optional[str]) -> Card:
    """Return a card of its two rows.

    Args:
        headings: the first row of headings.
        first: index, VF, name, firmware; bus, or state and driver; utilisation, ECC errors.
        second: fan, temperature, power; memory; the rest.
        driver: of the banner, where it stands there.
    """
    index, _, product = (first[0].split(None, 2) + [""] * 2)[:3]
    name, _, firmware = product.rpartition(" ")
    place = first[1].split()
    in_column = headings[1].split()[-1:] == ["Driver"]
    utilisation = re.match(r"\S+", first[2])
    _, temperature, power = (second[0].split(None, 2) + [""] * 3)[:3]
    power_w, power_cap_w = _pair(power, "W")
    used, memory = _pair(second[1], "MiB")
    return Card(
        index=int(index),
        name=_word(name),
        firmware=_word(firmware),
        driver=_word(*place[-1:]) if in_column else driver,
        utilisation_percent=_figure(utilisation.group(), "%") if utilisation else None,
        temperature_c=_figure(temperature, "C"),
        power_w=power_w,
        power_cap_w=power_cap_w,
        memory_used_mib=None if used is None else int(used),
        memory_mib=None if memory is None else int(memory),
        bus_id=_word(*place[:1]) if headings[1] == "Bus-Id" else None,
    )


def _pair(text: str, unit: str) -> Tuple[Optional[float], Optional[float]]:
    """Return the figures of ``30 W/ 150 W``."""
    text = re.sub(r"\[?N/A\]?", "-", text)
    usage, slash, cap = text.rpartition("/")
    return (_figure(usage, unit), _figure(cap, unit)) if slash else (_figure(cap, unit), None)


def _figure(text: str, unit: str) -> Optional[float]:
    """Return the figure of ``30 W``; None where it is none, or of another unit."""
    figure = re.match(rf"\s*(\d+(?:\.\d+)?) *{unit}\s*$", text)
    return float(figure.group(1)) if figure else None


def _word(word: str = "") -> Optional[str]:
    """Return a word; None where it says that the card does not report it."""
    return None if word.strip() in ("", "/", "N/A", "[N/A]") else word.strip()


def visible(indices: Sequence[int], environment: Mapping[str, str]) -> List[int]:
    """Return the cards that MLU_VISIBLE_DEVICES leaves, in the order in which it has them.

    It is MLU's counterpart of CUDA_VISIBLE_DEVICES: unset it leaves all, empty it leaves none,
    ``2,0`` makes of card 2 the SDK's device 0 and of card 0 its device 1.

    Args:
        indices: of the cards that there are.
        environment: such as ``os.environ``.

    Raises:
        ConfigError: it is no list of numbers, or names a card that is not there, or one twice.
    """
    there = ", ".join(map(str, indices)) or "none"
    expected = f"numbers of cards, joined by commas; there are: {there}"
    wanted = _named(environment, expected)
    if wanted is None:
        return list(indices)
    for index in wanted:
        if index not in indices:
            raise _not_visible(environment[VISIBLE], f"there is no card '{index}'", expected)
    return wanted


def check_visible(environment: Mapping[str, str]) -> None:
    """Check the form of MLU_VISIBLE_DEVICES where nobody knows which cards there are.

    Raises:
        ConfigError: it is no list of numbers, or names a card twice.
    """
    _named(environment, "numbers of cards, joined by commas")


def _named(environment: Mapping[str, str], expected: str) -> Optional[List[int]]:
    """Return the numbers of MLU_VISIBLE_DEVICES; None where it is not set."""
    value = environment.get(VISIBLE)
    if value is None or not value.strip():
        return None if value is None else []
    words = [word.strip() for word in value.split(",")]
    for word in words:
        if not re.match(r"[0-9]+$", word):
            raise _not_visible(value, f"there is no card {word!r}", expected)
    wanted = [int(word) for word in words]
    if len(set(wanted)) < len(wanted):
        raise _not_visible(value, "a card is named twice", expected)
    return wanted


def _not_visible(value: str, what: str, expected: str) -> ConfigError:
    return ConfigError(
        f"{what} (it is {value!r})",
        where=VISIBLE,
        expected=expected,
        fix=f"set it as {PROGRAM} numbers the cards, or unset it",
    )
