"""The devices that there are: the CPU's groups of cores, and MLU cards."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from mlubench.devices.engine_host import Counted
from mlubench.devices.host_load import core_times, cpu_model, proc_text
from mlubench.engines.magicmind.cnmon import Card, Readings, read_cards, visible
from mlubench.errors import MlubenchError

#: Seconds over which it is measured how busy the cores are.
_BUSY_SECONDS = 0.2
_NO_CARD = Card(-1, *[None] * 10)


def _pause() -> None:
    time.sleep(_BUSY_SECONDS)


@dataclass(frozen=True)
class DeviceFacts:
    """A device; None where a fact is not reported.

    Attributes:
        name: as ``--devices`` takes it.
        engine: the engine that runs on it.
        description: what it is.
        driver: the version of a card's driver.
        memory_mib: in MiB; of a CPU the host's, which its groups share.
        utilisation_percent: how busy it is now, 0 to 100.
        temperature_c: in degrees Celsius.
        power_w: what it draws now, in watts.
        note: what else is to be known of it, or nothing.
    """

    name: str
    engine: str
    description: str
    driver: str | None
    memory_mib: int | None
    utilisation_percent: float | None
    temperature_c: float | None
    power_w: float | None
    note: str = ""


@dataclass(frozen=True)
class DeviceList:
    """Devices, and what is to be said beside them.

    Attributes:
        devices: what there is.
        remarks: what is to be said.
        failed: why the engine cannot run on any of them, where it cannot.
    """

    devices: tuple[DeviceFacts, ...]
    remarks: tuple[str, ...] = ()
    failed: MlubenchError | None = None


def cpu_devices(
    cores: Sequence[int] | None = None,
    proc: Path = Path("/proc"),
    pause: Callable[[], None] = _pause,
) -> DeviceList:
    """Return the groups of cores of the embedded engine, as many as there are cores.

    Args:
        cores: the numbers of those that may be used; None are this process's.
        proc: the kernel's folder of facts.
        pause: between two looks at how busy the cores are.
    """
    cores = sorted(os.sched_getaffinity(0)) if cores is None else cores
    before = core_times(proc_text(proc / "stat"))
    pause()
    after = core_times(proc_text(proc / "stat"))
    memory = re.search(r"^MemTotal: +([0-9]+) kB$", proc_text(proc / "meminfo"), re.MULTILINE)
    note = f"named alone it has all {len(cores)} cores" if len(cores) > 1 else ""
    return DeviceList(
        tuple(
            DeviceFacts(
                name=f"cpu:{group}",
                engine="openvino",
                description=f"{cpu_model(proc)}, core {core}",
                driver=None,
                memory_mib=int(memory[1]) // 1024 if memory else None,
                utilisation_percent=_busy_percent(before.get(core), after.get(core)),
                temperature_c=None,
                power_w=None,
                note="" if group else note,
            )
            for group, core in enumerate(cores)
        )
    )


def _busy_percent(before: tuple[int, int] | None, after: tuple[int, int] | None) -> float | None:
    if before is None or after is None or after[1] <= before[1]:
        return None
    return round(100 * (after[0] - before[0]) / (after[1] - before[1]), 1)


def mlu_devices(
    count: Callable[[], Counted],
    read: Callable[[], Readings] = read_cards,
    environment: Mapping[str, str] = os.environ,
    dev: Path = Path("/dev"),
) -> DeviceList:
    """Return the MLU cards; where there are none, a remark says what was looked for.

    Args:
        count: asks the SDK how many devices it has; it raises where it cannot be asked.
        read: asks cnmon.
        environment: of MLU_VISIBLE_DEVICES.
        dev: the folder of device nodes.

    Raises:
        ConfigError: MLU_VISIBLE_DEVICES is wrong.
    """
    readings = read()
    failed: MlubenchError | None = None
    try:
        sdk, missing = count(), ""
    except MlubenchError as error:  # absent, or its driver is in trouble
        sdk, failed, missing = None, error, f"{error.where}: {error.what}"
    devices = card_devices(readings, sdk.devices if sdk else None, environment)
    if sdk is not None and sdk.simulated:
        named = (replace(device, engine=f"{device.engine} (simulated)") for device in devices)
        return DeviceList(tuple(named), (sdk.simulated,))
    if devices:
        remarks = (f"the SDK cannot be asked: {missing}",) if missing else ()
        return DeviceList(devices, remarks, failed)
    looked = (
        missing or f"the SDK counts {sdk.devices if sdk else 0} devices",
        readings.reason or "MLU_VISIBLE_DEVICES hides all that cnmon shows",
        ", ".join(str(node) for node in sorted(dev.glob("cambricon_dev*")))
        or f"there is no {dev}/cambricon_dev*",
    )
    return DeviceList((), (f"no MLU card: {'; '.join(looked)}",), failed)


def card_devices(
    readings: Readings, count: int | None, environment: Mapping[str, str]
) -> tuple[DeviceFacts, ...]:
    """Return a device for each card that cnmon shows or the SDK counts.

    The SDK numbers the visible cards from 0, in the order of MLU_VISIBLE_DEVICES; cnmon shows
    all of them by numbers of its own.

    Args:
        readings: what cnmon shows.
        count: how many devices the SDK has; None where it could not be asked.
        environment: of MLU_VISIBLE_DEVICES.

    Raises:
        ConfigError: MLU_VISIBLE_DEVICES is wrong.
    """
    by_index = {card.index: card for card in readings.cards}
    shown = visible(list(by_index), environment) if by_index else []
    seen = readings.reason or f"cnmon shows {len(shown)}"
    places = range(max(len(shown), count or 0))
    cards = [by_index[shown[place]] if place < len(shown) else None for place in places]
    return tuple(_device(place, cards[place], count, seen) for place in places)


def _device(place: int, card: Card | None, count: int | None, seen: str) -> DeviceFacts:
    facts = card or _NO_CARD
    return DeviceFacts(
        name=f"mlu:{place}",
        engine="magicmind",
        description=facts.name or "MLU",
        driver=facts.driver,
        memory_mib=facts.memory_mib,
        utilisation_percent=facts.utilisation_percent,
        temperature_c=facts.temperature_c,
        power_w=facts.power_w,
        note="; ".join(_notes(place, card, count, seen)),
    )


def _notes(place: int, card: Card | None, count: int | None, seen: str) -> list[str]:
    """Return what is odd about a device: other numbers, and where SDK and cnmon disagree."""
    notes = []
    if card is None:
        notes.append(f"the SDK counts {count}, but {seen}")
    elif card.index != place:
        notes.append(f"card {card.index} of cnmon")
    if count is None:
        notes.append("the SDK cannot be asked")
    elif place >= count:
        notes.append(f"not usable: {seen}, but the SDK counts {count}")
    return notes
