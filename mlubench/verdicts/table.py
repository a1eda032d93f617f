"""What gates say, on a terminal and as cells of a table."""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.table import Table
from rich.text import Text

from mlubench.metrics.verdict import Verdict
from mlubench.presentation.text import COLOURS, verdict_text
from mlubench.runs.verdict import Gate, Judged


def render_gates(gates: Sequence[Gate]) -> Table:
    """Return the gates as a table that fits 100 columns; reasons fold."""
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, collapse_padding=True)
    table.add_column("verdict", no_wrap=True)
    table.add_column("gate", no_wrap=True)
    table.add_column("of", overflow="fold", max_width=20)
    table.add_column("reason", overflow="fold", ratio=1)
    for gate in gates:
        verdict = Text(shown(gate.verdict), style=COLOURS.get(gate.verdict, ""))
        table.add_row(verdict, gate.name, Text(gate.subject), Text(gate.reason))
    return table


def gate_cells(gates: Sequence[Gate]) -> list[dict[str, str]]:
    """Return the gates as cells by heading, for Prefect's table artifact."""
    return [
        {
            "verdict": shown(gate.verdict),
            "gate": gate.name,
            "of": gate.subject,
            "reason": gate.reason,
        }
        for gate in gates
    ]


def judged_lines(judged: Judged) -> list[str]:
    """Return what stands below the table: remarks, and the verdict as the last line."""
    counts = [
        f"{sum(gate.verdict == verdict for gate in judged.gates)} {verdict_text(verdict)}"
        for verdict in (Verdict.PASS, Verdict.INCONCLUSIVE, Verdict.FAIL)
    ]
    against = f" against {judged.baseline}" if judged.baseline else ""
    return [
        *judged.remarks,
        f"verdict: {verdict_text(judged.verdict)} ({judged.run}{against}; {', '.join(counts)})",
    ]


def shown(verdict: Verdict) -> str:
    """Return a verdict as it is shown beside a gate."""
    return verdict_text(verdict).upper()
