"""What gates say, on a terminal and as cells of a table."""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.table import Table
from rich.text import Text

from mlubench.metrics.figures import NONE
from mlubench.metrics.verdict import Verdict
from mlubench.presentation.text import COLOURS, verdict_text
from mlubench.runs.verdict import Gate
from mlubench.verdicts.judge import Judged
from mlubench.verdicts.speed_gates import RunsCompared


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


def render_comparison(compared: RunsCompared) -> Table:
    """Return the comparison as a table that fits 100 columns."""
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, collapse_padding=True)
    table.add_column("configuration", overflow="fold")
    for heading in (
        "baseline\nimages/s",
        "run\nimages/s",
        "ratio\n95 % interval",
        "smallest loss\nthat would show",
        "verdict",
    ):
        table.add_column(heading, justify="right", no_wrap=True)
    for one in compared.comparisons:
        change = one.change
        interval = NONE if change.low == 0 else f"{change.low:.3f} to {change.high:.3f}"
        smallest = f"{100 * change.detectable:.1f} %" if change.detectable < 1 else "none"
        table.add_row(
            Text(one.name),
            f"{one.baseline:.5g}",
            f"{one.candidate:.5g}",
            f"{change.ratio:.3f}\n{interval}",
            smallest,
            verdict_text(change.verdict).upper() + ("\ndisturbed" if one.disturbed else ""),
        )
    return table
