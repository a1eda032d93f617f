"""Layers' times as a table, as CSV and JSON."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from mlubench.metrics.figures import NONE, figure
from mlubench.speed.profile.times import JOINT, LayerPair, LayerTimes, TimedLayer, side_by_side

_TYPES = {"f32": "float32", "f16": "float16", "bf16": "bfloat16", "i8": "int8", "u8": "int8"}
_FIELDS = ("layer", "layers", "kinds", "arithmetic", "milliseconds", "share")


def layer_table(times: LayerTimes) -> Table:
    """Return one network's layers as a table that fits 100 columns."""
    table = _table(("layer", "ms", "share", "arithmetic", "runs as"))
    for one in times.layers:
        cells = (_name(one), figure(one.milliseconds), _share(times, one), one.arithmetic)
        table.add_row(*map(Text, cells), Text(", ".join(one.kinds)))
    total = (figure(times.milliseconds), "100.0 %", times.executed_precision, "")
    table.add_section()
    table.add_row("all", *map(Text, total))
    return table


def pair_table(first: LayerTimes, second: LayerTimes) -> Table:
    """Return two networks' layers side by side as a table that fits 100 columns.

    The ratio is the first's time over the second's: over 1, the second is faster.
    """
    table = _table(
        (
            "layer",
            *("ms", "share", f"arithmetic\n{first.name.rpartition(' ')[2]}"),
            *("ms", "share", f"arithmetic\n{second.name.rpartition(' ')[2]}"),
            "ratio",
        )
    )
    for pair in side_by_side(first, second):
        ratio = NONE if pair.ratio is None else f"{pair.ratio:.2f}"
        cells = (_pair_name(pair), *_half(first, pair.first), *_half(second, pair.second), ratio)
        table.add_row(*map(Text, cells))
    table.add_section()
    whole = figure(first.milliseconds / second.milliseconds) if second.milliseconds else NONE
    table.add_row(
        "all",
        *(figure(first.milliseconds), "", Text(first.executed_precision)),
        *(figure(second.milliseconds), "", Text(second.executed_precision)),
        whole,
    )
    return table


def table_text(table: Table) -> str:
    """Return a table as plain text of 100 columns."""
    text = io.StringIO()
    Console(file=text, width=100, highlight=False).print(table)
    return text.getvalue()


def _table(headings: Sequence[str]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, collapse_padding=True)
    for heading in headings:
        text = heading.startswith(("layer", "arithmetic", "runs"))
        table.add_column(heading, justify="left" if text else "right", no_wrap=not text)
        table.columns[-1].overflow = "fold"
    return table


def _half(times: LayerTimes, one: TimedLayer | None) -> tuple[str, str, str]:
    if one is None:
        return NONE, NONE, NONE
    return figure(one.milliseconds), _share(times, one), short_arithmetic(one.arithmetic)


def short_arithmetic(arithmetic: str) -> str:
    """Return the type that a kernel computes with, which OpenVINO has behind its name."""
    kind = arithmetic.rpartition("_")[2].lower()
    return _TYPES.get(kind, arithmetic)


def _share(times: LayerTimes, one: TimedLayer) -> str:
    return f"{100 * times.share(one):.1f} %"


def _name(one: TimedLayer) -> str:
    return one.name + more_layers(one.layers)


def _pair_name(pair: LayerPair) -> str:
    return pair.name + more_layers(pair.layers)


def more_layers(layers: Sequence[str]) -> str:
    """Return how many layers beside the first are run as one with it, as it is shown."""
    return f" +{len(layers) - 1}" if len(layers) > 1 else ""


def layers_csv(times: LayerTimes) -> str:
    """Return one network's layers as CSV."""
    text = io.StringIO()
    writer = csv.DictWriter(text, _FIELDS, lineterminator="\n")
    writer.writeheader()
    for row in layers_document(times)["layers"]:
        joined = {"layers": JOINT.join(row["layers"]), "kinds": JOINT.join(row["kinds"])}
        writer.writerow({**row, **joined})
    return text.getvalue()


def layers_document(times: LayerTimes) -> dict[str, Any]:
    """Return one network's layers as JSON values."""
    return {
        "name": times.name,
        "executed_precision": times.executed_precision,
        "milliseconds": times.milliseconds,
        "layers": [
            {
                "layer": one.name,
                "layers": list(one.layers),
                "kinds": list(one.kinds),
                "arithmetic": one.arithmetic,
                "milliseconds": one.milliseconds,
                "share": times.share(one),
            }
            for one in times.layers
        ],
    }


def pair_document(first: LayerTimes, second: LayerTimes) -> dict[str, Any]:
    """Return two networks' layers side by side as JSON values."""
    return {
        "first": layers_document(first),
        "second": layers_document(second),
        "pairs": [
            {
                "layer": pair.name,
                "layers": list(pair.layers),
                "first_milliseconds": pair.first and pair.first.milliseconds,
                "second_milliseconds": pair.second and pair.second.milliseconds,
                "first_arithmetic": pair.first and pair.first.arithmetic,
                "second_arithmetic": pair.second and pair.second.arithmetic,
                "ratio": pair.ratio,
            }
            for pair in side_by_side(first, second)
        ],
    }
