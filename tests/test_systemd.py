"""The units of ``conf/systemd``: systemd reads them, and what they start is there."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from flows.service.__main__ import parser
from tests.support.service import ROOT

#: Where the units take the checkout to be.
_CHECKOUT = "/opt/mlubench"
UNITS = sorted((ROOT / "conf" / "systemd").glob("*.service"))


def _values(unit: Path, name: str) -> list[str]:
    return re.findall(rf"^{name}=(.*)$", unit.read_text(encoding="utf-8"), re.MULTILINE)


def _in_this_checkout(text: str) -> str:
    """Return a unit's text with this checkout in place of its own, in its environment or ours."""
    programs = str(Path(sys.executable).parent)
    return text.replace(f"{_CHECKOUT}/.venv/bin", programs).replace(_CHECKOUT, str(ROOT))


def test_systemd_finds_nothing_wrong(tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("NO SYSTEMD: apt-get install systemd")
    for unit in UNITS:
        text = _in_this_checkout(unit.read_text(encoding="utf-8"))
        (tmp_path / unit.name).write_text(text, encoding="utf-8")
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *(str(tmp_path / one.name) for one in UNITS)],
        capture_output=True,
        text=True,
        check=False,
    )
    # Units of this machine that they wait for may have faults of their own.
    said = [line for line in done.stderr.splitlines() if "mlubench" in line]
    assert said == []
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_what_a_unit_starts_is_in_the_checkout(unit: Path) -> None:
    (command,) = _values(unit, "ExecStart")
    program, *words = shlex.split(_in_this_checkout(command))
    assert Path(program).is_file()
    if words[0] == "-m":
        module = ROOT / words[1].replace(".", "/")
        assert module.with_suffix(".py").is_file() or (module / "__main__.py").is_file()
        parser().parse_args(words[2:])
    for folder in [*_values(unit, "WorkingDirectory"), *_values(unit, "ReadWritePaths")]:
        assert Path(_in_this_checkout(folder)).is_dir()


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_no_secret_is_in_a_command_or_a_unit(unit: Path) -> None:
    """Whoever is on the host may read both: systemctl cat, ps."""
    assert "://" not in "".join(_values(unit, "ExecStart"))
    assert "DATABASE" not in unit.read_text(encoding="utf-8")
    assert _values(unit, "EnvironmentFile")


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_a_unit_keeps_to_its_user_and_leaves_no_process(unit: Path) -> None:
    (user,) = _values(unit, "User")
    assert user.startswith("mlubench")
    for name, value in {
        "NoNewPrivileges": "yes",
        "ProtectSystem": "strict",
        "KillMode": "mixed",
        "Restart": "on-failure",
    }.items():
        assert _values(unit, name) == [value]
