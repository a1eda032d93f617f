"""The accuracy of a run as tables: for the terminal, Markdown and pages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich import box
from rich.table import Table
from rich.text import Text

from mlubench.devices.names import grouped
from mlubench.engines.precisions import REFERENCE
from mlubench.evaluate.accuracy import AccuracyRow
from mlubench.metrics.figures import NONE, in_points, p_text
from mlubench.presentation.text import COLOURS, markdown_text, verdict_text
from mlubench.runs.record import RunRecord

#: Each column's two-line heading; :func:`_cells` gives its two lines.
_COLUMNS = (
    ("precision", "runs as"),
    ("top-1 %", "95 % interval"),
    ("top-5 %", "95 % interval"),
    ("drop, points", "95 % interval"),
    ("same top-1 %", "lost / won"),
    ("verdict", "McNemar's p"),
)


def render_accuracy(rows: Sequence[AccuracyRow]) -> Table:
    """Return the rows as a table that fits 100 columns, two lines per precision."""
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, collapse_padding=True)
    names, *figures = (Text("\n".join(heading)) for heading in _COLUMNS)
    # Where it is tight, long names fold; figures stay whole.
    table.add_column(names, overflow="fold")
    for heading in figures:
        table.add_column(heading, justify="right", no_wrap=True)
    for row in rows:
        # Text, not str: a name in square brackets is no markup.
        *cells, (verdict, p) = _cells(row_text(row))
        judged = Text(verdict, style=COLOURS.get(row.verdict, "")).append(f"\n{p}", style="default")
        table.add_row(*(Text("\n".join(cell)) for cell in cells), judged)
    return table


def _cells(text: RowText) -> tuple[tuple[str, str], ...]:
    return (
        (text.precision, f"  {text.executed}"),
        (text.top1, text.top1_interval),
        (text.top5, text.top5_interval),
        (text.drop, text.drop_interval),
        (text.agreement, text.lost_won),
        (text.verdict, text.p),
    )


def accuracy_cells(rows: Sequence[AccuracyRow]) -> list[dict[str, str]]:
    """Return the rows as Markdown cells by heading, one dictionary per precision."""
    return [_markdown_cells(row_text(row)) for row in rows]


def accuracy_markdown(rows: Sequence[AccuracyRow]) -> str:
    """Return the rows as a Markdown table, a line per precision; nothing of no rows."""
    cells = accuracy_cells(rows)
    headings = list(cells[0]) if cells else []
    lines = [headings, ["---"] * len(headings), *(list(row.values()) for row in cells)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines if line)


def _markdown_cells(text: RowText) -> dict[str, str]:
    cells = {
        "precision": markdown_text(text.precision),
        "runs as": markdown_text(text.executed),
        "images": text.images,
        "top-1 %": f"{text.top1} ({text.top1_interval})",
        "top-5 %": f"{text.top5} ({text.top5_interval})",
        "drop, points": text.drop
        if text.drop == text.drop_interval
        else f"{text.drop} ({text.drop_interval})",
        "same top-1 %": text.agreement,
        "lost / won": text.lost_won,
        "McNemar's p": text.p.replace("<", "&lt;"),
        "verdict": text.verdict,
    }
    # A lone hyphen is a list in Markdown.
    return {heading: "\u2013" if cell == NONE else cell for heading, cell in cells.items()}


def summary_lines(run: RunRecord) -> list[str]:
    """Return what a run was and how it ended, in a few lines, the verdict first."""
    images = run.dataset.images
    faults = [
        f"{count} {name}"
        for name, count in (
            ("corrupt", images.corrupt),
            ("missing", images.missing),
            ("duplicate", images.duplicate),
            ("not in the list", images.unlisted),
        )
        if count
    ]
    scored = f"{images.scored} of {images.expected} images scored"
    stages = ", ".join(f"{stage} {seconds:.1f} s" for stage, seconds in run.seconds.items())
    return [
        f"verdict: {verdict_text(run.verdict)}",
        f"run:     {run.run_id}",
        f"model:   {run.model.name}",
        f"images:  {run.dataset.name}, {', '.join([scored, *faults])}",
        f"engine:  {run.engine} {run.engine_version} on {'; '.join(grouped(run.devices))}",
        f"time:    {stages}",
    ]


@dataclass(frozen=True)
class RowText:
    """An accuracy row as text: percent and points with two decimals, intervals as ``a to b``."""

    precision: str
    executed: str
    images: str
    top1: str
    top1_interval: str
    top5: str
    top5_interval: str
    drop: str
    drop_interval: str
    agreement: str
    lost_won: str
    p: str
    verdict: str


def row_text(row: AccuracyRow) -> RowText:
    """Return the texts of a row."""
    return RowText(
        precision=row.precision,
        executed=row.executed_precision,
        images=str(row.images),
        top1=in_points(row.top1),
        top1_interval=_interval(row.top1_low, row.top1_high),
        top5=in_points(row.top5),
        top5_interval=_interval(row.top5_low, row.top5_high),
        drop=_points(row.drop),
        drop_interval=_interval(row.drop_low, row.drop_high),
        agreement=_points(row.agreement),
        lost_won=NONE if row.lost is None else f"{row.lost} / {row.won}",
        p=NONE if row.mcnemar_p is None else p_text(row.mcnemar_p),
        verdict="reference" if row.precision == REFERENCE else verdict_text(row.verdict),
    )


def _points(fraction: float | None) -> str:
    return NONE if fraction is None else in_points(fraction)


def _interval(low: float | None, high: float | None) -> str:
    if low is None or high is None:
        return NONE
    return f"{in_points(low)} to {in_points(high)}"
