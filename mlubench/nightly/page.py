"""report.html of a nightly: what is opened in the morning, one page that needs nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mlubench.metrics.verdict import Verdict
from mlubench.nightly.next_steps import PastNight, Step, bad_since, explained_lines, next_steps
from mlubench.nightly.record import Explained, NightlyRecord, RunEnding
from mlubench.nightly.text import (
    bad_runs,
    cause,
    counts_text,
    ending,
    reason,
    reasons,
    verdict_words,
)
from mlubench.presentation.page import page_environment
from mlubench.presentation.text import verdict_text
from mlubench.runs.verdict import GateRecord, worst_first

#: How an ending is shown: its style's name, and a sign for those who see no colours.
_LOOKS = {
    "failed": ("fail", "✗"),
    "broken": ("fail", "!"),
    "inconclusive": ("inconclusive", "?"),
    "passed": ("pass", "✓"),
    "not judged": ("not_judged", "o"),
    "skipped": ("not_judged", "s"),
}
_ABSENT = ("not_judged", "")
#: The gates on classes are many where a network is spoilt.
_CLASSES = "classes"
_BAD = (Verdict.FAIL, Verdict.INCONCLUSIVE)


@dataclass(frozen=True)
class Cell:
    """A run in one night of the strip.

    Attributes:
        look: its style's name.
        sign: for those who see no colours.
        title: which night, and how it ended.
        link: to that night's page; empty where there is none.
    """

    look: str
    sign: str
    title: str
    link: str = ""


@dataclass(frozen=True)
class RunText:
    """A run as the page shows it.

    Attributes:
        run: how it ended.
        ending: in a word or two.
        look: its style's name.
        reason: in a sentence.
        link: to its page; empty where it has none.
        since: since which night it is bad.
        cause: what changed in what went in.
        hint: that, or else which layers differ.
        bad: gates that did not pass, without those on classes.
        bad_classes: those.
        good: gates that did.
        explained: explanations, the worst precision first.
        steps: what to run next.
    """

    run: RunEnding
    ending: str
    look: str
    reason: str
    link: str
    since: str
    cause: str
    hint: str
    bad: Sequence[GateRecord]
    bad_classes: Sequence[GateRecord]
    good: Sequence[GateRecord]
    explained: Sequence[Explained]
    steps: Sequence[Step]


def render_nightly_page(record: NightlyRecord, past: Sequence[PastNight]) -> str:
    """Return the page: HTML and style in one, no script, nothing fetched; links are relative.

    All names are escaped; the same arguments give the same page.

    Args:
        record: the nightly's.
        past: earlier nights of the suite, the newest first.
    """
    words = [ending(run) for run in record.runs]
    order = sorted(range(len(words)), key=lambda place: list(_LOOKS).index(words[place]))
    runs = [_run_text(record.runs[place], record, past) for place in order]
    whole = verdict_words(record)
    return (
        page_environment()
        .get_template("nightly.html")
        .render(
            record=record,
            verdict=whole,
            look="fail" if whole == "broken" else record.verdict.value,
            counts=counts_text(record),
            reasons=[] if bad_runs(record) else reasons(record),
            runs=runs,
            bad=[one for one in runs if one.run.exit_status],
            nights=[f"{night.created_utc:%m-%d}" for night in _nights(record, past)],
            strip=_strip(record, past),
            signs=_LOOKS,
            verdict_text=verdict_text,
        )
    )


def _run_text(run: RunEnding, record: NightlyRecord, past: Sequence[PastNight]) -> RunText:
    word = ending(run)
    bad = worst_first([gate for gate in run.gates if gate.verdict in _BAD])
    return RunText(
        run=run,
        ending=word,
        look=_LOOKS[word][0],
        reason=reason(run),
        link=f"../../{run.report}" if run.report else "",
        since=bad_since(run, past),
        cause=cause(run),
        hint=cause(run) or next((explained_lines(told)[0] for told in run.explained), ""),
        bad=[gate for gate in bad if gate.name != _CLASSES],
        bad_classes=[gate for gate in bad if gate.name == _CLASSES],
        good=[gate for gate in run.gates if gate.verdict not in _BAD],
        explained=run.explained,
        steps=next_steps(run, record),
    )


def _nights(record: NightlyRecord, past: Sequence[PastNight]) -> list[NightlyRecord]:
    return [record, *(night.record for night in past)]


def _strip(record: NightlyRecord, past: Sequence[PastNight]) -> list[tuple[str, list[Cell]]]:
    """Return each run's endings, tonight's first, and above them those of the whole."""
    links = {night.record.run_id: f"../{night.record.run_id}/report.html" for night in past}
    for night in past:
        if not night.page:
            del links[night.record.run_id]
    nights = _nights(record, past)
    names = dict.fromkeys(run.name for night in nights for run in night.runs)
    return [
        ("all", [_whole_cell(night, links.get(night.run_id, "")) for night in nights]),
        *((name, [_cell(night, name) for night in nights]) for name in names),
    ]


def _whole_cell(night: NightlyRecord, link: str) -> Cell:
    words = verdict_words(night)
    word = {"pass": "passed", "fail": "failed"}.get(words, words)
    look, sign = _LOOKS[word]
    return Cell(look, sign, f"{night.run_id}: {words}", link)


def _cell(night: NightlyRecord, name: str) -> Cell:
    found = [run for run in night.runs if run.name == name]
    if not found:
        return Cell(*_ABSENT, f"{night.run_id}: not in it")
    word = ending(found[0])
    return Cell(*_LOOKS[word], f"{night.run_id}: {word}")
