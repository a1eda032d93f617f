"""Devices that fail: every shard is done once and right, or the run says why not."""

from __future__ import annotations

import json
import os
import re
import signal
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mlubench.catalogue.engines import Silence
from mlubench.devices.engine_host import EngineHost, engine_host
from mlubench.devices.names import addresses
from mlubench.devices.pool import DevicePool, Job
from mlubench.devices.shard_queue import Work
from mlubench.devices.shards import Shard, cut
from mlubench.engines.interface import BuildSpec
from mlubench.errors import ConfigError, EngineError, MlubenchError, StoreError, WorkerError

ENGINE = "tests.support.fault_engine"
SPEC = BuildSpec("force_float32", 4, False, (4, 4), (0.0,) * 3, (1.0,) * 3)
IMAGES = 60
#: Seconds after which a test that waits has failed.
PATIENCE = 60


@dataclass
class Harness:
    """A dataset of known answers, and the run that infers it."""

    folder: Path
    kept: list[tuple[int, str, Sequence[str]]] = field(default_factory=list)
    answers: dict[int, int] = field(default_factory=dict)
    steps: list[int] = field(default_factory=list)
    broken: MlubenchError | None = None
    before_run: Callable[[DevicePool], None] = lambda pool: None
    after_shard: Callable[[DevicePool], None] = lambda pool: None
    arrival: Callable[[Shard], None] | None = None
    begun: list[int] = field(default_factory=list)
    pool: DevicePool | None = None
    silence: Silence = field(default_factory=Silence)
    changed: threading.Condition = field(default_factory=threading.Condition)

    def run(self, devices: Sequence[str], shards: int = 6) -> None:
        pixels = np.zeros((IMAGES, 4, 4, 3), np.uint8)
        pixels[:, 0, 0, 0] = np.arange(IMAGES)
        path = self.folder / "images.u8"
        pixels.tofile(path)

        def request(shard: Shard, device: str) -> dict[str, Any]:
            if self.broken is not None and shard.index == 3:
                raise self.broken
            self.begun.append(shard.index)
            return {
                "do": "run",
                "pixels": str(path),
                "shape": list(pixels.shape),
                "first": shard.first,
                "images": shard.images,
                "out": str(self._out(shard)),
            }

        with DevicePool(EngineHost(ENGINE, silence=self.silence), devices) as pool:
            pool.load(self.folder)
            self.pool = pool
            self.before_run(pool)
            pool.run(
                cut(IMAGES, 4, shards, 1),
                Job(request, self._keep, self.steps.append, arrival=self.arrival),
            )

    def _out(self, shard: Shard) -> Path:
        return self.folder / f"{shard.index}.npz"

    def _keep(
        self, shard: Shard, device: str, failures: Sequence[str], answer: Mapping[str, Any]
    ) -> None:
        assert answer["seconds"] >= 0
        with np.load(self._out(shard)) as result, self.changed:
            self.kept.append((shard.index, device, failures))
            for offset, answer in enumerate(result["top_index"][:, 0]):
                self.answers[shard.first + offset] = int(answer)
            self.changed.notify_all()
        if self.pool is not None and shard.index < 5:
            self.after_shard(self.pool)

    def check(self) -> None:
        assert sorted(index for index, _, _ in self.kept) == list(range(6))
        assert self.answers == {image: image for image in range(IMAGES)}
        assert self.steps[-1] == IMAGES


@pytest.fixture
def harness(tmp_path: Path) -> Harness:
    return Harness(tmp_path)


