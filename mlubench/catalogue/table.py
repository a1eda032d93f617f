"""The catalogue of networks as tables for a page: ``python -m mlubench.catalogue.table PAGE``."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from mlubench.catalogue.models import ModelEntry, models

_BEGIN, _END = "<!-- from conf/models.yaml -->\n", "<!-- end -->\n"
_RESIZE = {"short": "short side {}", "exact": "{0} x {0}", "none": "as it is"}


def networks_tables(entries: Mapping[str, ModelEntry]) -> str:
    """Return two tables in Markdown: the networks, and the figures published of them."""
    networks = [
        "| name | network | input | resize | means (B G R) | variances | labels | MB |",
        "|---|---|---|---|---|---|---|---|",
        *(_network(name, entry) for name, entry in entries.items()),
    ]
    figures = [
        "| name | measured by | precision | top-1 % | top-5 % | but |",
        "|---|---|---|---|---|---|",
        *(row for name, entry in entries.items() for row in _figures(name, entry)),
    ]
    notes = [f"`{name}`: {entry.note}\n" for name, entry in entries.items() if entry.note]
    return "\n".join([*networks, "", *notes, *figures]) + "\n"


def with_tables(page: str, tables: str) -> str:
    """Return a page with what stands between its two marks replaced."""
    before, _, rest = page.partition(_BEGIN)
    _, _, after = rest.partition(_END)
    return f"{before}{_BEGIN}\n{tables}\n{_END}{after}"


def _network(name: str, entry: ModelEntry) -> str:
    size = entry.caffemodel.bytes
    cells = (
        f"`{name}`",
        entry.description,
        f"{entry.input_size} x {entry.input_size}",
        _RESIZE[entry.resize].format(entry.resize_size),
        " ".join(f"{mean:g}" for mean in entry.means),
        " ".join(dict.fromkeys(f"{variance:g}" for variance in entry.vars)),
        entry.label_order,
        "here" if size is None else f"{size / 1e6:.0f}",
    )
    return f"| {' | '.join(cells)} |"


def _figures(name: str, entry: ModelEntry) -> Iterator[str]:
    for figure in entry.published:
        accuracies = f"{100 * figure.top1:.3f} | {100 * figure.top5:.3f}"
        yield (
            f"| `{name}` | {figure.source} | `{figure.precision}` "
            f"| {accuracies} | {figure.differs} |"
        )


if __name__ == "__main__":
    page = Path(sys.argv[1])
    text = with_tables(page.read_text(encoding="utf-8"), networks_tables(models()))
    page.write_text(text, encoding="utf-8")
