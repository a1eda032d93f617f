"""What a browser shows of an evaluation's page, and that it asks nobody for anything."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from mlubench.evaluate.flips import PICTURED
from mlubench.report.page import write_page
from tests.support.browser import PHONE, opened
from tests.support.pages import HOSTILE, INT8, LAYERS, LOST, STEP, write_nights, write_whole_run
from tests.support.runs import START

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_page(write_whole_run(tmp_path_factory.mktemp("whole")))


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_page(write_nights(tmp_path_factory.mktemp("bare"), nights=1))


def _unfold(tab: Page) -> None:
    tab.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true })")


def _rows(tab: Page, table: str) -> list[list[str]]:
    rows = tab.locator(f"{table} tr").all()
    cells = [row.locator("td").all_inner_texts() for row in rows]
    return [[" ".join(cell.split()) for cell in row] for row in cells if row]


def test_the_verdict_and_the_worst_gate_are_seen_first(browser: Browser, whole: Path) -> None:
    with opened(browser, whole) as (tab, _):
        assert tab.title() == "tiny on pictures: fail"
        verdict = tab.locator(".verdict")
        assert verdict.locator("strong").inner_text() == "FAIL"
        assert "Judged against 20261101-020000-tiny" in verdict.inner_text()
        assert "1 fail, 1 inconclusive, 1 pass" in verdict.inner_text()
        assert "another host than the baseline's" in verdict.inner_text()
        assert "damaged images: 1, --max_corrupt allows 0" in verdict.inner_text()
        gates = _rows(tab, "#gates > table")
        assert [row[:3] for row in gates] == [
            ["FAIL", "accuracy-float32", INT8],
            ["INCONCLUSIVE", "model", "tiny"],
        ]
        top, height = (
            tab.evaluate(f"document.querySelector('#gates').getBoundingClientRect().{end}")
            for end in ("top", "height")
        )
        assert top + height < 900
        assert not tab.get_by_text("0 of 400 images corrupt").is_visible()
        tab.get_by_text("1 passed").click()
        assert tab.get_by_text("0 of 400 images corrupt").is_visible()


def test_tables_have_the_figures(browser: Browser, whole: Path) -> None:
    with opened(browser, whole) as (tab, _):
        _unfold(tab)
        accuracy = _rows(tab, "#accuracy .wide:first-of-type table")
        assert [row[0].split()[0] for row in accuracy[:2]] == ["force_float32", INT8]
        assert [row[5].split()[0] for row in accuracy[:2]] == ["reference", "fail"]
        assert f"{100 * LOST / 399:.2f}" in accuracy[1][3]
        layers = _rows(tab, "#layers .wide:first-of-type table")
        assert layers[0][:3] == [f"{HOSTILE} Convolution", "2", "7.5"]
        assert [row[2] for row in layers[1:3]] == ["12.0", "30.0"]
        assert len(layers) < LAYERS
        assert f"{len(layers)} of {LAYERS}; all of them are in" in tab.inner_text("#layers")
        assert "Differences begin in: conv1." in tab.inner_text("#layers")
        classes = _rows(tab, "#classes table")
        assert sum(int(row[2]) for row in classes) == LOST
        assert all(float(row[4]) > 0 for row in classes)


def test_flips_are_pictured_and_the_rest_is_listed(browser: Browser, whole: Path) -> None:
    with opened(browser, whole) as (tab, _):
        _unfold(tab)
        pictures = tab.locator("#flips li img")
        assert pictures.count() == PICTURED
        sizes = tab.evaluate(
            "[...document.querySelectorAll('#flips li img')].map(one => one.naturalWidth)"
        )
        assert set(sizes) == {48}
        card = " ".join(tab.locator("#flips li").first.inner_text().split())
        assert "force_float32" in card
        assert f"{INT8} " in card
        assert card.count("0.750") == 2
        assert len(_rows(tab, "#flips table")) == LOST - PICTURED


def test_pictures_are_drawings_with_text_in_them(browser: Browser, whole: Path) -> None:
    with opened(browser, whole) as (tab, _):
        titles = [svg.get_attribute("aria-label") for svg in tab.locator("svg").all()]
        assert titles == [
            "Top-1 accuracy, %",
            "Top-1 drop against force_float32, points",
            f"Signal-to-noise of {INT8} against force_float32, dB",
            f"{INT8}, layers in float: drop in points against speed-up over force_float32",
            "Top-1 over the runs, %",
        ]
        for svg in tab.locator("svg").all():
            box = svg.bounding_box()
            assert box is not None
            assert min(box["width"], box["height"]) > 50
            assert svg.locator("text").count() > 2
        assert tab.locator("#layers svg").first.get_by_text(HOSTILE[:20]).is_visible()
        since = f"{START:%Y%m}{START.day + STEP:02d}"
        assert f"% since {since}-020000-tiny" in tab.locator("#history").inner_text()
        assert "that run changed: its weights" in tab.locator("#history").inner_text()


@pytest.mark.parametrize("colours", ["light", "dark"])
def test_no_request_leaves_the_page(browser: Browser, whole: Path, colours: str) -> None:
    with opened(browser, whole, colours=colours) as (tab, requests):  # type: ignore[arg-type]
        _unfold(tab)
        tab.wait_for_load_state("networkidle")
        assert [one for one in requests if not one.startswith("data:")] == [
            whole.resolve().as_uri()
        ]


def test_a_request_that_leaves_would_be_seen(browser: Browser, bare: Path, tmp_path: Path) -> None:
    leaking = tmp_path / "leaking.html"
    text = bare.read_text().replace("default-src 'none'", "default-src *")
    leaking.write_text(text.replace("</h1>", '</h1><iframe src="http://127.0.0.1:9/"></iframe>'))
    with opened(browser, leaking) as (tab, requests):
        tab.wait_for_load_state("networkidle")
        assert "http://127.0.0.1:9/" in requests


def test_names_are_text_and_nothing_runs(browser: Browser, whole: Path) -> None:
    with opened(browser, whole) as (tab, _):
        _unfold(tab)
        for section in ("#gates", "#accuracy", "#layers", "#images"):
            assert tab.locator(section).get_by_text(HOSTILE).first.is_visible()
        assert tab.locator("img[src=x]").count() == 0
        assert tab.locator("script").count() == 0


@pytest.mark.parametrize("width", [PHONE, 800, 1600])
def test_a_phone_need_not_scroll_sideways(
    browser: Browser, whole: Path, bare: Path, width: int
) -> None:
    for page in (whole, bare):
        with opened(browser, page, width=width) as (tab, _):
            _unfold(tab)
            wide = tab.evaluate("document.documentElement.scrollWidth")
            assert wide <= width
            outside = tab.evaluate(
                """[...document.querySelectorAll('body *')]
                .filter(one => !one.closest('.wide, pre, svg'))
                .filter(one => one.getBoundingClientRect().right > innerWidth + 1)
                .map(one => one.outerHTML.slice(0, 200))"""
            )
            assert outside == []


def test_dark_is_dark(browser: Browser, whole: Path) -> None:
    seen = {}
    for colours in ("light", "dark"):
        with opened(browser, whole, colours=colours) as (tab, _):  # type: ignore[arg-type]
            style = "getComputedStyle(document.{}).{}"
            seen[colours] = [
                tab.evaluate(style.format(*pair))
                for pair in (
                    ("body", "backgroundColor"),
                    ("body", "color"),
                    ("querySelector('svg text')", "fill"),
                )
            ]
    for light, dark in zip(seen["light"], seen["dark"], strict=True):
        assert light != dark


def test_what_is_absent_says_how_to_get_it(browser: Browser, bare: Path) -> None:
    with opened(browser, bare) as (tab, _):
        assert tab.locator(".verdict strong").inner_text() == "NOT JUDGED"
        hints = " ".join(tab.locator(".hint").all_inner_texts())
        run = "20261101-020000-tiny"
        assert f"mlubench compare {run} last-good" in hints
        assert f"mlubench explain {run} --precision {INT8}" in hints
        assert "This is the first run of its kind" in hints
        assert tab.locator("#flips").inner_text().rstrip().endswith("None.")
