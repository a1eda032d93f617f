"""Shards on the hosts of a Dask cluster: two Dask workers on loopback that share no folder."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pandas as pd
import pytest

from flows.service.server import free_port
from mlubench.cli import main
from mlubench.errors import ConfigError
from tests.flows.conftest import Evaluate
from tests.support.dask_hosts import Host, Scheduler, kill_at_once
from tests.support.long import long
from tests.support.pageless import pageless as pageless
from tests.support.processes import becomes
from tests.support.simulated_sdk import environment, misuses

FLOAT = {"precision": ("force_float32",)}


@pytest.fixture(scope="module")
def scheduler(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scheduler]:
    with Scheduler(tmp_path_factory.mktemp("cluster")).running() as scheduler:
        yield scheduler


@pytest.fixture(scope="module")
def hosts(scheduler: Scheduler) -> Iterator[tuple[Host, Host]]:
    with scheduler.worker("near") as near, scheduler.worker("far") as far:
        yield near, far


def _begun(out: Path) -> bool:
    """Whether some shards get finished; each Dask worker imports a lot before its first."""
    return any(
        becomes(lambda: len(list(out.glob("unfinished/*/*/*.parquet"))) >= 3) for _ in range(6)
    )


def test_no_scheduler_is_told_before_anything_starts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    nobody = f"tcp://127.0.0.1:{free_port()}"
    words = ["eval", "--out", str(tmp_path), "--runner", "dask", "--scheduler", nobody]
    assert main(words) == 2
    said = capsys.readouterr().err
    assert f"--scheduler {nobody}: no Dask scheduler answers there" in said
    assert "dask scheduler --host" in said
    assert not (tmp_path / "prefect").exists()


def test_a_cluster_without_the_resource_is_refused(run: Evaluate, scheduler: Scheduler) -> None:
    with pytest.raises(ConfigError, match="no Dask worker there has the resource 'cpu'") as error:
        run(runner="dask", scheduler=scheduler.address, **FLOAT)
    assert f"dask worker {scheduler.address} --nthreads 1 --resources cpu=1" in error.value.fix


@pytest.mark.usefixtures("pageless")
def test_two_hosts_that_share_no_disk_change_no_byte(
    run: Evaluate, prefect_run: Evaluate, scheduler: Scheduler, hosts: tuple[Host, Host]
) -> None:
    precisions = ("force_float32", "force_float16")
    here = run(shards=1, precision=precisions)
    there = prefect_run(runner="dask", scheduler=scheduler.address, shards=8, precision=precisions)
    expected = (here.folder / "predictions.parquet").read_bytes()
    assert (there.folder / "predictions.parquet").read_bytes() == expected

    shards = pd.read_parquet(there.folder / "shards.parquet")
    assert set(shards.device) == {"near/cpu:0", "far/cpu:0"}
    assert shards.groupby("precision").images.sum().tolist() == [600] * 2
    assert (shards.attempts == 1).all()
    assert [one.split(": ")[0] for one in there.record.devices] == ["far", "near"]
    for host in hosts:  # each got the networks into its own folder
        assert len(list(host.folder.glob("**/compiled/*/model.bin"))) == 2
    assert not scheduler.device_workers()


@long
def test_a_shard_holds_a_card_and_one_that_fails_is_done_again(
    run: Evaluate,
    prefect_run: Evaluate,
    scheduler: Scheduler,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def cards(*faults: dict[str, object]) -> dict[str, str]:
        variables = environment(tmp_path, cards=2, faults=faults)
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        return variables

    few = {"engine": "magicmind", "devices": ("mlu:0",), "image_num": 96, **FLOAT}
    cards()
    expected = (run(**few).folder / "predictions.parquet").read_bytes()
    variables = cards({"call": "Context.enqueue", "how": "abort", "times": 1})
    with scheduler.worker("cards", slots="mlu=2"):
        outcome = prefect_run(runner="dask", scheduler=scheduler.address, shards=12, **few)
    assert (outcome.folder / "predictions.parquet").read_bytes() == expected
    shards = pd.read_parquet(outcome.folder / "shards.parquet")
    assert set(shards.device) == {"cards/mlu:0 (simulated)", "cards/mlu:1 (simulated)"}
    (failed,) = shards[shards.attempts > 1].failures
    assert failed[0].startswith("cards: the worker ended at 'run' (exit status ")
    assert misuses(variables) == []


def test_a_host_with_another_version_is_refused(
    run: Evaluate, scheduler: Scheduler, hosts: tuple[Host, Host], tmp_path: Path
) -> None:
    old = tmp_path / "old.py"
    old.write_text("import mlubench\nmlubench.__version__ = '0.0.9'\n", encoding="utf-8")
    with (
        scheduler.worker("old", "--preload", str(old)),
        pytest.raises(ConfigError, match=r"mlubench is '0\.0\.9', on the flow's host") as error,
    ):
        run(runner="dask", scheduler=scheduler.address, **FLOAT)
    assert error.value.where.startswith("Dask worker old (tcp://127.0.0.1:")


@long
def test_the_shards_of_a_killed_host_are_redone_by_the_other(
    run: Evaluate,
    prefect_run: Evaluate,
    scheduler: Scheduler,
    hosts: tuple[Host, Host],
    out: Path,
) -> None:
    expected = (run(shards=1, **FLOAT).folder / "predictions.parquet").read_bytes()
    far = hosts[1]
    finished = threading.Event()

    def kill() -> None:
        assert _begun(out)
        far.kill()
        finished.set()

    killer = threading.Thread(target=kill)
    killer.start()
    outcome = prefect_run(runner="dask", scheduler=scheduler.address, shards=40, **FLOAT)
    killer.join()
    assert finished.is_set()
    assert (outcome.folder / "predictions.parquet").read_bytes() == expected

    shards = pd.read_parquet(outcome.folder / "shards.parquet")
    redone = shards[shards.attempts > 1]
    assert len(redone) > 0
    assert set(redone.device) == {"near/cpu:0"}
    assert {how for failures in redone.failures for how in failures} == {
        "far: its Dask worker ended"
    }
    assert "lost, the others did its work: far: its Dask worker ended" in outcome.notes()


@long
def test_a_run_goes_on_where_nannies_start_all_workers_again(
    run: Evaluate, prefect_run: Evaluate, tmp_path: Path, out: Path
) -> None:
    """With all Dask workers the network is lost that had been sent to them."""
    expected = (run(shards=1, **FLOAT).folder / "predictions.parquet").read_bytes()
    with (
        Scheduler(tmp_path).running() as scheduler,
        scheduler.worker("left", nanny=True) as left,
        scheduler.worker("right", nanny=True) as right,
        ThreadPoolExecutor() as pool,
    ):

        def kill() -> None:
            assert _begun(out)
            kill_at_once(left, right)

        killed = pool.submit(kill)
        outcome = prefect_run(runner="dask", scheduler=scheduler.address, shards=16, **FLOAT)
        killed.result()
    assert (outcome.folder / "predictions.parquet").read_bytes() == expected
    shards = pd.read_parquet(outcome.folder / "shards.parquet")
    redone = shards[shards.attempts > 1]
    assert {how for failures in redone.failures for how in failures} == {
        "left: its Dask worker ended",
        "right: its Dask worker ended",
    }
