"""The files of ``mlubench layers``: table, CSV, JSON and SVG."""

from __future__ import annotations

from pathlib import Path

from mlubench.speed.profile.picture import layer_picture
from mlubench.speed.profile.table import (
    layer_table,
    layers_csv,
    layers_document,
    pair_document,
    pair_table,
    table_text,
)
from mlubench.speed.profile.times import LayerTimes
from mlubench.store import write_atomic, write_json


def write_layers(folder: Path, times: LayerTimes) -> None:
    """Write layers' times as layers.txt, layers.csv, layers.json and layers.svg.

    Raises:
        StoreError: the folder cannot be written.
    """
    write_atomic(folder / "layers.txt", table_text(layer_table(times)).encode())
    write_atomic(folder / "layers.csv", layers_csv(times).encode())
    write_json(folder / "layers.json", layers_document(times))
    write_atomic(folder / "layers.svg", layer_picture([times]))


def write_pair(folder: Path, first: LayerTimes, second: LayerTimes) -> None:
    """Write two networks' layers side by side as layers.txt, layers.json and layers.svg.

    Raises:
        StoreError: the folder cannot be written.
    """
    write_atomic(folder / "layers.txt", table_text(pair_table(first, second)).encode())
    write_json(folder / "layers.json", pair_document(first, second))
    write_atomic(folder / "layers.svg", layer_picture([first, second]))
