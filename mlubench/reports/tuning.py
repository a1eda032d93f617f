"""What ``--tune`` tried and what it chose, as a table."""

from __future__ import annotations

from collections.abc import Mapping

from rich import box
from rich.table import Table
from rich.text import Text

from mlubench.reports.run_json import TuningRecord
from mlubench.reports.wording import NONE


def render_tuning(tuning: Mapping[str, TuningRecord]) -> Table:
    """Return the searches as a table for the terminal.

    Args:
        tuning: by what was tuned: a precision, or a configuration of a benchmark.
    """
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, collapse_padding=True)
    table.add_column("tuned", overflow="fold")
    for heading in ("batch", "streams", "requests", "threads", "images/s"):
        table.add_column(heading, justify="right", no_wrap=True)
    for heading in ("over usual", "p faster", ""):
        table.add_column(heading, justify="right", no_wrap=True)
    for place, (name, search) in enumerate(tuning.items()):
        if place:
            table.add_section()
        for number, one in enumerate(search.tried):
            table.add_row(
                Text(name if number == 0 else ""),
                str(one.batch_size) if one.batch_size else NONE,
                str(one.streams) if one.streams else NONE,
                str(one.requests),
                str(one.threads),
                f"{one.median:.0f}",
                f"{one.median / search.tried[0].median:.3f}",
                NONE if number == 0 else f"{one.p_faster:.4f}",
                _mark(search, number),
            )
    return table


def _mark(search: TuningRecord, number: int) -> str:
    mark = "chosen" if number == search.chosen else "usual" if number == 0 else ""
    return f"{mark}, disturbed" if mark and search.disturbed else mark
