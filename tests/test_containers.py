"""What the linters of containers/ do not know: this project's own rules for what is in there.

Nothing is built here.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "containers"
DOCKERFILES = sorted(FOLDER.glob("*.Dockerfile"))
COMPOSE: dict[str, Any] = yaml.safe_load((FOLDER / "compose.yaml").read_text(encoding="utf-8"))


def _lines_of_lint() -> list[str]:
    """Return the commands of `make lint` that look at containers/, one after the other."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    return re.findall(r"^\t\$\(BIN\)/(\S+ .*)containers/\S+$", makefile, re.MULTILINE)


def _lint(command: str, path: Path) -> subprocess.CompletedProcess[str]:
    program, *options = command.split()
    place = str(Path(sys.executable).with_name(program))
    return subprocess.run([place, *options, str(path)], capture_output=True, text=True, check=False)


def test_lint_finds_what_is_wrong(tmp_path: Path) -> None:
    hadolint, schema = _lines_of_lint()
    wrong = tmp_path / "x.Dockerfile"
    wrong.write_text("FROM python\nRUN pip install numpy\nUSER root\n")
    assert _lint(hadolint, wrong).returncode == 1
    wrong.write_text("FROM python:3.11\nRUNN true\n")
    assert _lint(hadolint, wrong).returncode == 1
    wrong = tmp_path / "compose.yaml"
    for text in ("services: {a: {imagee: b}}", "services: {a: {image: b, port: [1]}}"):
        wrong.write_text(text)
        assert _lint(schema, wrong).returncode == 1


@pytest.mark.parametrize(
    "path", [*DOCKERFILES, FOLDER / "compose.yaml"], ids=lambda path: path.name
)
def test_the_first_line_says_that_it_is_not_built_in_ci(path: Path) -> None:
    assert "ot built" in path.read_text(encoding="utf-8").splitlines()[0]


def test_there_is_an_image_for_the_cpu_and_one_for_cards() -> None:
    assert [path.name for path in DOCKERFILES] == ["cpu.Dockerfile", "mlu.Dockerfile"]


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.name)
def test_images_send_no_telemetry_and_do_not_run_as_root(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert "DO_NOT_TRACK=1" in text
    assert "PREFECT_SERVER_ANALYTICS_ENABLED=false" in text
    assert "--constraint constraints.txt" in text
    *_, user = re.findall(r"^USER (\d+)$", text, re.MULTILINE)
    assert int(user) > 0


def test_ports_are_published_on_loopback_only() -> None:
    ports = [port for service in COMPOSE["services"].values() for port in service.get("ports", ())]
    assert ports == ["127.0.0.1:4200:4200"]


def test_the_password_has_no_default_and_stands_nowhere() -> None:
    passwords = {
        value
        for service in COMPOSE["services"].values()
        for name, value in service.get("environment", {}).items()
        if "PASSWORD" in name
    }
    assert len(passwords) == 1
    assert re.fullmatch(r"\$\{POSTGRES_PASSWORD:\?[^}]+\}", passwords.pop())


def test_the_cards_worker_has_what_the_vendor_documents() -> None:
    worker = COMPOSE["services"]["worker-mlu"]
    assert worker["profiles"] == ["mlu"]
    assert worker["devices"] == ["/dev/cambricon_dev0", "/dev/cambricon_ctl"]
    assert "/usr/bin/cnmon:/usr/bin/cnmon:ro" in worker["volumes"]
    assert worker["cap_add"] == ["SYS_PTRACE"]


def test_every_image_is_built_from_a_file_that_is_there() -> None:
    for service in COMPOSE["services"].values():
        if "build" in service:
            context = (FOLDER / service["build"]["context"]).resolve()
            assert context == ROOT
            assert (context / service["build"]["dockerfile"]).is_file()


def test_the_servers_health_check_is_sound(tmp_path: Path) -> None:
    _, program, option, code = COMPOSE["services"]["server"]["healthcheck"]["test"]
    assert (program, option) == ("python", "-c")
    nobody = code.replace("4200", "1")
    done = subprocess.run(
        [sys.executable, option, nobody], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (1, "")


def test_images_hold_nothing_that_git_ignores() -> None:
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").split("\n")
    for line in (ROOT / ".gitignore").read_text(encoding="utf-8").split():
        name = line.rstrip("/")
        assert name in ignored or f"**/{name}" in ignored, line
