"""report.html of a run folder, from the other files in it."""

from __future__ import annotations

from pathlib import Path

from mlubench.errors import MlubenchError
from mlubench.runs.bench_record import BenchRecord


def write_page(folder: Path) -> Path:
    """Render report.html from the files of a run folder; return its path.

    The verdict that was said of the run and the runs before it lie beside it, in ``history`` of
    the folder of runs and caches. The same files give the same bytes.

    Raises:
        ConfigError: the run is of a version without what the page needs.
        StoreError: a file cannot be read, or the page not be written.
    """
    # What draws takes 100 MB and a second to import: no run has that before its end.
    if BenchRecord.is_in(folder):
        from mlubench.speed.benchmark.page import write_bench_page

        return write_bench_page(folder)
    from mlubench.report.evaluation_files import write_evaluation_page

    return write_evaluation_page(folder)


def page_again(folder: Path) -> str:
    """Render a page whose run has news; return why that could not be, or nothing.

    No verdict and no explanation is lost for the sake of its page.
    """
    try:
        write_page(folder)
    except MlubenchError as error:
        return f"report.html could not be written again: {error}"
    return ""
