"""``mlubench compare`` and ``mlubench baseline``: what is printed, and how they end."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree as Xml

import numpy as np
import pytest

from mlubench.cli import main
from mlubench.metrics.verdict import Verdict
from tests.support.runs import answers, right_ones, write_benchmark, write_evaluation

INT8 = "qint8_mixed_float16"


def _worse(out: Path, night: int) -> Path:
    lost = answers(2000, right_ones(2000)[:60])
    return write_evaluation(out, night, {"force_float32": answers(2000), INT8: lost})


def test_two_evaluations_by_id(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before, after = write_evaluation(tmp_path, 0), _worse(tmp_path, 1)
    junit = tmp_path / "junit.xml"
    words = ["compare", after.name, before.name, "--out", str(tmp_path), "--junit", str(junit)]
    assert main(words) == 1
    printed = capsys.readouterr().out
    lines = printed.splitlines()
    assert max(map(len, lines)) <= 100
    assert lines[-1] == (
        f"verdict: fail ({after.name} against {before.name}; 9 pass, 0 inconclusive, 2 fail)"
    )
    assert "accuracy-baseline" in printed
    root = Xml.parse(junit).getroot()
    assert root.get("failures") == str(sum(line.startswith("FAIL") for line in lines))


def test_paths_and_thresholds(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before, after = write_evaluation(tmp_path, 0), write_evaluation(tmp_path, 1)
    assert main(["compare", str(after), str(before)]) == 0
    assert "verdict: pass" in capsys.readouterr().out
    assert main(["compare", str(after), str(before), "--max_loss", "101"]) == 2
    assert "--max_loss" in capsys.readouterr().err
    agreed = ["compare", str(after), str(before), "--min_agreement", "99.95"]
    assert main(agreed) == 3
    assert "INCONCLUSIVE" in capsys.readouterr().out


def test_two_benchmarks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(2)
    rounds = (1000 + rng.standard_normal(8)).tolist()
    before = write_benchmark(tmp_path, 0, {INT8: rounds})
    slow = write_benchmark(tmp_path, 1, {INT8: [one * 0.9 for one in rounds]})
    assert main(["compare", str(slow), str(before)]) == 1
    assert "throughput ratio 0.900" in " ".join(capsys.readouterr().out.split())
    assert main(["compare", str(slow), str(before), "--min_effect", "15"]) == 0


def test_no_such_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = write_evaluation(tmp_path, 0)
    assert main(["compare", "typo", before.name, "--out", str(tmp_path)]) == 2
    told = capsys.readouterr().err
    assert "typo: is no run" in told
    assert before.name in told


def test_pinned_baseline(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, second = write_evaluation(tmp_path, 0), write_evaluation(tmp_path, 1)
    out = ["--out", str(tmp_path)]
    assert main(["compare", second.name, "pinned", *out]) == 2
    assert "there is no pinned baseline" in capsys.readouterr().err
    assert main(["baseline", "list", *out]) == 0
    assert "no run is pinned" in capsys.readouterr().out
    assert main(["baseline", "pin", first.name, *out]) == 0
    capsys.readouterr()
    assert main(["compare", second.name, "pinned", *out]) == 0
    assert f"against {first.name}" in capsys.readouterr().out
    assert main(["baseline", "pin", str(second), *out]) == 0
    assert main(["baseline", "list", *out]) == 0
    listed = capsys.readouterr().out
    assert second.name in listed
    assert f"evaluations of tiny on pictures, openvino, force_float32, {INT8}" in listed
    assert main(["baseline", "unpin", first.name, *out]) == 2
    assert "is not pinned" in capsys.readouterr().err
    assert main(["baseline", "unpin", second.name, *out]) == 0
    assert main(["baseline"]) == 0
    assert main(["baseline", "typo"]) == 2


def test_last_good_baseline(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good = write_evaluation(tmp_path, 0)
    write_evaluation(tmp_path, 1, verdict=Verdict.FAIL)
    run = write_evaluation(tmp_path, 2)
    assert main(["compare", run.name, "last-good", "--out", str(tmp_path)]) == 0
    assert f"against {good.name}" in capsys.readouterr().out


def test_nothing_is_published(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = write_evaluation(tmp_path, 0)
    assert main(["compare", run.name, "published", "--out", str(tmp_path)]) == 2
    assert "nothing is published of tiny" in capsys.readouterr().err
