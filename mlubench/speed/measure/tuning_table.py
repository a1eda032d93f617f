"""What ``--tune`` tried and what it chose, as a table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from rich import box
from rich.table import Table
from rich.text import Text

from mlubench.metrics.figures import NONE
from mlubench.runs.record import TuningRecord

_HEADINGS = ("batch", "streams", "requests", "threads", "images/s", "over usual", "p faster", "")


class TuningRow(NamedTuple):
    """One way that was tried, as text; the name of what was tuned on the first one alone."""

    name: str
    batch: str
    streams: str
    requests: str
    threads: str
    rate: str
    over_usual: str
    p_faster: str
    mark: str


def tuning_rows(tuning: Mapping[str, TuningRecord]) -> list[list[TuningRow]]:
    """Return the rows of each search.

    Args:
        tuning: by what was tuned: a precision, or a configuration of a benchmark.
    """
    # The batch was searched for first; JSON's names are sorted.
    names = sorted(tuning, key=lambda name: not name.endswith(", batch"))
    return [_rows(name, tuning[name]) for name in names]


def render_tuning(tuning: Mapping[str, TuningRecord]) -> Table:
    """Return the searches as a table for the terminal; as :func:`tuning_rows` takes them."""
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, collapse_padding=True)
    table.add_column("tuned", overflow="fold")
    for heading in _HEADINGS:
        table.add_column(heading, justify="right", no_wrap=True)
    for rows in tuning_rows(tuning):
        table.add_section()
        for row in rows:
            table.add_row(*map(Text, row))
    return table


def _rows(name: str, search: TuningRecord) -> list[TuningRow]:
    usual = search.tried[0].median
    return [
        TuningRow(
            name=name if number == 0 else "",
            batch=str(one.batch_size or NONE),
            streams=str(one.streams or NONE),
            requests=str(one.requests),
            threads=str(one.threads),
            rate=f"{one.median:.0f}",
            over_usual=f"{one.median / usual:.3f}",
            p_faster=NONE if number == 0 else f"{one.p_faster:.4f}",
            mark=_mark(search, number),
        )
        for number, one in enumerate(search.tried)
    ]


def _mark(search: TuningRecord, number: int) -> str:
    mark = "chosen" if number == search.chosen else "usual" if number == 0 else ""
    return f"{mark}, disturbed" if mark and search.disturbed else mark
