"""How a nightly ends, from how its runs ended."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from mlubench.errors import ConfigError, DeviceError
from mlubench.evaluate.options import EvaluateParameters
from mlubench.metrics.verdict import Verdict
from mlubench.nightly.options import NightlyParameters
from mlubench.nightly.record import NightlyRecord, RunEnding
from mlubench.nightly.results import exit_status, run_ending, skipped, write_nightly
from mlubench.nightly.suite import Suite, SuiteRun
from mlubench.nightly.text import ending, headline, nightly_cells, nightly_markdown
from mlubench.runs.verdict import GateRecord
from mlubench.speed.benchmark.options import BenchParameters
from mlubench.verdicts.thresholds import Gates

RUN = SuiteRun("sample on digits", EvaluateParameters(), Gates())
STATUS = {Verdict.PASS: 0, Verdict.NOT_JUDGED: 0, Verdict.FAIL: 1, Verdict.INCONCLUSIVE: 3}


def _judged(verdict: Verdict, name: str = "sample on digits") -> RunEnding:
    gate = GateRecord(
        name="accuracy-float32", subject="int8", verdict=verdict, reason="drop 2.00 points"
    )
    return RunEnding(
        name=name,
        kind="evaluation",
        verdict=verdict,
        exit_status=STATUS[verdict],
        gates=() if verdict == Verdict.NOT_JUDGED else (gate,),
        run_id="20260101-000000-sample",
        report="runs/20260101-000000-sample/report.html",
    )


BROKEN = run_ending(RUN, DeviceError("is lost", where="cpu:0"), 1.0)
WRONG = run_ending(RUN, ConfigError("is wrong", where="--model"), 1.0)
SKIPPED = skipped(
    SuiteRun("cards", BenchParameters(), Gates(), absent="there is no device for magicmind")
)


@pytest.mark.parametrize(
    ("endings", "status", "begins"),
    [
        ([_judged(Verdict.PASS)], 0, "pass: 1 passed"),
        ([_judged(Verdict.NOT_JUDGED)], 0, "not judged: 1 not judged"),
        ([_judged(Verdict.PASS), SKIPPED], 0, "pass: 1 passed, 1 skipped"),
        ([_judged(Verdict.INCONCLUSIVE), _judged(Verdict.PASS)], 3, "inconclusive: 1 inconc"),
        ([_judged(Verdict.PASS), _judged(Verdict.FAIL), BROKEN], 1, "fail: 1 failed, 1 broken"),
        ([_judged(Verdict.INCONCLUSIVE), BROKEN], 4, "broken: 1 broken, 1 inconclusive"),
        ([WRONG, BROKEN, _judged(Verdict.PASS)], 4, "broken: 2 broken, 1 passed"),
        ([WRONG, _judged(Verdict.INCONCLUSIVE)], 2, "broken: 1 broken, 1 inconclusive"),
        ([SKIPPED], 2, "broken: 1 skipped. nothing was run"),
    ],
)
def test_the_worst_run_decides(
    tmp_path: Path, endings: list[RunEnding], status: int, begins: str
) -> None:
    assert exit_status(endings) == status
    suite = Suite("smoke", "A suite.", (RUN,))
    asked = NightlyParameters(suite="smoke", out=tmp_path)
    outcome = write_nightly(asked, suite, endings, datetime.now(UTC))
    assert outcome.exit_status == status
    assert outcome.headline.startswith(begins)
    assert NightlyRecord.read(outcome.folder / "summary.json") == outcome.record


def test_the_first_night_has_none_before_it(tmp_path: Path) -> None:
    asked = NightlyParameters(suite="ours", out=tmp_path)
    suite = Suite("ours", "", (RUN,))
    outcome = write_nightly(
        asked, suite, [_judged(Verdict.PASS)], datetime(2026, 11, 1, tzinfo=UTC)
    )
    page = (outcome.folder / "report.html").read_text(encoding="utf-8")
    assert page.count("11-01</th>") == 1


def test_errors_keep_what_they_say_and_strangers_are_named() -> None:
    assert (BROKEN.exit_status, WRONG.exit_status) == (4, 2)
    assert BROKEN.error == "cpu:0: is lost"
    stranger = run_ending(RUN, ZeroDivisionError("division by zero"), 1.0)
    assert (stranger.exit_status, ending(stranger)) == (4, "broken")
    assert stranger.error == "ZeroDivisionError: division by zero"


def test_a_run_with_results_of_wrong_input_is_broken() -> None:
    """Too many damaged images, or a wrong label order: there are results, and no trust in them."""
    run = _judged(Verdict.PASS).model_copy(update={"exit_status": 2, "notes": ("damaged: a",)})
    assert ending(run) == "broken"
    assert nightly_cells(_record([run]))[0]["why"] == "damaged: a"


def _record(runs: list[RunEnding]) -> NightlyRecord:
    return NightlyRecord(
        run_id="20260101-000000-smoke",
        created_utc=datetime(2026, 1, 1, tzinfo=UTC),
        suite="smoke",
        description="A suite.",
        parameters={},
        host="here",
        seconds=1.0,
        verdict=Verdict.FAIL,
        exit_status=1,
        runs=tuple(runs),
    )


def test_the_headline_is_one_line_with_the_worst_reason_first() -> None:
    record = _record([BROKEN, _judged(Verdict.FAIL, "b|c")])
    assert headline(record) == (
        "fail: 1 failed, 1 broken. b|c: accuracy-float32, int8: drop 2.00 points"
    )


def test_the_page_has_every_run_gate_and_error_and_is_sound_markdown() -> None:
    page = nightly_markdown(
        _record([BROKEN, _judged(Verdict.FAIL, "b|c"), SKIPPED]), lambda place: f"../../{place}"
    )
    rows = [line for line in page.splitlines() if line.startswith("| ")]
    assert {line.count("|") for line in rows} == {6}
    assert "b&#124;c" in page
    assert "](../../runs/20260101-000000-sample/report.html)" in page
    assert "drop 2.00 points" in page.split("## Gates")[1]
    assert "cpu:0: is lost" in page.split("## Errors")[1]
    assert "there is no device for magicmind" in page
