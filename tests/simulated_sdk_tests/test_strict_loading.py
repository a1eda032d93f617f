"""What the real SDK may take silently of cards and models is refused."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.simulated_sdk_tests.lifecycle import Plan, Runner, activate, build
from tests.support.networks import random_images
from tests.support.simulated_sdk import misuse, simulated

IMAGES = random_images(4)


# ---- cards


def test_the_system_comes_first(mm: Any) -> None:
    device = mm.Device()
    device.id = 0
    with misuse("no System was initialised"):
        device.active()
    with misuse("the System is new"):
        mm.System().device_count()
    system = mm.System()
    assert system.initialize().ok()
    assert system.device_count() == 1
    system.destory()
    with misuse("the System is closed"):
        system.device_count()


def test_fields_that_there_are_not(mm: Any) -> None:
    device = mm.Device()
    with misuse("Device.dev_id: there is no such field; it has id"):
        device.dev_id = 1
    with misuse("id is a str"):
        device.id = "0"
    with mm.System(), misuse("id is not set"):
        device.active()
    device = activate(mm)
    with misuse("it was activated already"):
        device.id = 1
    with misuse("EngineConfig.device: there is no such field"):
        mm.Model.EngineConfig().device = "MLU"


def test_a_card_that_is_not_there_is_a_bad_status(mm: Any) -> None:
    device = mm.Device()
    device.id = 1
    with mm.System():
        assert not device.active().ok()


def test_without_an_active_card(mm: Any, small: Plan, tmp_path: Path) -> None:
    model = build(mm, small, tmp_path / "model")
    with misuse("no Device was activated by this thread"):
        model.create_i_engine()
    device = mm.Device()
    device.id = 0
    with misuse("has not activated the card"):
        device.create_queue()


def _in_a_thread(act: Callable[[], Any]) -> None:
    raised: list[BaseException] = []

    def call() -> None:
        try:
            act()
        except RuntimeError as error:
            raised.append(error)

    thread = threading.Thread(target=call)
    thread.start()
    thread.join()
    if raised:
        raise raised[0]


def test_every_thread_activates_its_card(mm: Any, runner: Runner) -> None:
    runner.fill(IMAGES)
    with misuse("the calling thread has not activated"):
        _in_a_thread(lambda: runner.context.enqueue(runner.inputs, [], runner.queue))
    with misuse("the calling thread has not activated"):
        _in_a_thread(runner.queue.sync)
    runner.sync()


def test_two_threads_in_one_object(
    mm: Any, runner: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    from magicmind.simulation import graphs

    begun, go_on = threading.Event(), threading.Event()
    real = graphs.run_images

    def slow(*args: Any) -> Any:
        begun.set()
        go_on.wait(60)
        return real(*args)

    monkeypatch.setattr(graphs, "run_images", slow)
    runner.fill(IMAGES)
    runner.enqueue([])
    inside = threading.Event()

    def wait_there() -> None:
        activate(mm)
        inside.set()
        runner.sync()

    thread = threading.Thread(target=wait_there)
    thread.start()
    assert inside.wait(60)
    while not runner.queue._busy.locked():  # until the thread is inside the call
        pass
    with misuse("another thread is inside a call of the same object"):
        runner.queue.sync()
    go_on.set()
    thread.join()


# ---- models


def test_files_that_are_no_models_are_bad_statuses(mm: Any, small: Plan, tmp_path: Path) -> None:
    build(mm, small, tmp_path / "model")
    data = (tmp_path / "model").read_bytes()
    cases = {
        "it is no model": b"garbage",
        "it is of version 'simulatex'": data.replace(b"simulated\n", b"simulatex\n", 1),
        "it is damaged": data[:-60] + b"?" * 60,
        "it is damaged ": data[: len(data) // 2],
        "it is no model ": b"",
    }
    for told, content in cases.items():
        (tmp_path / "wrong").write_bytes(content)
        status = mm.Model().deserialize_from_file(str(tmp_path / "wrong"))
        assert not status.ok()
        assert told.strip() in str(status)
    assert not mm.Model().deserialize_from_file(str(tmp_path / "absent")).ok()
    assert not mm.Model().deserialize_from_file(str(tmp_path)).ok()
    model = build(mm, small, tmp_path / "again")
    assert not model.serialize_to_file(str(tmp_path / "absent" / "model")).ok()


@pytest.mark.parametrize(
    ("archs", "clusters", "fits"),
    [
        ([{"mtp_372": [6, 8]}], 6, True),
        ([{"mtp_372": [2, 8]}], 6, True),
        ([{"mtp_372": [8]}], 6, False),
        ([{"mtp_372": [8]}], 8, True),
        (["mtp_372"], 6, True),
    ],
)
def test_models_for_other_numbers_of_clusters(
    archs: list[Any], clusters: int, fits: bool, small: Plan, tmp_path: Path
) -> None:
    with simulated(tmp_path / "simulation", clusters=clusters) as mm:
        model = build(mm, dataclasses.replace(small, more=[{"archs": archs}]), tmp_path / "model")
        activate(mm)
        assert (model.create_i_engine() is not None) == fits


def test_a_model_for_another_chip(mm: Any, small: Plan, tmp_path: Path) -> None:
    build(mm, small, tmp_path / "model")
    with simulated(tmp_path / "simulation", name="MLU590") as other:
        status = other.Model().deserialize_from_file(str(tmp_path / "model"))
        assert not status.ok()
        assert "for ['mtp_372'], the cards are mtp_592" in str(status)


def test_models_used_wrongly(mm: Any, small: Plan, tmp_path: Path) -> None:
    model = build(mm, small, tmp_path / "model")
    activate(mm)
    with misuse("the model is empty"):
        mm.Model().create_i_engine()
    with misuse("the model is empty"):
        mm.Model().get_input_num()
    with misuse("the model holds one already"):
        model.deserialize_from_file(str(tmp_path / "model"))
    with misuse("path is a PosixPath"):
        mm.Model().deserialize_from_file(tmp_path / "model")
    with misuse("the config's device_type is not 'MLU'"):
        model.create_i_engine(mm.Model.EngineConfig())
    with misuse("there is no input 1"):
        model.get_input_data_type(1)


def test_what_made_it_is_kept(mm: Any, runner: Runner, small: Plan, tmp_path: Path) -> None:
    runner.fill(IMAGES)
    del runner.engine
    with misuse("the Engine that it came from is gone"):
        runner.context.enqueue(runner.inputs, [], runner.queue)
    engine = build(mm, small, tmp_path / "other").create_i_engine()
    with misuse("the Model that it came from is gone"):
        engine.create_i_context()
