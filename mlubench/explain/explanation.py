"""What changed between two precisions or runs: images, classes, layers; as tables and files."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
from rich import box
from rich.console import Group
from rich.table import Table
from rich.text import Text

from mlubench.errors import StoreError, in_words
from mlubench.evaluate.flips import Flip
from mlubench.metrics.classes import ClassDrop
from mlubench.metrics.figures import decibels, in_points
from mlubench.metrics.layer_noise import LayerNoise
from mlubench.metrics.paired import Paired
from mlubench.runs.parquet import write_parquet
from mlubench.store import write_json

_SHOWN = 15
_FILE = "explain.json"
#: What explain.json adds to a flip and to a class for its readers.
_NAMES = ("true", "reference_class", "class")

#: layers.parquet of an explanation, worst first. Decibels; snr_db is null where both are equal,
#: fall_db where the noise begins in this layer or it reads none.
LAYERS = pa.schema(
    [
        pa.field("layer", pa.string(), nullable=False),
        pa.field("kind", pa.string(), nullable=False),
        pa.field("place", pa.int32(), nullable=False),
        pa.field("snr_db", pa.float64()),
        pa.field("fall_db", pa.float64()),
        pa.field("begins", pa.bool_(), nullable=False),
        pa.field("numbers", pa.int64(), nullable=False),
    ]
)

#: flips.parquet of an explanation, the lost first.
FLIPS = pa.schema(
    [
        pa.field("precision", pa.string(), nullable=False),
        pa.field("won", pa.bool_(), nullable=False),
        pa.field("image", pa.string(), nullable=False),
        pa.field("class_id", pa.string(), nullable=False),
        pa.field("label", pa.int16(), nullable=False),
        pa.field("reference_index", pa.int16(), nullable=False),
        pa.field("reference_score", pa.float32(), nullable=False),
        pa.field("index", pa.int16(), nullable=False),
        pa.field("score", pa.float32(), nullable=False),
    ]
)


@dataclass(frozen=True)
class Explanation:
    """What changed.

    Attributes:
        run: the run's id.
        precision: which of its precisions.
        against: what it is compared with, in a few words.
        paired: the comparison of the answers.
        flips: the lost and won images, the lost first.
        classes: the classes' drops, the least p first.
        layers: the layers, worst first.
        images: on how many images the layers were compared.
        class_names: of the network, in its own order.
        no_layers: why layers were not compared; empty where they were.
    """

    run: str
    precision: str
    against: str
    paired: Paired
    flips: Sequence[Flip]
    classes: Sequence[ClassDrop]
    layers: Sequence[LayerNoise]
    images: int
    class_names: Sequence[str]
    no_layers: str = ""

    @property
    def origins(self) -> list[LayerNoise]:
        """The layers in which noise begins, in the network's order."""
        return sorted((one for one in self.layers if one.begins), key=lambda one: one.place)


def write_explanation(explained: Explanation, folder: Path) -> None:
    """Write explain.json, layers.parquet and flips.parquet into a folder.

    Raises:
        StoreError: it cannot be written.
    """
    write_json(folder / _FILE, explanation_json(explained))
    layers = [{**asdict(one), "snr_db": _finite(one.snr_db)} for one in explained.layers]
    write_parquet(folder / "layers.parquet", pa.Table.from_pylist(layers, schema=LAYERS))
    flips = [asdict(one) for one in explained.flips]
    write_parquet(folder / "flips.parquet", pa.Table.from_pylist(flips, schema=FLIPS))


def explanation_json(explained: Explanation) -> dict[str, Any]:
    """Return the explanation as JSON values; where a ratio is infinite there is null."""
    return {
        "run": explained.run,
        "precision": explained.precision,
        "against": explained.against,
        "answers": asdict(explained.paired),
        "flips": [
            {
                **asdict(flip),
                "true": explained.class_names[flip.label],
                "reference_class": explained.class_names[flip.reference_index],
                "class": explained.class_names[flip.index],
            }
            for flip in explained.flips
        ],
        "classes": [
            {**asdict(one), "drop": one.drop} for one in explained.classes if one.lost or one.won
        ],
        "images_of_layers": explained.images,
        "no_layers": explained.no_layers,
        "layers": [{**asdict(one), "snr_db": _finite(one.snr_db)} for one in explained.layers],
    }


