"""The devices that there are, from the kernel's facts, cnmon's screen and the SDK's count."""

from __future__ import annotations

import os
import platform
from pathlib import Path

import pytest

from mlubench.devices.engine_host import Counted
from mlubench.devices.host_load import core_times
from mlubench.devices.listing import DeviceFacts, card_devices, cpu_devices, mlu_devices
from mlubench.devices.names import addresses
from mlubench.engines.magicmind.cnmon import Card, Readings
from mlubench.engines.openvino.engine import core_group
from mlubench.errors import ConfigError, EngineError

#: user, nice, system, idle, iowait, irq, softirq, steal, guest, guest_nice
BEFORE = """\
cpu  300 0 0 700 0 0 0 0 0 0
cpu0 100 0 0 200 100 0 0 0 0 0
cpu1 100 5 10 400 50 3 2 1 90 0
cpu10 100 0 0 200 0 0 0 0 0 0
intr 12345 0 0
"""
AFTER = """\
cpu  300 0 0 700 0 0 0 0 0 0
cpu0 110 2 3 250 130 1 2 2 0 0
cpu1 100 5 10 500 50 3 2 1 90 0
cpu10 175 0 0 225 0 0 0 0 70 0
intr 12345 0 0
"""


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    (tmp_path / "stat").write_text(BEFORE)
    (tmp_path / "cpuinfo").write_text(
        "processor\t: 0\nmodel\t\t: 17\nmodel name\t: Some CPU @ 2 GHz\nflags\t: fpu vme\n"
        "processor\t: 1\nmodel\t\t: 17\nmodel name\t: Some CPU @ 2 GHz\nflags\t: fpu vme\n"
    )
    (tmp_path / "meminfo").write_text("MemTotal:       24684180 kB\nMemFree:  1 kB\n")
    return tmp_path


def test_the_groups_of_cores(proc: Path) -> None:
    found = cpu_devices([0, 1, 10], proc, lambda: _replace(proc / "stat", AFTER)).devices
    assert found[0] == DeviceFacts(
        name="cpu:0",
        engine="openvino",
        description="Some CPU @ 2 GHz, core 0",
        driver=None,
        memory_mib=24105,
        utilisation_percent=20.0,  # 20 of 100 ticks, waiting for a disk is idle
        temperature_c=None,
        power_w=None,
        note="named alone it has all 3 cores",
    )
    assert [device.name for device in found] == ["cpu:0", "cpu:1", "cpu:2"]
    cores = [device.description.split(", ")[1] for device in found]
    assert cores == ["core 0", "core 1", "core 10"]
    assert [device.utilisation_percent for device in found] == [20, 0, 75]
    assert [device.note for device in found[1:]] == ["", ""]


def test_the_groups_are_those_that_the_engine_makes_of_the_names(proc: Path) -> None:
    cores = [0, 1, 10, 11, 12]
    found = cpu_devices(cores, proc, lambda: None).devices
    for device, address in zip(found, addresses([device.name for device in found]), strict=True):
        (core,) = core_group(address, cores)
        assert device.description.endswith(f"core {core}")


def test_a_container_that_hides_the_kernels_facts(tmp_path: Path) -> None:
    (found,) = cpu_devices([3], tmp_path, lambda: None).devices
    assert found.description == f"{platform.machine()}, core 3"
    assert (found.memory_mib, found.utilisation_percent, found.note) == (None, None, "")


def test_cores_that_did_nothing_since_the_first_look(proc: Path) -> None:
    found = cpu_devices([0, 7], proc, lambda: None).devices
    assert [device.utilisation_percent for device in found] == [None, None]


def test_this_host() -> None:
    found = cpu_devices(pause=lambda: None).devices
    assert len(found) == len(os.sched_getaffinity(0))
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    # A container may be shown less than the host has.
    assert 0 < (found[0].memory_mib or 0) <= memory // 2**20
    assert core_times(Path("/proc/stat").read_text())


def _replace(path: Path, text: str) -> None:
    path.write_text(text)


def _card(index: int) -> Card:
    return Card(
        index, "MLU370-X8", "v1.1.6", "v5.10.13", 50, 40 + index, 106, 250, 0, 23374, "0000:39:00.0"
    )


FOUR = Readings(tuple(map(_card, range(4))))
NONE = Readings((), "cnmon is not on PATH")


