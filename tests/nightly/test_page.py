"""A nightly's page: what failed, since when, why, what to run next."""

from __future__ import annotations

import re

import pytest

from mlubench.metrics.verdict import Verdict
from mlubench.nightly.next_steps import PastNight, bad_since, explained_lines, next_steps
from mlubench.nightly.page import render_nightly_page
from mlubench.nightly.record import NightlyRecord, RunEnding
from mlubench.nightly.text import nightly_markdown
from tests.support.markup import ParsedPage
from tests.support.speed_pages import EXPLAINED, HOSTILE, INT8, gate, nightly, run_ending

GOOD = run_ending("good", Verdict.PASS)
FAILED = run_ending(
    "bad",
    Verdict.FAIL,
    baseline="20261030-020000-bad",
    gates=(
        gate(Verdict.PASS, "images", "corrupt"),
        gate(Verdict.FAIL),
        gate(Verdict.INCONCLUSIVE, "model", "tiny"),
        gate(Verdict.FAIL, "accuracy-baseline"),
    ),
    explained=(EXPLAINED,),
    since=(f"{INT8}: top-1 97.00 % to 90.00 % (-7.00 points) since run X",),
)
BROKEN = RunEnding(name="lost", kind="benchmark", exit_status=4, error="cpu:9: is lost\nmore")


def _past(*words: str) -> list[PastNight]:
    """Return nights before, the newest first, in which ``bad`` was as told."""
    verdicts = {"ok": Verdict.PASS, "fail": Verdict.FAIL, "doubt": Verdict.INCONCLUSIVE}
    count = len(words)
    return [
        PastNight(nightly(count - place, [run_ending("bad", verdicts[word])]), page=True)
        for place, word in enumerate(words)
    ]


def _text(record: NightlyRecord, past: list[PastNight] | None = None) -> str:
    return ParsedPage(render_nightly_page(record, past or [])).text


def test_the_morning_questions_are_answered_in_order() -> None:
    text = _text(nightly(9, [GOOD, FAILED, BROKEN]), _past("fail", "ok"))
    expected = [
        "fail 1 failed, 1 broken, 1 passed",
        f"bad : accuracy-float32, {INT8}: accuracy-float32 says fail",
        "model, tiny: model says inconclusive",
        "bad for 2 nights; last green on 2026-11-02 02:00 UTC, in 20261101-020000-bad",
        "Runs",
        "Nights of smoke",
        "what changed model, tiny: model says inconclusive",
        "top-1 97.00 % to 90.00 % (-7.00 points) since run X",
        f"Why: {INT8} against force_float32",
        "40 images lost, 2 won of 600.",
        "Differences begin in conv3_2_3x3",
        "conv3_2_3x3 Convolution, begins here -1.2",
        "a.jpg 7 7 1",
        "seven 30 / 0 60",
        "What to run next",
        "mlubench compare 20261101-020000-bad 20261030-020000-bad",
        f"mlubench explain 20261101-020000-bad --precision {INT8}",
        "mlubench nightly smoke --only bad",
        "mlubench baseline pin 20261101-020000-bad",
        "cpu:9: is lost more",
    ]
    places = [text.find(part) for part in expected]
    assert -1 not in places, expected[places.index(-1)]
    assert places == sorted(places)


def test_runs_are_a_table_worst_first_with_relative_links() -> None:
    page = ParsedPage(render_nightly_page(nightly(9, [GOOD, BROKEN, FAILED]), []))
    runs = page.text.split(" seconds ")[1]
    assert re.findall(r"(failed|broken|passed) (bad|lost|good)", runs)[:3] == [
        ("failed", "bad"),
        ("broken", "lost"),
        ("passed", "good"),
    ]
    assert "../../runs/20261101-020000-bad/report.html" in page.values("href")


