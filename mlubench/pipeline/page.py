"""report.html of a run folder, from the other files in it."""

from __future__ import annotations

from pathlib import Path

from mlubench.errors import ConfigError, MlubenchError
from mlubench.pipeline.bench_page import write_bench_page
from mlubench.pipeline.network import label_order
from mlubench.pipeline.parameters import check_parameters
from mlubench.reports.accuracy import rows_of
from mlubench.reports.bench_json import BenchRecord
from mlubench.reports.flips import find_flips
from mlubench.reports.html import render_report
from mlubench.reports.run_json import RunRecord
from mlubench.reports.schemas import ACCURACY, PREDICTIONS, SHARDS, read_parquet
from mlubench.store import write_atomic


def write_page(folder: Path) -> Path:
    """Render report.html from run.json and the Parquet files of a run folder; return its path.

    The same files give the same bytes.

    Raises:
        ConfigError: the run is of a version without what the page needs.
        StoreError: a file cannot be read, or the page not be written.
    """
    if BenchRecord.is_in(folder):
        return write_bench_page(folder)
    record = RunRecord.read(folder / "run.json")
    if not record.label_order:
        raise ConfigError(
            "was written by an older version, which did not keep the names of the classes",
            where=str(folder / "run.json"),
            expected="label_order: 2012, 2015 or digits",
            fix="add the key to the file",
        )
    asked = check_parameters(**record.parameters)
    page = render_report(
        record,
        rows_of(read_parquet(folder / "accuracy.parquet", ACCURACY)),
        find_flips(read_parquet(folder / "predictions.parquet", PREDICTIONS)),
        max_drop=asked.limits,
        class_names=label_order(record.label_order).names,
        corrupt=record.damage,
        shards=read_parquet(folder / "shards.parquet", SHARDS),
        provenance=record.provenance,
    )
    path = folder / "report.html"
    write_atomic(path, page.encode("utf-8"))
    return path


def page_again(folder: Path) -> str:
    """Render a page whose run has news; return why that could not be, or nothing.

    No verdict and no explanation is lost for the sake of its page.
    """
    try:
        write_page(folder)
    except MlubenchError as error:
        return f"report.html could not be written again: {error}"
    return ""
