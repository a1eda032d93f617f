"""``mlubench devices``, through the command line, with a cnmon on PATH and without one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from mlubench import cli
from mlubench.cli import devices
from mlubench.devices.engine_host import Counted
from mlubench.engines.magicmind.cnmon import Card
from mlubench.errors import ConfigError
from tests.support.cnmon_screens import install, new_screen, show

CARDS = [
    Card(0, "MLU370-S4", "v1.1.6", "v5.10.13", 97, 61, 38, 75, 18012, 23308, "0000:39:00.0"),
    Card(1, "MLU370-S4", "v1.1.6", "v5.10.13", None, None, None, None, 0, 23308, "0000:3D:00.0"),
]


@pytest.fixture(autouse=True)
def _neither_sdk_nor_cards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(conf: object) -> Counted:
        raise ConfigError("there is no package magicmind", where="python3.7")

    monkeypatch.setattr(devices, "count_cards", absent)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("MLU_VISIBLE_DEVICES", raising=False)


@pytest.fixture
def cards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "count_cards", lambda conf: Counted(len(CARDS)))
    monkeypatch.setenv("PATH", show(tmp_path / "bin", new_screen(CARDS)))


def test_a_host_without_cards(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["devices"]) == 0
    lines = capsys.readouterr().out.splitlines()
    rows = [line for line in lines if line.startswith("cpu:")]
    assert len(rows) == len(os.sched_getaffinity(0))
    assert "openvino" in rows[0]
    assert max(map(len, lines[:-1])) <= 100
    assert lines[-1].startswith("no MLU card: python3.7: there is no package magicmind; cnmon is")


@pytest.mark.usefixtures("cards")
def test_a_host_with_cards(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["devices", "--engine", "magicmind"]) == 0
    heading, _, *rows = capsys.readouterr().out.splitlines()
    named = "device engine what it is driver memory MiB busy % °C W note"
    assert heading.split() == named.split()
    assert [row.split() for row in rows] == [
        ["mlu:0", "magicmind", "MLU370-S4", "v5.10.13", "23308", "97", "61", "38"],
        ["mlu:1", "magicmind", "MLU370-S4", "v5.10.13", "23308", "-", "-", "-"],
    ]


@pytest.mark.usefixtures("cards")
def test_visible_cards(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "count_cards", lambda conf: Counted(1))
    monkeypatch.setenv("MLU_VISIBLE_DEVICES", "1")
    assert cli.main(["devices", "--engine", "magicmind"]) == 0
    _, _, row = capsys.readouterr().out.splitlines()
    assert row.split()[0] == "mlu:0"
    assert row.rstrip().endswith("card 1 of cnmon")
    monkeypatch.setenv("MLU_VISIBLE_DEVICES", "1,2")
    assert cli.main(["devices", "--engine", "magicmind"]) == 2
    said = capsys.readouterr().err
    assert "MLU_VISIBLE_DEVICES: there is no card '2'" in said
    assert "there are: 0, 1" in said


@pytest.mark.usefixtures("cards")
def test_cards_that_engines_yaml_leaves(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(devices, "count_cards", lambda conf: Counted(1))
    variables = {"magicmind": {"environment": {"MLU_VISIBLE_DEVICES": "1"}}}
    (tmp_path / "engines.yaml").write_text(json.dumps(variables))
    options = ["--engine", "magicmind", "--conf", str(tmp_path), "--json"]
    assert cli.main(["devices", *options]) == 0
    (device,) = json.loads(capsys.readouterr().out)["devices"]
    assert (device["name"], device["note"]) == ("mlu:0", "card 1 of cnmon")


@pytest.mark.usefixtures("cards")
def test_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["devices", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    engines = [device["engine"] for device in said["devices"]]
    assert engines == ["openvino"] * (len(engines) - 2) + ["magicmind"] * 2
    assert said["remarks"] == []
    assert said["devices"][-1] == {
        "name": "mlu:1",
        "engine": "magicmind",
        "description": "MLU370-S4",
        "driver": "v5.10.13",
        "memory_mib": 23308,
        "utilisation_percent": None,
        "temperature_c": None,
        "power_w": None,
        "note": "",
    }


def test_a_cnmon_that_fails(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", install(tmp_path / "bin", "echo no driver; exit 1"))
    assert cli.main(["devices", "--engine", "magicmind"]) == 2
    said = capsys.readouterr()
    assert "cnmon failed with exit status 1: no driver" in said.out
    assert said.err == "error: python3.7: there is no package magicmind\n"


def test_names_in_square_brackets_are_no_markup(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", install(tmp_path / "bin", "echo '[red]no driver[/red]'; exit 1"))
    assert cli.main(["devices", "--engine", "magicmind"]) == 2
    assert "[red]no driver[/red]" in capsys.readouterr().out


def test_an_engine_that_is_none(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["devices", "--engine", "tensorrt"]) == 2
    said = capsys.readouterr().err
    assert "no engine named 'tensorrt'" in said
    assert "openvino or magicmind" in said


def test_listing_the_cpu_needs_no_engine() -> None:
    code = (
        "import sys; from mlubench.cli import main; main(['devices']);"
        "heavy = {'numpy', 'openvino', 'pyarrow', 'prefect'} & set(sys.modules);"
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
