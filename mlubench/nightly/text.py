"""How a nightly ended, in one line, as a table and as a page of Markdown."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from rich import box
from rich.table import Table
from rich.text import Text

from mlubench.metrics.figures import NONE
from mlubench.metrics.verdict import Verdict
from mlubench.nightly.next_steps import next_steps, why_lines
from mlubench.nightly.record import NightlyRecord, RunEnding
from mlubench.presentation.text import markdown_text, verdict_text
from mlubench.runs.verdict import GateRecord, worst_first

#: What a run counts as, in the order in which it is told of.
_WORDS = ("failed", "broken", "inconclusive", "passed", "not judged", "skipped")
_ENDINGS = {
    Verdict.FAIL: "failed",
    Verdict.INCONCLUSIVE: "inconclusive",
    Verdict.PASS: "passed",
    Verdict.NOT_JUDGED: "not judged",
}
#: The verdict of a whole that has none, since runs of it broke.
_BROKEN = "broken"
#: Gates on what went in, not on what came out.
_CAUSES = ("model", "dataset")
_COLOURS = {"failed": "red", "broken": "red", "inconclusive": "yellow", "passed": "green"}


def ending(run: RunEnding) -> str:
    """Return how a run ended, in a word or two."""
    if run.skipped:
        return "skipped"
    judged = run.exit_status == run.verdict.exit_status
    return _ENDINGS[run.verdict] if judged and not run.error else _BROKEN


def headline(record: NightlyRecord) -> str:
    """Return the verdict, the count of each ending, the first reason for a bad one, its cause."""
    told = counts_text(record)
    first = next(iter(reasons(record)), "")
    why = next((text for text in map(cause, bad_runs(record)) if text and text not in first), "")
    return ". ".join(part for part in (f"{verdict_words(record)}: {told}", first, why) if part)


def counts_text(record: NightlyRecord) -> str:
    """Return how many runs ended how."""
    counts = Counter(map(ending, record.runs))
    return ", ".join(f"{counts[word]} {word}" for word in _WORDS if counts[word])


def verdict_words(record: NightlyRecord) -> str:
    """Return the verdict of the whole; that of a nightly whose runs broke is no gate's."""
    judged = record.verdict.exit_status == record.exit_status
    return verdict_text(record.verdict) if judged else _BROKEN


def reasons(record: NightlyRecord) -> list[str]:
    """Return why runs failed, broke or could not tell, a sentence each, the worst first."""
    bad = bad_runs(record)
    told = [f"{run.name}: {reason}" for run in bad for reason in _reasons_of(run)]
    if record.exit_status and not bad:
        told.append("nothing was run: the host lacks what every run needs")
    return told


def bad_runs(record: NightlyRecord) -> list[RunEnding]:
    """Return the runs that a command would not end with 0 for, the worst first."""
    bad = [run for run in record.runs if run.exit_status]
    return sorted(bad, key=lambda run: _WORDS.index(ending(run)))


def cause(run: RunEnding) -> str:
    """Return what changed in what went into a run, where something did: that may be why."""
    gates = (gate for gate in run.gates if gate.name in _CAUSES and gate.verdict != Verdict.PASS)
    return next((f"{_gate(gate)}: {gate.reason}" for gate in gates), "")


def reason(run: RunEnding) -> str:
    """Return why a run ended as it did, in a sentence."""
    if run.exit_status:
        return next(iter(_reasons_of(run)), "")
    return _why(run)


def _reasons_of(run: RunEnding) -> list[str]:
    if run.error:
        return [run.error.splitlines()[0]]
    if ending(run) == _BROKEN:
        return list(run.notes[:1]) or ["see its report"]
    return [
        f"{_gate(gate)}: {gate.reason}"
        for verdict in (Verdict.FAIL, Verdict.INCONCLUSIVE)
        for gate in run.gates
        if gate.verdict == verdict
    ]


