"""Share what a run makes with other hosts, on the store that ``--artifacts`` names."""

from __future__ import annotations

from pathlib import Path

from prefect import task
from prefect.cache_policies import NO_CACHE

from mlubench.evaluate.options import EvaluateParameters
from mlubench.object_store.option import open_depot
from mlubench.object_store.store import Depot
from mlubench.runs import sharing
from mlubench.runs.folders import Run
from mlubench.speed.benchmark.options import BenchParameters
from tasks.progress import remark, step_progress


def open_run(asked: EvaluateParameters | BenchParameters) -> Run:
    """Return a run, with the store that it shares and the history of the runs there.

    Raises:
        ConfigError: the store cannot be used.
    """
    depot = open_depot(asked.artifacts, remark)
    if depot is not None:
        take_history(depot, asked.out)
    return Run(asked.out, depot)


@task(task_run_name="take history", cache_policy=NO_CACHE)
def take_history(depot: Depot, out: Path) -> None:
    """Take the history's rows of other hosts' runs."""
    with step_progress("take history", "take-history") as progress:
        depot.attempt(lambda: sharing.pull_history(depot, out, progress), None)


@task(task_run_name="take baselines", cache_policy=NO_CACHE)
def take_baselines(depot: Depot, out: Path, suite: str) -> None:
    """Take what was pinned on other hosts, and a suite's last nights.

    Raises:
        DepotError: it cannot be told what runs are to be judged by.
    """
    sharing.pull_pins(depot, out)
    depot.attempt(lambda: sharing.pull_nights(depot, out, suite), None)


@task(task_run_name="share {run_id}", cache_policy=NO_CACHE)
def share(depot: Depot, out: Path, what: str, run_id: str) -> str:
    """Put a finished run or night on the store; return why that could not be, or nothing."""
    with step_progress(f"share {what}, kB", "share") as progress:
        sent = 0

        def tell(done: int, total: int) -> None:
            nonlocal sent
            sent = done
            progress(done // 1000, total // 1000)

        unshared = sharing.share(depot, out, what, run_id, tell)
        if not sent:  # it was there
            progress(1, 1)
    return unshared
