"""Layers kept in float against accuracy and speed: the curve as a table and as Parquet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from rich import box
from rich.console import Group
from rich.table import Table
from rich.text import Text

from mlubench.metrics.paired import Paired
from mlubench.metrics.speed import compare_speed
from mlubench.metrics.verdict import in_points
from mlubench.reports.schemas import write_parquet

#: fallback.parquet, a row for each count that was tried. Fractions, images per second.
FALLBACK = pa.schema(
    [
        pa.field("kept", pa.int32(), nullable=False),
        pa.field("layers", pa.list_(pa.field("element", pa.string(), False)), nullable=False),
        pa.field("images", pa.int64(), nullable=False),
        pa.field("drop", pa.float64(), nullable=False),
        pa.field("drop_low", pa.float64(), nullable=False),
        pa.field("drop_high", pa.float64(), nullable=False),
        pa.field("agreement", pa.float64(), nullable=False),
        pa.field("throughput", pa.float64(), nullable=False),
        pa.field("round_throughput", pa.list_(pa.field("element", pa.float64(), False)), False),
        pa.field("speedup", pa.float64(), nullable=False),
    ]
)


@dataclass(frozen=True)
class FallbackPoint:
    """A count of layers in float.

    Attributes:
        count: how many.
        kept: which.
        paired: the answers against force_float32.
        speed: images per second of each round.
    """

    count: int
    kept: tuple[str, ...]
    paired: Paired
    speed: tuple[float, ...]


@dataclass(frozen=True)
class Fallback:
    """A search for the layers that must stay in float.

    Attributes:
        precision: of the others.
        budget: the drop that is allowed, a fraction.
        ranked: the layers that could be kept, that first which adds most noise.
        points: what was tried, by count.
        reference_speed: images per second of force_float32, each round.
        kept: the layers that are within the budget; None where no count is.
        command: that compiles the network so; empty where no count is within the budget.
    """

    precision: str
    budget: float
    ranked: tuple[str, ...]
    points: Sequence[FallbackPoint]
    reference_speed: tuple[float, ...]
    kept: tuple[str, ...] | None
    command: str


def write_fallback(found: Fallback, path: Path) -> None:
    """Write the curve as Parquet.

    Raises:
        StoreError: it cannot be written.
    """
    rows = [
        {
            "kept": point.count,
            "layers": list(point.kept),
            "images": point.paired.images,
            "drop": point.paired.drop,
            "drop_low": point.paired.drop_low,
            "drop_high": point.paired.drop_high,
            "agreement": point.paired.agreement,
            "throughput": float(np.median(point.speed)),
            "round_throughput": list(point.speed),
            "speedup": compare_speed(found.reference_speed, point.speed).ratio,
        }
        for point in found.points
    ]
    write_parquet(path, pa.Table.from_pylist(rows, schema=FALLBACK))


def render_fallback(found: Fallback) -> Group:
    """Return the curve as a table that fits 100 columns, and what came of the search."""
    table = Table(
        title=f"{found.precision}, layers in float; budget {in_points(found.budget)} points",
        title_justify="left",
        box=box.SIMPLE_HEAD,
        show_edge=False,
        pad_edge=False,
        collapse_padding=True,
    )
    for heading in (
        "in float",
        "drop, points\n95 % interval",
        "same top-1 %",
        "images/s",
        "speed-up over\nforce_float32",
        "within budget",
    ):
        table.add_column(heading, justify="right", no_wrap=True)
    for point in found.points:
        paired = point.paired
        table.add_row(
            f"{point.count} of {len(found.ranked)}",
            f"{in_points(paired.drop)}\n{in_points(paired.drop_low)} to "
            f"{in_points(paired.drop_high)}",
            in_points(paired.agreement),
            f"{np.median(point.speed):.5g}",
            f"{compare_speed(found.reference_speed, point.speed).ratio:.2f}",
            "yes" if paired.drop <= found.budget else "no",
        )
    return Group(table, Text(_end(found)))


def _end(found: Fallback) -> str:
    if found.kept is None:
        return "no count is within the budget: it is not these layers' quantisation that loses it"
    if not found.kept:
        return "the budget is kept with every layer quantised"
    return f"in float, that first which adds most noise: {', '.join(found.kept)}"