def test_cards_of_which_sdk_and_cnmon_say_the_same() -> None:
    found = card_devices(FOUR, 4, {})
    assert found[2] == DeviceFacts(
        "mlu:2", "magicmind", "MLU370-X8", "v5.10.13", 23374, 50, 42, 106, ""
    )
    assert [device.name for device in found] == ["mlu:0", "mlu:1", "mlu:2", "mlu:3"]
    assert not any(device.note for device in found)


def test_visible_cards_bear_the_sdks_numbers() -> None:
    found = card_devices(FOUR, 2, {"MLU_VISIBLE_DEVICES": "3,1"})
    assert [device.name for device in found] == ["mlu:0", "mlu:1"]
    assert [device.temperature_c for device in found] == [43, 41]
    assert [device.note for device in found] == ["card 3 of cnmon", ""]


def test_a_card_that_only_cnmon_shows() -> None:
    *usable, odd = card_devices(FOUR, 3, {})
    assert not any(device.note for device in usable)
    assert odd.name == "mlu:3"
    assert odd.note == "not usable: cnmon shows 4, but the SDK counts 3"


def test_a_card_that_only_the_sdk_counts() -> None:
    *_, odd = card_devices(FOUR, 5, {})
    assert odd == DeviceFacts(
        "mlu:4",
        "magicmind",
        "MLU",
        *[None] * 5,
        note="the SDK counts 5, but cnmon shows 4",
    )


def test_cards_without_cnmon() -> None:
    found = card_devices(NONE, 2, {"MLU_VISIBLE_DEVICES": "0,1"})
    assert [device.name for device in found] == ["mlu:0", "mlu:1"]
    assert {device.note for device in found} == {"the SDK counts 2, but cnmon is not on PATH"}


def test_cards_without_the_sdk(tmp_path: Path) -> None:
    found = mlu_devices(_no_sdk, lambda: FOUR, {}, tmp_path)
    assert len(found.devices) == 4
    assert {device.note for device in found.devices} == {"the SDK cannot be asked"}
    assert found.remarks == ("the SDK cannot be asked: python3.7: there is no package magicmind",)


def _no_sdk() -> Counted:
    raise ConfigError("there is no package magicmind", where="python3.7")


def test_no_card_at_all(tmp_path: Path) -> None:
    (remark,) = mlu_devices(_no_sdk, lambda: NONE, {}, tmp_path).remarks
    assert remark == (
        "no MLU card: python3.7: there is no package magicmind; cnmon is not on PATH; "
        f"there is no {tmp_path}/cambricon_dev*"
    )


def test_a_node_without_sdk_and_cnmon(tmp_path: Path) -> None:
    for name in ("cambricon_dev1", "cambricon_dev0", "cambricon_ctl"):
        (tmp_path / name).touch()
    (remark,) = mlu_devices(_no_sdk, lambda: NONE, {}, tmp_path).remarks
    assert remark.endswith(f"; {tmp_path}/cambricon_dev0, {tmp_path}/cambricon_dev1")


def test_cards_that_are_all_hidden(tmp_path: Path) -> None:
    found = mlu_devices(lambda: Counted(0), lambda: FOUR, {"MLU_VISIBLE_DEVICES": ""}, tmp_path)
    assert found.devices == ()
    assert "the SDK counts 0 devices; MLU_VISIBLE_DEVICES hides all" in found.remarks[0]


def test_a_driver_in_trouble(tmp_path: Path) -> None:
    def fail() -> Counted:
        raise EngineError("the driver is gone", where="System.initialize")

    found = mlu_devices(fail, lambda: FOUR, {}, tmp_path)
    assert found.remarks == ("the SDK cannot be asked: System.initialize: the driver is gone",)


def test_a_wrong_variable_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no card '9'"):
        mlu_devices(lambda: Counted(4), lambda: FOUR, {"MLU_VISIBLE_DEVICES": "9"}, tmp_path)


def test_a_simulated_sdk_says_so(tmp_path: Path) -> None:
    found = mlu_devices(lambda: Counted(2, "no card"), lambda: NONE, {}, tmp_path)
    assert [device.engine for device in found.devices] == ["magicmind (simulated)"] * 2
    assert found.remarks == ("no card",)
