"""What the verbs that look at runs do with ``--artifacts``: take a run from the store."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter
from rich.console import Console

from mlubench.object_store.address import is_address, split_run
from mlubench.object_store.option import open_depot

if TYPE_CHECKING:
    from mlubench.object_store.store import Depot

Artifacts = Annotated[
    str | None,
    Parameter(help="store that hosts share: runs that OUT has not are taken from there"),
]


def depot_of(artifacts: str | None) -> Depot | None:
    """Return the store, remarks on which go to standard error; None where none is named.

    Raises:
        ConfigError: it cannot be used.
    """
    console = Console(stderr=True)
    return open_depot(artifacts, lambda text: console.print(text, markup=False, soft_wrap=True))


def brought_run(run: str, out: Path, artifacts: str | None) -> str:
    """Return a run's name as it is found in OUT, taken from the store where it is not there.

    Args:
        run: a folder, an id, or an address such as ``s3://bucket/prefix/runs/RUN_ID``.
        out: folder of runs and caches.
        artifacts: the store; None where there is none, unless the run is an address.

    Raises:
        ConfigError: the store cannot be used, or has no such run.
    """
    if is_address(run):
        artifacts, run = split_run(run)
    elif any((place / "run.json").is_file() for place in (out / "runs" / run, Path(run))):
        return run
    depot = depot_of(artifacts)
    if depot is None:
        return run  # who looks for it says that it is not there
    from mlubench.runs.sharing import bring_run, pull_history

    pull_history(depot, out)  # its page shows the runs before it
    bring_run(depot, out, run)
    return run
