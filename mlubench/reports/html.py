"""report.html: one page that needs nothing but itself."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import jinja2
import pyarrow as pa

from mlubench.engines.precisions import REFERENCE
from mlubench.reports.accuracy import AccuracyRow, verdict_reasons
from mlubench.reports.device_names import grouped
from mlubench.reports.drawing import DARK, LIGHT
from mlubench.reports.flips import Flip
from mlubench.reports.plots import accuracy_plots
from mlubench.reports.run_json import RunRecord
from mlubench.reports.wording import NONE, row_text, verdict_text

#: Lost and won images listed per precision; a page of many thousands does not open on a phone.
_LISTED = 500


@dataclass(frozen=True)
class FlipList:
    """The lost or the won images of a precision, as listed."""

    precision: str
    won: bool
    total: int
    flips: tuple[Flip, ...]


def render_report(
    run: RunRecord,
    rows: Sequence[AccuracyRow],
    flips: Sequence[Flip],
    *,
    max_drop: Mapping[str, float],
    class_names: Sequence[str],
    corrupt: Mapping[str, str],
    shards: pa.Table,
    provenance: Mapping[str, str],
) -> str:
    """Return the page: HTML, style and pictures in one, no script, nothing fetched.

    All names are escaped; the same arguments give the same page.

    Args:
        run: the run's record.
        rows: its accuracy, as :func:`mlubench.reports.accuracy.accuracy_rows` returned it.
        flips: the changed images, as :func:`mlubench.reports.flips.find_flips` returned them.
        max_drop: per precision, the largest drop allowed, as a fraction.
        class_names: the name of each class, in the network's own order.
        corrupt: per corrupt image, what is wrong with it.
        shards: of schema :data:`~mlubench.reports.schemas.SHARDS`.
        provenance: further versions and digests, by name.
    """
    return (
        page_environment()
        .get_template("report.html")
        .render(
            run=run,
            verdict=verdict_text(run.verdict),
            rows=[(row.verdict, row_text(row)) for row in rows],
            reasons=verdict_reasons(rows, max_drop),
            plots=accuracy_plots(rows, max_drop),
            reference=REFERENCE,
            flip_lists=_flip_lists(flips),
            class_names=class_names,
            corrupt=sorted(corrupt.items()),
            devices=_devices(shards),
            parameters=json.dumps(run.parameters, indent=2, sort_keys=True, ensure_ascii=False),
            provenance=_provenance(run, provenance),
        )
    )


def page_environment() -> jinja2.Environment:
    """Return how pages are rendered: all names escaped, a missing one is an error."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("mlubench.reports"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.globals.update(light=LIGHT, dark=DARK)
    environment.filters["grouped"] = grouped
    environment.filters["figure"] = lambda value: NONE if value is None else f"{value:.0f}"
    return environment


def _flip_lists(flips: Sequence[Flip]) -> list[FlipList]:
    """Return the flips in one list per precision and direction, cut to what is listed."""
    lists = []
    for (precision, won), group in groupby(flips, key=lambda flip: (flip.precision, flip.won)):
        members = tuple(group)
        lists.append(FlipList(precision, won, len(members), members[:_LISTED]))
    return lists


def _devices(shards: pa.Table) -> list[dict[str, Any]]:
    """Return, per precision, host and device, how much it inferred and how long that took."""
    keys = ["precision", "host", "device"]
    sums = shards.group_by(keys).aggregate(
        [("shard", "count"), ("images", "sum"), ("seconds", "sum"), ("attempts", "sum")]
    )
    devices: list[dict[str, Any]] = sums.sort_by([(key, "ascending") for key in keys]).to_pylist()
    return devices


def _provenance(run: RunRecord, more: Mapping[str, str]) -> list[tuple[str, str]]:
    return [
        ("run", run.run_id),
        ("created", run.created_utc.isoformat(sep=" ", timespec="seconds")),
        ("host", run.host),
        ("engine", f"{run.engine} {run.engine_version}"),
        ("prototxt, SHA-256", run.model.prototxt_sha256),
        ("weights, SHA-256", run.model.weights_sha256),
        ("dataset, digest", run.dataset.digest),
        *sorted(more.items()),
    ]
