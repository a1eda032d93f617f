"""A run's page from its files alone."""

from __future__ import annotations

import dataclasses
import html
import shutil
from pathlib import Path

import numpy as np
import pytest

from mlubench.cli import main
from mlubench.evaluate.flips import parts_of, pictured
from mlubench.evaluate.options import EvaluateParameters
from mlubench.evaluate.thumbnails import write_thumbnails
from mlubench.explain.explanation import write_explanation
from mlubench.images.decoding.cache import DecodedImages, ImageRecord
from mlubench.metrics.verdict import Verdict
from mlubench.nightly.results import judge_run
from mlubench.nightly.suite import SuiteRun
from mlubench.report.page import page_again, write_page
from mlubench.runs.verdict import Gate
from mlubench.verdicts.judge import Judged, record_verdict
from mlubench.verdicts.thresholds import Gates
from tests.support import pages
from tests.support.runs import answers, right_ones, write_evaluation
from tests.support.undrawn import undrawn as undrawn

INT8 = pages.INT8


def test_a_run_of_an_older_version_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = write_evaluation(tmp_path, 0, images=100)
    assert main(["report", run.name, "--out", str(tmp_path)]) == 2
    assert "did not keep the names of the classes" in capsys.readouterr().err


def test_the_same_files_give_the_same_page_and_picture(tmp_path: Path) -> None:
    run = pages.write_whole_run(tmp_path)
    written = set()
    for _ in range(2):
        written.add((write_page(run).read_bytes(), (run / "plot.png").read_bytes()))
        (run / "report.html").unlink()
    assert len(written) == 1
    moved = tmp_path / "elsewhere"
    shutil.copytree(tmp_path / "runs", moved / "runs")
    shutil.copytree(tmp_path / "history", moved / "history")
    page = write_page(moved / "runs" / run.name).read_bytes()
    assert page == written.pop()[0]


def test_later_runs_change_no_page(tmp_path: Path) -> None:
    run = pages.write_nights(tmp_path, nights=3)
    before = write_page(run).read_bytes()
    pages.write_nights(tmp_path, nights=6)
    assert write_page(run).read_bytes() == before


@pytest.mark.usefixtures("undrawn")
def test_what_was_said_goes_over_the_runs_own_verdict(tmp_path: Path) -> None:
    run = pages.write_nights(tmp_path, nights=1)
    assert ">not judged</strong>" in write_page(run).read_text()
    record_verdict(pages.judged(run), tmp_path)
    page = write_page(run).read_text()
    assert ">fail</strong>" in page
    assert "top-1 drop 12.50 points, limit 0.50" in page
    assert "not judged" not in page


@pytest.mark.usefixtures("undrawn")
def test_a_benchmarks_like_empty_verdict_says_nothing(tmp_path: Path) -> None:
    run = pages.write_nights(tmp_path, nights=1)
    record_verdict(Judged(run.name, "", (), ("there is no baseline yet",)), tmp_path)
    assert "No limit was set" in write_page(run).read_text()


@pytest.mark.usefixtures("undrawn")
@pytest.mark.parametrize(
    "damage",
    [
        "history/accuracy/20261102-020000-tiny.parquet",
        "history/verdicts/20261109-020000-tiny.json",
        "runs/20261109-020000-tiny/thumbnails.parquet",
        f"runs/20261109-020000-tiny/explain/{INT8}/explain.json",
    ],
)
def test_what_cannot_be_read_beside_a_run_is_told_on_its_page(tmp_path: Path, damage: str) -> None:
    run = pages.write_whole_run(tmp_path)
    (tmp_path / damage).write_bytes(b"half")
    page = write_page(run).read_text()
    assert Path(damage).name in page.split("<nav>")[0]
    assert "Top-1 accuracy, %" in page


@pytest.mark.usefixtures("undrawn")
def test_an_explanation_against_another_run_has_its_own_flips(tmp_path: Path) -> None:
    run = pages.write_nights(tmp_path)
    told = pages.explanation(run, against="20261101-020000-tiny")
    folder = run / "explain" / INT8
    write_explanation(told, folder)
    write_thumbnails(folder, parts_of(told.flips), pages.decoded_images(tmp_path, pages.IMAGES))
    page = write_page(run).read_text()
    assert f"{INT8} against 20261101-020000-tiny: {pages.LOST} lost" in page
    assert f"{INT8} against force_float32: {pages.LOST} lost" in page
    assert page.count("data:image/jpeg") == 40
    assert "--budget" not in page  # layers are kept in float to be nearer to force_float32


