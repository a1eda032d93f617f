"""``mlubench devices``: what there is to run on."""

from __future__ import annotations

import json as json_format
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from rich import box
from rich.table import Table
from rich.text import Text

from mlubench.cli.console import console
from mlubench.devices.engine_host import Counted
from mlubench.devices.listing import DeviceFacts, DeviceList, cpu_devices, mlu_devices
from mlubench.errors import ConfigError


def devices(
    *,
    engine: Annotated[str | None, Parameter(help="openvino or magicmind; both if none")] = None,
    conf: Annotated[
        tuple[Path, ...], Parameter(help="folders with an engines.yaml of your own")
    ] = (),
    json: Annotated[bool, Parameter(help="print JSON")] = False,
) -> int:
    """List the devices: the CPU's groups of cores, and MLU cards.

    Cards are those that cnmon shows and the SDK counts; MLU_VISIBLE_DEVICES is honoured. How
    busy a device is, its temperature and power are those of the moment. Of an engine that is
    named and cannot run, the exit status says so.
    """
    listers: dict[str, Callable[[], DeviceList]] = {
        "openvino": cpu_devices,
        "magicmind": lambda: mlu_devices(
            lambda: count_cards(conf), environment=_card_environment(conf)
        ),
    }
    if engine is not None and engine not in listers:
        raise ConfigError(
            f"there is no engine named {engine!r}",
            where="--engine",
            expected=" or ".join(listers),
        )
    lists = [lister() for name, lister in listers.items() if engine in (None, name)]
    found = [device for part in lists for device in part.devices]
    remarks = [remark for part in lists for remark in part.remarks]
    if json:
        answer = {"devices": [asdict(device) for device in found], "remarks": remarks}
        sys.stdout.write(json_format.dumps(answer, indent=2) + "\n")
    else:
        _print(found, remarks)
    for part in lists:
        if engine is not None and part.failed is not None:
            raise part.failed
    return 0


def _print(found: list[DeviceFacts], remarks: Sequence[str]) -> None:
    screen = console()
    if found:
        screen.print(device_table(found))
    for remark in remarks:
        screen.print(remark, markup=False, soft_wrap=True)


def count_cards(conf: Sequence[Path] = ()) -> Counted:
    """Return how many devices the SDK has.

    Args:
        conf: further folders of catalogues; engines.yaml says where the SDK is.

    Raises:
        ConfigError: the SDK is not there.
        DeviceError: it cannot be asked.
    """
    from mlubench.devices.engine_host import count_devices, engine_host

    return count_devices(engine_host("magicmind", conf))


def _card_environment(conf: Sequence[Path]) -> dict[str, str]:
    """Return the variables that the SDK sees, those of engines.yaml among them."""
    from mlubench.devices.engine_host import engine_host

    return engine_host("magicmind", conf).variables()


def device_table(found: list[DeviceFacts]) -> Table:
    """Return the devices as a table that fits 100 columns; long descriptions and notes fold."""
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, collapse_padding=True)
    for heading in ("device", "engine"):
        table.add_column(heading, no_wrap=True)
    table.add_column("what it is", overflow="fold")
    table.add_column("driver", no_wrap=True)
    for heading in ("memory MiB", "busy %", "\u00b0C", "W"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("note", overflow="fold")
    for device in found:
        figures = (
            device.memory_mib,
            device.utilisation_percent,
            device.temperature_c,
            device.power_w,
        )
        cells = (
            device.name,
            device.engine,
            device.description,
            device.driver or "-",
            *("-" if figure is None else f"{figure:.0f}" for figure in figures),
            device.note,
        )
        # Text, not str: a name in square brackets is no markup.
        table.add_row(*map(Text, cells))
    return table
