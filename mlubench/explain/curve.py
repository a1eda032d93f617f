"""Layers kept in float against accuracy and speed: the curve as a table and as Parquet."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from rich import box
from rich.console import Group
from rich.table import Table
from rich.text import Text

from mlubench.errors import StoreError, in_words
from mlubench.metrics.figures import in_points
from mlubench.metrics.paired import Paired
from mlubench.metrics.speed import compare_speed
from mlubench.runs.parquet import read_parquet, write_parquet
from mlubench.store import write_json

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


@dataclass(frozen=True)
class CurvePoint:
    """A count of layers in float, as it is kept; fractions, images per second.

    Attributes:
        count: how many.
        drop: of top-1 against force_float32.
        drop_low: lower end of its 95 % interval.
        drop_high: upper end of it.
        agreement: the fraction with the same best class.
        throughput: the median of the rounds.
        speedup: over force_float32.
    """

    count: int
    drop: float
    drop_low: float
    drop_high: float
    agreement: float
    throughput: float
    speedup: float


@dataclass(frozen=True)
class Curve:
    """A search for the layers that must stay in float, as it is kept.

    Attributes:
        budget: the drop that is allowed, a fraction.
        layers: how many could be kept.
        kept: the layers that are within the budget; None where no count is.
        command: that compiles the network so; empty where no count is within the budget.
        points: what was tried, by count.
    """

    budget: float
    layers: int
    kept: tuple[str, ...] | None
    command: str
    points: Sequence[CurvePoint]


def read_curve(folder: Path) -> Curve | None:
    """Read what :func:`write_fallback` wrote; None where there is nothing.

    Args:
        folder: ``explain/<precision>`` of a run.

    Raises:
        StoreError: it cannot be read.
    """
    path = folder / "fallback.json"
    if not path.is_file():
        return None
    rows = read_parquet(folder / "fallback.parquet", FALLBACK).to_pylist()
    columns = [field for field in CurvePoint.__dataclass_fields__ if field != "count"]
    points = [CurvePoint(row["kept"], **{name: row[name] for name in columns}) for row in rows]
    try:
        told = json.loads(path.read_bytes())
        kept = told["kept"]
        return Curve(
            budget=float(told["budget"]),
            layers=int(told["layers"]),
            kept=None if kept is None else tuple(map(str, kept)),
            command=str(told["command"]),
            points=points,
        )
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise StoreError(
            f"cannot be read: {in_words(error)}",
            where=str(path),
            expected="what mlubench explain --budget wrote",
            fix="run it again",
        ) from error


def write_fallback(found: Fallback, folder: Path) -> None:
    """Write fallback.parquet, the curve, and fallback.json, what came of it, into a folder.

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
    write_parquet(folder / "fallback.parquet", pa.Table.from_pylist(rows, schema=FALLBACK))
    end = {
        "precision": found.precision,
        "budget": found.budget,
        "layers": len(found.ranked),
        "kept": None if found.kept is None else list(found.kept),
        "command": found.command,
    }
    write_json(folder / "fallback.json", end)


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
    return Group(table, Text(fallback_end(found.kept)))


def fallback_end(kept: Sequence[str] | None) -> str:
    """Return what came of a search, in a sentence."""
    if kept is None:
        return "no count is within the budget: it is not these layers' quantisation that loses it"
    if not kept:
        return "the budget is kept with every layer quantised"
    return f"in float, that first which adds most noise: {', '.join(kept)}"