@pytest.fixture
def faults(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    counts = tmp_path / "counts"
    counts.mkdir()
    monkeypatch.setenv("MLUBENCH_FAULT_COUNTS", str(counts))

    def set_faults(*wanted: tuple[str, str, str, int]) -> None:
        keys = ("device", "do", "how", "times")
        monkeypatch.setenv(
            "MLUBENCH_FAULTS", json.dumps([dict(zip(keys, fault, strict=True)) for fault in wanted])
        )

    return set_faults


@pytest.mark.parametrize("devices", [["card:0"], ["card:0", "card:1"], ["a", "b", "c", "d", "e"]])
def test_without_faults(harness: Harness, devices: list[str]) -> None:
    harness.run(devices)
    harness.check()
    assert [failures for _, _, failures in harness.kept] == [[]] * 6


@pytest.mark.parametrize("how", ["die", "error", "print"])
def test_one_fault_is_mended_on_the_only_device(harness: Harness, faults: Any, how: str) -> None:
    faults(("card:0", "run", how, 1))
    harness.run(["card:0"])
    harness.check()
    failures = [failure for _, _, failures in harness.kept for failure in failures]
    assert len(failures) == (0 if how == "print" else 1)
    assert all(failure.startswith("card:0: ") for failure in failures)


def test_a_lost_device_leaves_its_shards_to_the_other(harness: Harness, faults: Any) -> None:
    faults(("card:0", "run", "die", 99))
    harness.run(["card:0", "card:1"])
    harness.check()
    assert {device for _, device, _ in harness.kept} == {"card:1"}


@pytest.mark.parametrize(("shards", "ahead"), [(3, False), (4, True)])
def test_a_second_shard_is_given_out_only_where_no_device_goes_without(
    shards: int, ahead: bool
) -> None:
    work = Work(cut(IMAGES, 4, shards, 1), ("card:0", "card:1", "card:2"))
    assert work.take() is not None
    assert (work.take_ahead() is not None) == ahead


@pytest.mark.parametrize("devices", [["card:0"], ["card:0", "card:1"]])
def test_a_shard_is_begun_once_it_has_arrived(harness: Harness, devices: list[str]) -> None:
    """Each arrives only when the one before it is kept: what is there is done meanwhile."""
    begun_at_arrival = []

    def arrival(shard: Shard) -> None:
        with harness.changed:
            assert harness.changed.wait_for(lambda: len(harness.kept) == shard.index, PATIENCE)
        begun_at_arrival.append(len(harness.begun))

    harness.arrival = arrival
    harness.run(devices)
    harness.check()
    assert begun_at_arrival == harness.begun == list(range(6))


def test_a_shard_that_is_given_back_waits_for_no_other_to_arrive(
    harness: Harness, faults: Any
) -> None:
    faults(("card:0", "run", "die", 1))

    def arrival(shard: Shard) -> None:
        if shard.index == 1:  # not before the first one, which fails once, is done
            with harness.changed:
                assert harness.changed.wait_for(lambda: bool(harness.kept), PATIENCE)

    harness.arrival = arrival
    harness.run(["card:0"])
    harness.check()
    assert harness.begun[:2] == [0, 0]


def test_a_shard_that_never_arrives_ends_the_run(harness: Harness) -> None:
    def arrival(shard: Shard) -> None:
        if shard.index == 3:
            raise StoreError("cannot be decoded", where="images")

    harness.arrival = arrival
    with pytest.raises(StoreError, match="cannot be decoded"):
        harness.run(["card:0", "card:1"])
    assert not {3, 4, 5} & set(harness.begun)


def test_what_goes_wrong_unexpectedly_in_an_arrival_is_told(harness: Harness) -> None:
    def arrival(shard: Shard) -> None:
        raise ZeroDivisionError("division by zero")

    harness.arrival = arrival
    with pytest.raises(MlubenchError, match="division by zero") as caught:
        harness.run(["card:0"])
    assert caught.value.where == "images 0 to 7"


def test_lost_devices_end_a_run_whose_shards_are_still_to_come(
    harness: Harness, faults: Any
) -> None:
    faults(("card:0", "run", "die", 99))
    over = threading.Event()

    def arrival(shard: Shard) -> None:
        if shard.index:
            over.wait(PATIENCE)

    harness.arrival = arrival
    with pytest.raises(WorkerError, match="exit status 139"):
        harness.run(["card:0"])
    assert not over.is_set()
    over.set()


def test_a_fault_in_making_a_request_ends_the_run(harness: Harness) -> None:
    harness.broken = StoreError("the pixels have changed", where="images.u8")
    with pytest.raises(StoreError, match="the pixels have changed"):
        harness.run(["card:0", "card:1"])


def test_a_hung_worker_is_killed(harness: Harness, faults: Any) -> None:
    harness.silence = Silence(run=1.0)
    faults(("card:0", "run", "hang", 1))
    harness.run(["card:0", "card:1"])
    harness.check()


@pytest.mark.parametrize("devices", [["card:0"], ["card:0", "card:1"]])
def test_a_worker_that_dies_while_it_loads_is_started_again(
    harness: Harness, faults: Any, devices: list[str]
) -> None:
    faults(("card:0", "load", "die", 1))
    harness.run(devices)
    harness.check()


def test_a_device_that_cannot_load_is_left_out(harness: Harness, faults: Any) -> None:
    faults(("card:0", "load", "die", 99))
    harness.run(["card:0", "card:1"])
    harness.check()
    assert {device for _, device, _ in harness.kept} == {"card:1"}


def test_no_device_can_load(harness: Harness, faults: Any) -> None:
    faults(("card:0", "load", "die", 99))
    with pytest.raises(WorkerError, match="at 'load'"):
        harness.run(["card:0"])


def test_a_worker_killed_while_idle_is_started_again(harness: Harness) -> None:
    harness.before_run = _kill_workers
    harness.run(["card:0", "card:1"])
    harness.check()


def test_deaths_with_work_in_between_do_not_add_up(harness: Harness) -> None:
    # The only device's worker is killed after every shard but the last.
    harness.after_shard = _kill_workers
    harness.run(["card:0"])
    harness.check()


def _kill_workers(pool: DevicePool) -> None:
    for device in pool._devices:
        os.kill(device.worker.process_id, signal.SIGKILL)


def test_all_devices_lost_is_told(harness: Harness, faults: Any) -> None:
    faults(("card:0", "run", "die", 99), ("card:1", "run", "die", 99))
    with pytest.raises(WorkerError, match="exit status 139") as caught:
        harness.run(["card:0", "card:1"])
    assert "segmentation fault in the vendor's library" in str(caught.value)
    assert caught.value.exit_status == 4
    assert caught.value.where == "--devices card:0 card:1"
    assert re.match("no device is left: card:0.*card:1", caught.value.what)


def test_a_lost_device_is_described_by_how_that_began(harness: Harness, faults: Any) -> None:
    faults(("card:0", "run", "error", 1))
    # A worker that runs keeps the faults that it was started with; it is the next that dies.
    harness.before_run = lambda pool: faults(
        ("card:0", "run", "error", 1), ("card:0", "load", "die", 99)
    )
    harness.run(["card:0", "card:1"])
    harness.check()
    assert harness.pool is not None
    assert harness.pool.lost == {"card:0": "enqueue: the device said no"}
    assert harness.pool.descriptions["card:0"] == "lost: enqueue: the device said no"


def test_a_failure_names_its_device_once(harness: Harness, faults: Any) -> None:
    faults(("card:0", "run", "die", 1))
    harness.run(["card:0"])
    ((failure,),) = [failures for _, _, failures in harness.kept if failures]
    assert failure == "card:0: the worker ended at 'run' (exit status 139)"


def test_a_check_goes_to_another_device_where_one_died(harness: Harness) -> None:
    with DevicePool(EngineHost(ENGINE), ["card:0"]) as pool:
        _kill_workers(pool)
        pool.check(SPEC)


def test_a_shard_that_always_fails_ends_the_run(harness: Harness, faults: Any) -> None:
    faults(("card:0", "run", "error", 99), ("card:1", "run", "error", 99))
    with pytest.raises(EngineError, match="the device said no"):
        harness.run(["card:0", "card:1"])


def test_scores_that_are_no_numbers_are_an_error(harness: Harness, faults: Any) -> None:
    faults(("card:0", "run", "nan", 99))
    with pytest.raises(EngineError, match="not finite") as caught:
        harness.run(["card:0"], shards=1)
    assert caught.value.where == "image 0"


def test_a_worker_that_dies_at_start_is_told(harness: Harness, faults: Any) -> None:
    faults(("card:0", "start", "die", 99))
    with pytest.raises(WorkerError, match="ended at 'start'"):
        harness.run(["card:0"])


def test_a_device_that_is_not_there(harness: Harness) -> None:
    with pytest.raises(ConfigError, match="no device card:9"):
        harness.run(["card:9"])


def test_an_engine_that_is_not_there(tmp_path: Path) -> None:
    with (
        pytest.raises(ConfigError, match="no engine named 'tensorflow'"),
        DevicePool(engine_host("tensorflow"), ["cpu:0"]),
    ):
        pass


def test_a_result_that_cannot_be_kept_ends_the_run(harness: Harness) -> None:
    def full(*_: object) -> None:
        raise StoreError("cannot be written: No space left on device", where="shard")

    harness._keep = full  # type: ignore[method-assign]
    with pytest.raises(MlubenchError, match="No space left"):
        harness.run(["card:0", "card:1"])


def test_addresses_divide_the_cores_by_the_highest_group() -> None:
    assert addresses(["cpu:0"]) == ["cpu:0/1"]
    assert addresses(["cpu:0", "cpu:1"]) == ["cpu:0/2", "cpu:1/2"]
    assert addresses(["cpu:3"]) == ["cpu:3/4"]
    assert addresses(["cpu:0/2", "mlu:0"]) == ["cpu:0/2", "mlu:0"]
