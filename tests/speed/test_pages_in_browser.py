"""What a browser shows of a benchmark's and of a nightly's page; neither asks for anything."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from mlubench.cli import main
from mlubench.metrics.verdict import Verdict
from mlubench.nightly.next_steps import PastNight
from mlubench.nightly.page import render_nightly_page
from tests.support.browser import PHONE, opened
from tests.support.speed_pages import (
    EXPLAINED,
    HOSTILE,
    INT8,
    RATES,
    gate,
    nightly,
    run_ending,
    write_bench,
)

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

TWO = (("cpu:0", "cpu:1"), ("cpu:0",))
NIGHTS = 30


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A benchmark of two numbers of devices, slower than the one before, after eight nights."""
    out = tmp_path_factory.mktemp("bench")
    for night in range(9):
        rates = {name: rate * (0.8 if night > 4 else 1) for name, rate in RATES.items()}
        folder = write_bench(out, night, rates=rates, devices=TWO)
    first = out / "runs" / "20261101-020000-tiny-bench"
    assert main(["compare", folder.name, first.name, "--out", str(out)]) == 1
    return folder / "report.html"


@pytest.fixture(scope="module")
def night(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A red night after many: one run failed and is explained, one has a name with HTML in it."""
    layers = tuple(
        one.model_copy(update={"layer": f"{'long_' * 12}{place}"})
        for place in range(10)
        for one in EXPLAINED.layers[:1]
    )
    bad = run_ending(
        "bad",
        Verdict.FAIL,
        gates=(gate(Verdict.FAIL), gate(Verdict.INCONCLUSIVE, "model", HOSTILE)),
        baseline="20261030-020000-bad",
        explained=(EXPLAINED.model_copy(update={"layers": layers}),),
    )
    past = [
        PastNight(nightly(day, [run_ending("bad", Verdict.PASS)]), page=True)
        for day in range(NIGHTS, 0, -1)
    ]
    record = nightly(NIGHTS + 1, [run_ending(HOSTILE, Verdict.PASS), bad])
    page = tmp_path_factory.mktemp("nightly") / "report.html"
    page.write_text(render_nightly_page(record, past), encoding="utf-8")
    return page


def _unfold(tab: Page) -> None:
    tab.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true })")


def _cells(tab: Page, table: str) -> list[list[str]]:
    rows = tab.locator(f"{table} tr").all()
    found = [row.locator("td").all_inner_texts() for row in rows]
    return [[" ".join(cell.split()) for cell in row] for row in found if row]


def test_a_benchmarks_verdict_table_and_pictures_are_seen(browser: Browser, bench: Path) -> None:
    with opened(browser, bench) as (tab, _):
        assert tab.title() == "Speed of tiny: fail"
        assert tab.locator(".verdict strong").inner_text() == "FAIL"
        gates = _cells(tab, "#gates > .wide table")
        assert {row[0] for row in gates} == {"fail"}
        assert gates[0][1] == "speed force_float32, batch 1, static, cpu:0 cpu:1"
        assert not tab.get_by_text("the same text and weights").is_visible()
        speeds = _cells(tab, "#throughput > .wide:first-of-type table")
        assert [row[1] for row in speeds[:2]] == ["force_float32 float32"] * 2
        assert speeds[4][4].startswith("3.60 ")
        titles = [svg.get_attribute("aria-label") for svg in tab.locator("svg").all()]
        assert titles == [
            "Throughput, images per second",
            "Latency of a request, ms",
            "Scaling over devices",
            "Stages of a request, %",
            "Round by round",
            "Throughput over the runs, images per second",
        ]
        for svg in tab.locator("svg").all():
            box = svg.bounding_box()
            assert box is not None
            assert min(box["width"], box["height"]) > 50
            assert svg.locator("text").count() > 2
        assert "since run 20261106-020000-tiny-bench" in tab.locator("#history").inner_text()


def test_texts_of_pictures_stay_within_them(browser: Browser, bench: Path) -> None:
    """The browser's letters are not those that Matplotlib measured."""
    with opened(browser, bench) as (tab, _):
        outside = tab.evaluate(
            """[...document.querySelectorAll('svg text')]
            .filter(text => {
              const own = text.getBoundingClientRect();
              const all = text.closest('svg').getBoundingClientRect();
              return own.right > all.right + 2 || own.left < all.left - 2;
            }).map(text => text.textContent)"""
        )
        assert outside == []


def test_a_red_night_says_what_failed_since_when_and_why(browser: Browser, night: Path) -> None:
    with opened(browser, night) as (tab, _):
        assert tab.title() == "smoke of 2026-12-02 02:00: fail"
        verdict = tab.locator(".verdict")
        assert verdict.locator("strong").inner_text() == "FAIL"
        assert "the first bad night; last green on 2026-12-01" in verdict.inner_text()
        assert [row[0] for row in _cells(tab, "#runs table")] == ["failed", "passed"]
        whole, _, of_run = _cells(tab, ".strip")  # in the order of the suite
        assert whole == of_run == ["✗", *["✓"] * NIGHTS]
        verdict.get_by_text("bad", exact=True).click()
        assert tab.locator("#run-1").get_by_text("Differences begin in").is_visible()
        assert tab.locator("#run-1").get_by_text(f"--precision {INT8}").first.is_visible()
        assert tab.locator("#run-1").get_by_text("a.jpg").is_visible()


@pytest.mark.parametrize("colours", ["light", "dark"])
def test_no_request_leaves_the_pages(
    browser: Browser, bench: Path, night: Path, colours: str
) -> None:
    for page in (bench, night):
        with opened(browser, page, colours=colours) as (tab, requests):  # type: ignore[arg-type]
            _unfold(tab)
            tab.wait_for_load_state("networkidle")
            assert requests == [page.resolve().as_uri()]


@pytest.mark.parametrize("width", [PHONE, 800, 1600])
def test_a_phone_need_not_scroll_sideways(
    browser: Browser, bench: Path, night: Path, width: int
) -> None:
    for page in (bench, night):
        with opened(browser, page, width=width) as (tab, _):
            _unfold(tab)
            assert tab.evaluate("document.documentElement.scrollWidth") <= width
            outside = tab.evaluate(
                """[...document.querySelectorAll('body *')]
                .filter(one => !one.closest('.wide, pre, svg'))
                .filter(one => one.getBoundingClientRect().right > innerWidth + 1)
                .map(one => one.outerHTML.slice(0, 200))"""
            )
            assert outside == []


def test_names_are_text_and_nothing_runs(browser: Browser, night: Path) -> None:
    with opened(browser, night) as (tab, _):
        _unfold(tab)
        assert tab.locator("#runs").get_by_text(HOSTILE).is_visible()
        assert tab.locator("#run-1").get_by_text(HOSTILE).first.is_visible()
        assert tab.locator("script").count() == 0


def test_dark_is_dark(browser: Browser, bench: Path, night: Path) -> None:
    for page in (bench, night):
        seen = []
        for colours in ("light", "dark"):
            with opened(browser, page, colours=colours) as (tab, _):  # type: ignore[arg-type]
                style = "getComputedStyle(document.body)"
                seen.append(
                    [tab.evaluate(f"{style}.{one}") for one in ("color", "backgroundColor")]
                )
        light, dark = seen
        assert all(one != other for one, other in zip(light, dark, strict=True))
