"""How the figures of an accuracy row are written, the same in every report."""

from __future__ import annotations

from dataclasses import dataclass

from mlubench.engines.precisions import REFERENCE
from mlubench.evaluate.accuracy import AccuracyRow
from mlubench.metrics.figures import NONE, in_points, p_text
from mlubench.metrics.verdict import Verdict

COLOURS = {Verdict.PASS: "green", Verdict.FAIL: "red", Verdict.INCONCLUSIVE: "yellow"}


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


def verdict_text(verdict: Verdict) -> str:
    """Return a verdict in words."""
    return verdict.value.replace("_", " ")


def markdown_text(text: str) -> str:
    """Return a text that neither ends its cell nor is taken for Markdown or HTML."""
    for mark, escape in (("&", "&amp;"), ("<", "&lt;"), ("|", "&#124;"), ("`", "&#96;")):
        text = text.replace(mark, escape)
    return text


def _points(fraction: float | None) -> str:
    return NONE if fraction is None else in_points(fraction)


def _interval(low: float | None, high: float | None) -> str:
    if low is None or high is None:
        return NONE
    return f"{in_points(low)} to {in_points(high)}"
