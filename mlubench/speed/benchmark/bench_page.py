"""report.html and plot.png of a benchmark, from the other files in its folder and the history."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa

from mlubench.errors import StoreError
from mlubench.runs.baselines import judgement_of
from mlubench.runs.bench_record import BenchRecord
from mlubench.runs.history import THROUGHPUT_SERIES, Series, find_series, throughput_until
from mlubench.runs.parquet import read_parquet
from mlubench.runs.schemas import THROUGHPUT
from mlubench.speed.benchmark.page import render_bench
from mlubench.speed.benchmark.plots import throughput_png
from mlubench.store import write_atomic


def write_bench_page(folder: Path) -> Path:
    """Render report.html and plot.png from the files of a benchmark's folder; return the page.

    The verdict that was said of the run and the runs before it lie beside it, in ``history`` of
    the folder of runs and caches. The same files give the same bytes.

    Raises:
        StoreError: a file of the folder cannot be read, or the page not be written.
    """
    record = BenchRecord.read(folder / "run.json")
    table = read_parquet(folder / "throughput.parquet", THROUGHPUT)
    judged = judgement_of(folder)
    history, fault = _history(folder, record, table)
    page = render_bench(
        record,
        table.to_pylist(),
        gates=judged.gates if judged else (),
        baseline=judged.baseline if judged else "",
        history=history,
        history_fault=fault,
    )
    path = folder / "report.html"
    write_atomic(folder / "plot.png", throughput_png(table.to_pylist()))
    write_atomic(path, page.encode("utf-8"))
    return path


def _history(folder: Path, record: BenchRecord, table: pa.Table) -> tuple[list[Series], str]:
    """Return the throughput of the run's configurations up to it, and why there is nothing."""
    try:
        rows = throughput_until(folder.resolve().parent.parent / "history", record, table)
    except StoreError as error:
        return [], str(error)  # a damaged file of another run is no reason to lose this page
    series = find_series(rows, THROUGHPUT_SERIES, "throughput")
    return [one for one in series if one.points[-1].run_id == record.run_id], ""
