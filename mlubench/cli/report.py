"""``mlubench report``: a run's page, rendered again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from rich.console import Console

from mlubench.cli.artifacts import Artifacts, brought_run


def report(
    run: Annotated[
        str, Parameter(help="folder of a run, its id, or s3://bucket/prefix/runs/RUN_ID")
    ],
    *,
    artifacts: Artifacts = None,
    out: Annotated[Path, Parameter(help="folder of runs and caches")] = Path("artifacts"),
) -> int:
    """Render report.html of an evaluation again, from the Parquet files in its folder.

    Nothing is measured. The same files give the same page. A run of a store is taken into OUT.
    """
    from mlubench.pipeline.page import write_page
    from mlubench.pipeline.runs import find_run

    path = write_page(find_run(brought_run(run, out, artifacts), out))
    Console(highlight=False, soft_wrap=True, markup=False).print(str(path))
    return 0