def test_the_strip_has_every_night_with_a_link_to_its_page() -> None:
    past = _past("fail", "doubt", "ok")
    past[1] = PastNight(past[1].record, page=False)
    page = render_nightly_page(nightly(9, [FAILED]), past)
    strip = page[page.index('<table class="strip">') : page.index('class="key"')]
    row = strip[strip.index("<th>bad</th>") :]
    assert re.findall(r'<td class="(\w+)"', row) == ["fail", "fail", "inconclusive", "pass"]
    assert re.findall(r"<span>(.)</span>", row) == ["✗", "✗", "?", "✓"]
    assert re.findall(r'href="\.\./(\d+)-\d+-smoke/report.html"', strip) == ["20261104", "20261102"]


@pytest.mark.parametrize(
    ("before", "said"),
    [
        ((), "its first night, as far as is known"),
        (("ok",), "the first bad night; last green on 2026-11-02"),
        (("fail", "doubt", "ok"), "bad for 3 nights; last green on 2026-11-02"),
        (("fail", "fail"), "bad for 3 nights; no green one is known"),
    ],
)
def test_since_which_night(before: tuple[str, ...], said: str) -> None:
    assert bad_since(FAILED, _past(*before)).startswith(said)
    assert bad_since(GOOD, _past(*before)) == ""


def test_what_to_run_next_is_what_may_help() -> None:
    record = nightly(9, [FAILED], parameters={"suite": "my.yaml", "out": "o o", "conf": ["team"]})
    steps = {step.what: step.command for step in next_steps(FAILED, record)}
    budget = f"mlubench explain {FAILED.run_id} --precision {INT8} --budget 0.5 --out 'o o'"
    assert steps[f"layers of {INT8} to keep in float"] == budget
    again = "mlubench nightly my.yaml --only bad --conf team --out 'o o'"
    assert steps["this run alone, once more"] == again
    card = FAILED.model_copy(update={"engine": "magicmind"})
    assert not [step for step in next_steps(card, record) if "--budget" in step.command]
    assert next_steps(GOOD, record) == []
    assert [step.what for step in next_steps(BROKEN, record)] == ["this run alone, once more"]


def test_layers_that_cannot_be_had_are_told_with_the_reason() -> None:
    told = EXPLAINED.model_copy(update={"layers": (), "origins": (), "no_layers": "cards do not"})
    run = FAILED.model_copy(update={"explained": (told,)})
    assert "Layers were not compared: cards do not" in _text(nightly(9, [run]))
    assert explained_lines(told)[0].endswith("layers were not compared: cards do not")


def test_the_summary_says_why_too() -> None:
    text = nightly_markdown(nightly(9, [FAILED]))
    assert "layers that differ most: conv3_2_3x3 (SNR -1.2 dB), fc (SNR 4.5 dB)" in text
    assert "differences begin in conv3_2_3x3" in text
    assert "changed: " in text
    assert "`mlubench nightly smoke --only bad`" in text


def test_a_green_night_has_nothing_to_do() -> None:
    text = _text(nightly(9, [GOOD]))
    assert text.startswith(" smoke of") or "pass 1 passed" in text
    assert "What to run next" not in text
    assert "images says pass" in text


def test_it_needs_nothing_else_and_names_are_text() -> None:
    hostile = EXPLAINED.model_copy(
        update={
            "origins": (HOSTILE,),
            "lost_images": (
                EXPLAINED.lost_images[0].model_copy(update={"image": HOSTILE, "after": HOSTILE}),
            ),
        }
    )
    run = run_ending(
        HOSTILE,
        Verdict.FAIL,
        explained=(hostile,),
        model=HOSTILE,
        notes=(HOSTILE,),
        since=(HOSTILE,),
    )
    written = render_nightly_page(nightly(9, [run], description=HOSTILE, host=HOSTILE), [])
    page = ParsedPage(written)
    assert not {"script", "link", "iframe", "img", "form"} & set(page.tags)
    assert page.text.count(HOSTILE) > 10
    assert all(value.startswith(("#", "../")) for value in page.values("src", "href"))
    assert "default-src 'none'" in written
    assert render_nightly_page(nightly(9, [FAILED]), []) == render_nightly_page(
        nightly(9, [FAILED]), []
    )
