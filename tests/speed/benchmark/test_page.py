"""A benchmark's page from its files: complete, self-contained, the same bytes, with its history."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from mlubench.cli import main
from mlubench.metrics.verdict import Verdict
from mlubench.report.page import write_page
from mlubench.runs.verdict import Gate
from mlubench.verdicts.judge import Judged, record_verdict
from tests.support.markup import ParsedPage
from tests.support.speed_pages import HOSTILE, INT8, RATES, write_bench
from tests.support.undrawn import undrawn as undrawn

SLOW = {name: 0.8 * rate for name, rate in RATES.items()}


def _page(folder: Path) -> ParsedPage:
    return ParsedPage(write_page(folder).read_text(encoding="utf-8"))


def _titles(folder: Path) -> list[str]:
    """Return the titles of the pictures of a page that is written."""
    page = (folder / "report.html").read_text(encoding="utf-8")
    pictures = re.findall(r"<svg.*?</svg>", page, re.DOTALL)
    return [ElementTree.fromstring(svg).attrib["aria-label"] for svg in pictures]


@pytest.mark.usefixtures("undrawn")
def test_the_seeds_table_is_in_it_with_intervals(tmp_path: Path) -> None:
    text = _page(write_bench(tmp_path, 0)).text
    row = re.search(rf"tiny {INT8} float32 8 (\S+) (\S+) to (\S+) (\S+) (\S+) to", text)
    assert row is not None
    value, low, high, speedup, least = map(float, row.groups())
    assert low < value < high
    assert value == pytest.approx(RATES[INT8] * 8**0.2, rel=0.05)
    assert least <= speedup == pytest.approx(3.6, rel=0.05)
    assert " 195 4 720 0.8 " in text  # MiB of memory, threads, requests, seconds of warm-up
    assert "720 of 6636" in text


def test_pictures_are_those_that_were_measured(tmp_path: Path) -> None:
    usual = [
        "Throughput, images per second",
        "Latency of a request, ms",
        "Stages of a request, %",
        "Round by round",
    ]
    drawn = write_bench(tmp_path, 0)
    write_page(drawn)
    assert _titles(drawn) == usual


@pytest.mark.usefixtures("undrawn")
def test_several_devices_have_a_picture_of_their_own(tmp_path: Path) -> None:
    several = write_bench(tmp_path, 1, devices=(("cpu:0", "cpu:1"), ("cpu:0",)), batches=(8,))
    text = _page(several).text
    assert "Scaling over devices" in _titles(several)
    assert f"{INT8} 1 " in text
    assert " 1.74 87 %" in text  # 2 ** 0.8 of 2


@pytest.mark.usefixtures("undrawn")
def test_a_verdict_comes_first_and_is_the_last_one_said(tmp_path: Path) -> None:
    first, second = write_bench(tmp_path, 0), write_bench(tmp_path, 1, rates=SLOW)
    assert "not judged" in _page(second).text
    gate = Gate("speed", f"{INT8}, batch 8", Verdict.INCONCLUSIVE, "rounds cannot tell")
    record_verdict(Judged(second.name, first.name, [gate]), tmp_path)
    assert f"1 of 1 gates did not pass, judged by {first.name}" in _page(second).text
    assert "inconclusive speed" in _page(second).text
    assert main(["compare", second.name, first.name, "--out", str(tmp_path)]) == 1
    written = (second / "report.html").read_text(encoding="utf-8")
    text = ParsedPage(written).text
    assert f"judged by {first.name}" in text
    assert text.index("fail speed force_float32, batch 1") < text.index("The run")
    assert "throughput ratio 0.800" in text
    assert write_page(second).read_text(encoding="utf-8") == written


def test_the_same_files_give_the_same_page_whatever_ran_since(tmp_path: Path) -> None:
    for night in range(3):
        folder = write_bench(tmp_path, night)
    page, plot = write_page(folder).read_bytes(), (folder / "plot.png").read_bytes()
    write_bench(tmp_path, 3, rates=SLOW)
    assert write_page(folder).read_bytes() == page
    assert (folder / "plot.png").read_bytes() == plot
    assert plot.startswith(b"\x89PNG")


@pytest.mark.usefixtures("undrawn")
def test_steps_of_the_history_are_told_with_their_run(tmp_path: Path) -> None:
    for night in range(12):
        folder = write_bench(tmp_path, night, rates=RATES if night < 7 else SLOW)
    text = _page(folder).text
    assert "(-20.0 %) since run 20261108-020000-tiny-bench" in text
    assert "Throughput over the runs, images per second" in _titles(folder)
    first = tmp_path / "runs" / "20261101-020000-tiny-bench"
    assert "The first run of these configurations on this host" in _page(first).text


@pytest.mark.usefixtures("undrawn")
def test_a_damaged_history_is_told_and_no_page_is_lost(tmp_path: Path) -> None:
    damaged = write_bench(tmp_path, 0)
    folder = write_bench(tmp_path, 1)
    (tmp_path / "history" / "throughput" / f"{damaged.name}.parquet").write_bytes(b"half")
    text = _page(folder).text
    assert "The history cannot be read" in text
    assert damaged.name in text


@pytest.mark.usefixtures("undrawn")
def test_a_disturbed_machine_is_told_at_the_top(tmp_path: Path) -> None:
    text = _page(write_bench(tmp_path, 0, disturbed=True)).text
    assert text.index("other processes had more of the host") < text.index("The run")
    assert "20.0 %" in text


def test_it_needs_nothing_else_and_names_are_text(tmp_path: Path) -> None:
    written = write_page(write_bench(tmp_path, 0, name=HOSTILE)).read_text(encoding="utf-8")
    page = ParsedPage(written)
    assert not {"script", "link", "iframe", "img", "form"} & set(page.tags)
    assert page.text.count(HOSTILE) > len(RATES)
    assert all(value.startswith("#") for value in page.values("src", "href", "xlink:href"))
    plain = re.sub(r'xmlns(:xlink)?="[^"]*"', "", written)
    assert not re.search(r"https?:|url\((?!#)|@import|//[a-z]", plain)
    assert "default-src 'none'" in written


def test_the_verb_renders_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_bench(tmp_path, 0)
    assert main(["report", folder.name, "--out", str(tmp_path)]) == 0
    assert capsys.readouterr().out.strip() == str(folder / "report.html")
