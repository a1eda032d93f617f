"""Faults on demand, across processes."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.simulated_sdk_tests.lifecycle import Plan, Runner, activate, build
from tests.support.networks import CLASSES, random_images
from tests.support.simulated_sdk import BIN, CALLS, SDK, environment, misuses, simulated

ROOT = SDK.parent.parent
#: Runs a model on a card and says how it went, as an engine would.
PROGRAM = """
import sys
import numpy as np
import magicmind.python.runtime as mm
from tests.simulated_sdk_tests.lifecycle import Runner

try:
    runner = Runner(mm, sys.argv[1], int(sys.argv[2]))
    for _ in range(int(sys.argv[3])):
        scores = runner.run(np.zeros((4, 16, 16, 3), np.uint8))
        print("scores", *scores.shape, flush=True)
except AssertionError as error:
    print("failed", error)
"""


@pytest.fixture(scope="module")
def model(small: Plan, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    with simulated(folder / "simulation") as mm:
        build(mm, small, folder / "model")
    return folder / "model"


def _start(
    model: Path, variables: dict[str, str], card: int = 0, runs: int = 1, **more: str
) -> subprocess.Popen[str]:
    environ = {**os.environ, **variables, **more}
    environ["PYTHONPATH"] = os.pathsep.join([environ["PYTHONPATH"], str(ROOT)])
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(model), str(card), str(runs)],
        env=environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def _run(*args: Any, **kwargs: Any) -> tuple[int, str, str]:
    with _start(*args, **kwargs) as process:
        out, err = process.communicate(timeout=120)
    return process.returncode, out, err


def _fault(call: str, how: str, **more: Any) -> list[dict[str, Any]]:
    return [{"call": call, "how": how, **more}]


def test_the_calls_are_those_that_there_are(mm: Any) -> None:
    import magicmind.python.runtime.parser  # noqa: F401
    from magicmind.simulation import strict

    assert sorted(strict.CALLS) == sorted(CALLS)


def _here(mm: Any, model: Path, runs: int = 1) -> str:
    """Return what :data:`PROGRAM` says, without a process of its own."""
    said = ""
    try:
        runner = Runner(mm, model)
        for _ in range(runs):
            scores = runner.run(np.zeros((4, 16, 16, 3), np.uint8))
            said += " ".join(map(str, ("scores", *scores.shape))) + "\n"
    except AssertionError as error:
        said += f"failed {error}\n"
    return said


@pytest.mark.parametrize(
    ("call", "number"),
    [("System.initialize", 0), ("Context.enqueue", 1), ("Queue.sync", 1), ("Tensor.to", 1)],
)
def test_a_bad_status_comes_once_and_after(
    call: str, number: int, model: Path, tmp_path: Path
) -> None:
    with simulated(tmp_path, faults=_fault(call, "status", after=number)) as mm:
        out = _here(mm, model, runs=3)
        assert out.splitlines()[:number] == ["scores 4 10"] * number
        assert "failed" in out
        assert f"simulated: {call}: injected failure" in out or call == "System.initialize"
        assert _here(mm, model, runs=3) == "scores 4 10\n" * 3


def test_processes_share_how_often_a_fault_came(model: Path, tmp_path: Path) -> None:
    variables = environment(tmp_path, faults=_fault("Queue.sync", "status", after=1))
    code, out, _ = _run(model, variables, runs=3)
    assert code == 0
    assert out.startswith("scores 4 10\nfailed ")
    assert "simulated: Queue.sync: injected failure" in out
    # It was told once; the next process, which shares the count, is well.
    assert _run(model, variables, runs=3)[1] == "scores 4 10\n" * 3
    assert misuses(variables) == []


@pytest.mark.parametrize(
    "call", ["Model.create_i_engine", "Engine.create_i_context", "Device.create_queue"]
)
@pytest.mark.parametrize("how", ["none", "status"])
def test_a_factory_gives_none(call: str, how: str, model: Path, tmp_path: Path) -> None:
    with simulated(tmp_path, faults=_fault(call, how)) as mm:
        assert _here(mm, model) == "failed \n"


@pytest.mark.parametrize(
    ("how", "number"), [("abort", signal.SIGABRT), ("segfault", signal.SIGSEGV)]
)
def test_a_crash_is_that_of_the_process(how: str, number: int, model: Path, tmp_path: Path) -> None:
    variables = environment(tmp_path, faults=_fault("Context.enqueue", how, after=1))
    code, out, err = _run(model, variables, runs=3)
    assert (code, out) == (-number, "scores 4 10\n")
    assert f"simulated {how} at Context.enqueue" in err
    assert _run(model, variables, runs=3)[:2] == (0, "scores 4 10\n" * 3)


def test_a_hang_never_ends(model: Path, tmp_path: Path) -> None:
    variables = environment(tmp_path, faults=_fault("Queue.sync", "hang", after=1))
    with _start(model, variables, runs=3) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "scores 4 10\n"
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(1)
        process.kill()
        assert process.stdout.read() == ""


def test_a_lost_card_is_lost_to_all(model: Path, tmp_path: Path) -> None:
    faults = _fault("Context.enqueue", "lost", card=1)
    variables = environment(tmp_path, cards=2, faults=faults)
    assert "Context.enqueue: card 1 is lost" in _run(model, variables, card=1)[1]
    assert "Device.active: card 1 is lost" in _run(model, variables, card=1)[1]
    assert _run(model, variables, card=0)[1] == "scores 4 10\n"
    # A process that sees the lost card as its number 0.
    visible = _run(model, variables, MLU_VISIBLE_DEVICES="1")[1]
    assert "Device.active: card 1 is lost" in visible


def test_a_fault_is_of_one_card(model: Path, tmp_path: Path) -> None:
    faults = _fault("Context.enqueue", "status", card=1, times=9)
    variables = environment(tmp_path, cards=2, faults=faults)
    assert _run(model, variables, card=0)[1] == "scores 4 10\n"
    assert "injected failure" in _run(model, variables, card=1)[1]
    assert _run(model, variables, card=1, MLU_VISIBLE_DEVICES="1,0")[1] == "scores 4 10\n"


@pytest.mark.parametrize(
    ("call", "shape"), [("Context.enqueue", (4, CLASSES - 1)), ("Tensor.asnumpy", (3, CLASSES))]
)
def test_a_wrong_shape(call: str, shape: tuple[int, int], model: Path, tmp_path: Path) -> None:
    with simulated(tmp_path, faults=_fault(call, "wrong_shape")) as mm:
        runner = Runner(mm, model)
        assert runner.run(random_images(4)).shape == shape
        assert runner.run(random_images(4)).shape == (4, CLASSES)


def test_flags_are_false(tmp_path: Path) -> None:
    with simulated(tmp_path, faults=_fault("LoadPluginLibrary.load", "status")) as mm:
        assert mm.LoadPluginLibrary().load(__file__) is False
        assert mm.LoadPluginLibrary().load(__file__) is True
        assert mm.LoadPluginLibrary().load(str(tmp_path / "absent.so")) is False


@pytest.mark.parametrize(
    "fault",
    [
        {"call": "Context.enqueue", "how": "none"},
        {"call": "Context.enqueues", "how": "status"},
        {"call": "Context.enqueue", "how": "explode"},
        {"call": "Queue.sync", "how": "wrong_shape"},
        {"call": "Queue.sync", "how": "status", "afterwards": 1},
    ],
)
def test_a_fault_that_cannot_be_is_refused(fault: dict[str, Any], tmp_path: Path) -> None:
    with simulated(tmp_path, faults=[fault]) as mm:
        from magicmind.simulation.settings import SettingsError

        with pytest.raises(SettingsError), mm.System():
            pass


def test_memory_is_shared_by_contexts_and_tensors(model: Path, tmp_path: Path) -> None:
    context = len(model.read_bytes()) / (1 << 20)
    with simulated(tmp_path, memory_mb=3.5 * context) as mm:
        runner = Runner(mm, model)
        others = [runner.engine.create_i_context() for _ in range(3)]
        assert [one is not None for one in others] == [True, True, False]
        assert np.isfinite(runner.run(random_images(4))).all()
        del others
        assert runner.engine.create_i_context() is not None
    with simulated(tmp_path, memory_mb=context + 0.002) as mm:
        runner = Runner(mm, model)
        assert runner.inputs[0].from_numpy(random_images(4)).ok()
        status = runner.inputs[0].to(runner.device)
        assert not status.ok()
        assert "card 0 has no memory left" in str(status)


def test_cards_that_are_visible(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLU_VISIBLE_DEVICES", "3,1")
    with simulated(tmp_path, cards=4) as mm:
        with mm.System() as system:
            assert system.device_count() == 2
        from magicmind.simulation import faults

        activate(mm, 1)
        assert faults.active_card() == 1
        device = mm.Device()
        device.id = 2
        assert not device.active().ok()


def test_cnmon_shows_the_simulated_cards(tmp_path: Path) -> None:
    variables = environment(tmp_path, cards=3, name="MLU370-X4", clusters=8)
    path = os.pathsep.join([str(BIN), os.environ["PATH"]])

    def cnmon(*args: str) -> str:
        return subprocess.run(
            ["cnmon", *args],
            env={**os.environ, **variables, "PATH": path},
            capture_output=True,
            text=True,
            check=True,
        ).stdout

    lines = cnmon().splitlines()
    assert len({len(line) for line in lines if line.startswith(("|", "+"))}) == 1
    assert any(re.match(r"\| CNMON v5\.10\.13 +Driver v5\.10\.13 \|$", line) for line in lines)
    cards = [re.match(r"\| (\d+) +/ +(\S.*?) +N/A +\| +(\S+) \| 0%", line) for line in lines]
    found = [match.groups() for match in cards if match]
    assert [(card, name) for card, name, _ in found] == [
        (str(card), "MLU370-X4 simulated") for card in range(3)
    ]
    assert len({bus for _, _, bus in found}) == 3
    assert "Product Name : MLU370-X4 simulated" in cnmon("info", "-c", "2", "-t")
    assert "v5.10.13" in cnmon("version")


def test_settings_are_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with simulated(tmp_path):
        from magicmind.simulation.settings import SettingsError, read_settings

        path = tmp_path / "wrong.json"
        monkeypatch.setenv("MAGICMIND_SIMULATION", str(path))
        for wrong in ({"card": 2}, {"name": "MLU999"}):
            path.write_text(json.dumps(wrong))
            with pytest.raises(SettingsError):
                read_settings()
        monkeypatch.delenv("MAGICMIND_SIMULATION")
        assert read_settings().cards == 1
        monkeypatch.setenv("MLU_VISIBLE_DEVICES", "1")
        with pytest.raises(SettingsError):
            read_settings()
