"""``mlubench fetch``: the files of networks, to where an evaluation looks for them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from mlubench import catalogue
from mlubench.catalogue import ModelEntry
from mlubench.download import Downloads
from mlubench.errors import DownloadError, NetworkError
from mlubench.pipeline.fetch import Fetched, chosen_models, fetch_files, files_to_fetch
from mlubench.pipeline.run import models_folder


def fetch(
    *names: str,
    all_: Annotated[bool, Parameter(name="--all")] = False,
    mirror: tuple[str, ...] = (),
    conf: tuple[Path, ...] = (),
    out: Path = Path("artifacts"),
) -> None:
    """Fetch networks of conf/models.yaml into OUT/models/NAME; what is there and right stays.

    Args:
        names: of the catalogue.
        all_: every network of the catalogue.
        mirror: folders or URLs that are tried first; files lie there by their names, or in a
            folder of the network's name.
        conf: folders with a models.yaml of your own.
        out: folder of runs and caches.
    """
    chosen = chosen_models(catalogue.models(conf), names, every=all_)
    faults: list[DownloadError | NetworkError] = []
    for name, entry in chosen.items():
        try:
            _fetch_one(name, entry, mirror, models_folder(out))
        except (DownloadError, NetworkError) as error:
            faults.append(error)
    if len(faults) == 1:
        raise faults[0]
    if faults:
        told = "".join(f"\n{error}" for error in faults)
        raise NetworkError(f"{len(faults)} files are lacking{told}", where="mlubench fetch")


def _fetch_one(name: str, entry: ModelEntry, mirrors: tuple[str, ...], models: Path) -> None:
    out = Console(highlight=False, soft_wrap=True)
    wanted = files_to_fetch(name, entry, models)
    if not wanted.files:
        out.print(f"{name}: is with its catalogue", markup=False)
        return
    columns = (
        TextColumn("{task.description:<24}"),
        BarColumn(bar_width=24),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True, highlight=False), transient=True) as bars:
        bar = bars.add_task(name, total=None)
        downloads = Downloads(
            progress=lambda done, total: bars.update(bar, completed=done, total=total),
            remark=lambda text: bars.console.print(text, markup=False, soft_wrap=True),
        )

        def tell(file: Fetched) -> None:
            how = "fetched" if file.anew else "was there"
            out.print(f"{name}: {how}, {file.path}", markup=False)

        fetch_files(wanted, downloads, mirrors, tell)