def render_nightly(record: NightlyRecord) -> Table:
    """Return a row per run as a table for the terminal, 100 columns wide at most."""
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, collapse_padding=True)
    table.add_column("run", overflow="fold")
    table.add_column("verdict", no_wrap=True)
    table.add_column("seconds", justify="right", no_wrap=True)
    table.add_column("result", overflow="fold")
    for run in record.runs:
        result = run.skipped or (f"runs/{run.run_id}" if run.run_id else NONE)
        # Text, not str: a name in square brackets is no markup.
        table.add_row(
            Text(run.name),
            Text(ending(run), style=_COLOURS.get(ending(run), "")),
            f"{run.seconds:.0f}",
            Text(result),
        )
    return table


def _gate(gate: GateRecord) -> str:
    return f"{gate.name}, {gate.subject}" if gate.subject else gate.name


def nightly_cells(
    record: NightlyRecord, link: Callable[[str], str] | None = None
) -> list[dict[str, str]]:
    """Return a row of Markdown cells by heading for each run.

    Args:
        record: the nightly.
        link: the address of a report, from its place below the folder of artifacts.
    """
    return [
        {
            "run": markdown_text(run.name),
            "verdict": f"**{ending(run)}**" if run.exit_status else ending(run),
            "report": _report(run, link),
            "seconds": f"{run.seconds:.0f}",
            # The last one: it may be longer than a page is wide.
            "why": markdown_text(_why(run)) or "\u2013",
        }
        for run in record.runs
    ]


def _why(run: RunEnding) -> str:
    if run.skipped:
        return run.skipped
    if not run.exit_status:
        return f"{len(run.gates)} gates passed" if run.gates else "; ".join(run.notes)
    if ending(run) == _BROKEN:
        return _reasons_of(run)[0]
    return "; ".join(_gate(gate) for gate in run.gates if gate.verdict == run.verdict)


def _report(run: RunEnding, link: Callable[[str], str] | None) -> str:
    if not run.run_id:
        return "\u2013"
    name = markdown_text(run.run_id)
    return f"[{name}]({link(run.report)})" if run.report and link else name


def nightly_markdown(record: NightlyRecord, link: Callable[[str], str] | None = None) -> str:
    """Return the whole as Markdown: the verdict, a row per run, every gate's reason."""
    cells = nightly_cells(record, link)
    headings = list(cells[0]) if cells else []
    table = [headings, ["---"] * len(headings), *(list(row.values()) for row in cells)]
    gates = [_gates_markdown(run, record) for run in record.runs if run.gates]
    errors = [
        f"- {markdown_text(run.name)}\n\n{_indented(run.error)}\n"
        for run in record.runs
        if run.error
    ]
    parts = [
        f"# {markdown_text(record.suite)}: {verdict_words(record)}",
        markdown_text(headline(record)),
        "\n".join(f"| {' | '.join(line)} |" for line in table if line),
        *(["## Gates", *gates] if gates else []),
        *(["## Errors", "\n".join(errors)] if errors else []),
        markdown_text(record.description),
        _provenance(record),
    ]
    return "\n\n".join(parts) + "\n"


def _gates_markdown(run: RunEnding, record: NightlyRecord) -> str:
    """Return a run's gates as a list, the bad ones first, and what else is to be known of it."""
    by = f", judged by {run.baseline}" if run.baseline else ""
    gates = [
        f"- **{verdict_text(gate.verdict)}** {markdown_text(_gate(gate))}: "
        f"{markdown_text(gate.reason)}"
        for gate in worst_first(run.gates)
    ]
    notes = [f"- {markdown_text(note)}" for note in [*why_lines(run), *run.notes]]
    notes += [f"- {step.what}: `{step.command}`" for step in next_steps(run, record)]
    return "\n".join([f"### {markdown_text(run.name)}{by}", "", *gates, *notes])


def _provenance(record: NightlyRecord) -> str:
    return (
        f"Run {record.run_id} on {markdown_text(record.host)}, "
        f"{record.created_utc:%Y-%m-%d %H:%M} UTC, {record.seconds:.0f} s."
    )


def _indented(text: str) -> str:
    return "\n".join(f"      {line}" for line in text.splitlines())