def read_explanation(folder: Path, class_names: Sequence[str]) -> Explanation:
    """Read what :func:`write_explanation` wrote.

    Args:
        folder: ``explain/<precision>`` of a run.
        class_names: of the network, in its own order.

    Raises:
        StoreError: it cannot be read.
    """
    path = folder / _FILE
    try:
        told = json.loads(path.read_bytes())
        return Explanation(
            run=told["run"],
            precision=told["precision"],
            against=told["against"],
            paired=Paired(**told["answers"]),
            flips=[Flip(**_without(one, *_NAMES)) for one in told["flips"]],
            classes=[ClassDrop(**_without(one, "drop")) for one in told["classes"]],
            layers=_layers(told["layers"]),
            images=told["images_of_layers"],
            class_names=class_names,
            no_layers=told.get("no_layers", ""),
        )
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise StoreError(
            f"cannot be read: {in_words(error)}",
            where=str(path),
            expected="what mlubench explain wrote",
            fix="run mlubench explain again",
        ) from error


def _without(values: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name not in names}


def _layers(told: Sequence[Mapping[str, Any]]) -> list[LayerNoise]:
    """Return layers with the infinite ratios that JSON has not: the worst first, the equal last."""
    known = [place for place, one in enumerate(told) if one["snr_db"] is not None]
    first = known[0] if known else 0
    return [
        LayerNoise(**{**one, "snr_db": -math.inf if place < first else math.inf})
        if one["snr_db"] is None
        else LayerNoise(**one)
        for place, one in enumerate(told)
    ]


def render_explanation(explained: Explanation) -> Group:
    """Return the explanation as tables that fit 100 columns, each cut to the worst."""
    paired = explained.paired
    head = Text(
        f"{explained.run}, {explained.precision} against {explained.against}: top-1 drop "
        f"{in_points(paired.drop)} points, {paired.lost} lost, {paired.won} won of "
        f"{paired.images} images"
    )
    return Group(
        head,
        Text(),
        _layers_table(explained),
        _origins_text(explained),
        Text(),
        _classes_table(explained),
        Text(),
        _flips_table(explained),
    )


def _layers_table(explained: Explanation) -> Table:
    table = _table(f"layers, worst first, {explained.images} images")
    table.add_column("layer", overflow="fold", ratio=1)
    table.add_column("type", no_wrap=True)
    for heading in ("place", "SNR, dB", "falls by, dB"):
        table.add_column(heading, justify="right", no_wrap=True)
    for one in explained.layers[:_SHOWN]:
        fall = "begins here" if one.begins else decibels(one.fall_db)
        table.add_row(Text(one.layer), one.kind, str(one.place), decibels(one.snr_db), fall)
    return table


def _origins_text(explained: Explanation) -> Text:
    names = [one.layer for one in explained.origins]
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return Text(f"differences begin in: {', '.join(names[:_SHOWN]) or 'no layer'}{more}")


def _classes_table(explained: Explanation) -> Table:
    table = _table("classes, the surest loss first")
    table.add_column("class", overflow="fold", ratio=1)
    for heading in ("images", "lost", "won", "drop, points", "p (Holm)"):
        table.add_column(heading, justify="right", no_wrap=True)
    changed = [one for one in explained.classes if one.lost or one.won]
    for one in changed[:_SHOWN]:
        table.add_row(
            Text(one.class_id),
            str(one.images),
            str(one.lost),
            str(one.won),
            in_points(one.drop),
            f"{one.p_holm:.2g}",
        )
    return table


def _flips_table(explained: Explanation) -> Table:
    flips = explained.flips
    table = _table(f"images that flipped, {min(_SHOWN, len(flips))} of {len(flips)}")
    table.add_column("image", overflow="fold", ratio=2)
    table.add_column("true class", overflow="fold", ratio=2)
    table.add_column(explained.against, overflow="fold", ratio=2)
    table.add_column(explained.precision, overflow="fold", ratio=2)
    for flip in flips[:_SHOWN]:
        names = explained.class_names
        table.add_row(
            Text(flip.image),
            Text(names[flip.label]),
            Text(f"{names[flip.reference_index]} {flip.reference_score:.3f}"),
            Text(f"{names[flip.index]} {flip.score:.3f}"),
        )
    return table


def _table(title: str) -> Table:
    return Table(
        title=title,
        title_justify="left",
        box=box.SIMPLE_HEAD,
        show_edge=False,
        pad_edge=False,
        collapse_padding=True,
        expand=True,
    )


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