@pytest.mark.usefixtures("undrawn")
@pytest.mark.parametrize(("precision", "told"), [(INT8, True), ("force_float16", False)])
def test_only_of_quantised_precisions_layers_are_kept_in_float(
    tmp_path: Path, precision: str, told: bool
) -> None:
    run = pages.write_nights(tmp_path, nights=1)
    explanation = dataclasses.replace(pages.explanation(run), precision=precision)
    write_explanation(explanation, run / "explain" / precision)
    assert (f"--precision {precision} --budget 0.5" in write_page(run).read_text()) == told


def test_fifty_thousand_images_in_three_precisions_are_a_small_page(tmp_path: Path) -> None:
    """Even where the pictures are of noise, and a tenth of them flips."""
    images = 50_000
    generator = np.random.default_rng(0)
    right = np.array(right_ones(images))
    best = {"force_float32": answers(images)}
    for precision in ("force_float16", INT8):
        lost = generator.choice(right, images // 10, replace=False)
        best[precision] = answers(images, lost.tolist(), share=0.81)
    run = write_evaluation(tmp_path, 0, best, images=images, label_order="digits")
    flips = pages.flips_of(run)
    assert {(part.precision, part.won) for part in flips} == {
        (precision, won) for precision in ("force_float16", INT8) for won in (False, True)
    }
    shape = (images, 224, 224, 3)
    pixels = np.memmap(tmp_path / "pixels", np.uint8, "w+", shape=shape)  # a file of holes
    chosen = [int(flip.image[6:11]) for flip in pictured(flips)]
    pixels[chosen] = generator.integers(0, 256, (len(chosen), *shape[1:]), np.uint8)
    names = [f"image_{place:05d}.JPEG" for place in range(images)]
    records = tuple(ImageRecord(name, "0" * 64, "scored", "", "") for name in names)
    write_thumbnails(run, flips, DecodedImages(tmp_path / "pixels", shape, records, "", ()))
    page = write_page(run)
    assert page.read_text().count("data:image/jpeg") == 160
    assert page.stat().st_size < 2_000_000


def test_a_page_that_cannot_be_written_loses_no_verdict(tmp_path: Path) -> None:
    run = write_evaluation(tmp_path, 0, images=100)  # of an older version
    assert "did not keep the names" in page_again(run)
    asked = EvaluateParameters.model_validate({"out": tmp_path})
    judged = judge_run(SuiteRun("a run", asked, Gates()), run)
    assert judged.verdict != Verdict.NOT_JUDGED
    assert "report.html could not be written again" in judged.remarks[-1]
    assert not (run / "report.html").exists()


@pytest.mark.usefixtures("undrawn")
def test_a_judged_run_says_so_on_its_page(tmp_path: Path) -> None:
    run = pages.write_nights(tmp_path)
    write_page(run)
    asked = EvaluateParameters.model_validate({"out": tmp_path})
    judged = judge_run(SuiteRun("a run", asked, Gates()), run)
    assert judged.verdict == Verdict.FAIL
    page = html.unescape((run / "report.html").read_text())
    assert ">fail</strong>" in page
    assert f"Judged against {judged.baseline}" in page
    assert all(gate.reason in page for gate in judged.gates)


@pytest.mark.usefixtures("undrawn")
def test_gates_decide_the_table_too(tmp_path: Path) -> None:
    run = pages.write_nights(tmp_path, nights=1)
    gates = [
        Gate("accuracy-baseline", "force_float32", Verdict.PASS, "the same"),
        Gate("agreement", INT8, Verdict.INCONCLUSIVE, "who knows"),
    ]
    record_verdict(Judged(run.name, "another", gates), tmp_path)
    page = " ".join(write_page(run).read_text().split())
    assert '<span class="pass">pass</span>' in page
    assert '<span class="inconclusive">inconclusive</span>' in page
