"""``--artifacts`` on the command line: refused at once where it is wrong, and runs of a store."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from mlubench.cli import main
from mlubench.runs.sharing import push_run
from tests.support.depots import Bucket
from tests.support.runs import write_evaluation

SECRET = "wJalrXUtnFEMI/K7MDENG"
VERBS = (["eval"], ["bench"], ["nightly", "smoke"])


@pytest.mark.parametrize("verb", VERBS, ids=lambda verb: verb[0])
@pytest.mark.parametrize(
    ("address", "told"),
    [
        (f"s3://AKIAEXAMPLE:{SECRET}@bucket/p", "the address holds credentials"),
        ("s3://no-such-bucket/p", "there is no bucket no-such-bucket"),
        ("s3://b?endpoint_override=127.0.0.1:9&scheme=http", "no server answers"),
        ("somewhere", "mlubench has no store of the kind"),
    ],
)
def test_what_is_wrong_is_told_before_anything_is_done(
    bucket: Bucket,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    verb: list[str],
    address: str,
    told: str,
) -> None:
    assert main([*verb, "--artifacts", address, "--out", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert told in error
    assert SECRET not in error
    assert SECRET.partition("/")[0] not in error
    assert not (tmp_path / "out").exists()


@pytest.fixture
def two_runs(bucket: Bucket, tmp_path: Path) -> list[str]:
    """Two runs on the store, of a host that is gone."""
    gone = tmp_path / "gone"
    names = [write_evaluation(gone, night, label_order="digits").name for night in (0, 1)]
    for name in names:
        push_run(bucket.open(), gone, name)
    return names


def test_report(
    bucket: Bucket, two_runs: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = ["--out", str(tmp_path / "out")]
    assert main(["report", f"{bucket.address}/runs/{two_runs[0]}", *out]) == 0
    page = tmp_path / "out" / "runs" / two_runs[0] / "report.html"
    assert capsys.readouterr().out == f"{page}\n"
    assert page.is_file()
    assert main(["report", two_runs[1], "--artifacts", bucket.address, *out]) == 0
    assert main(["report", two_runs[1], *out]) == 0
    capsys.readouterr()
    assert main(["report", f"{bucket.address}/runs/none", *out]) == 2
    error = capsys.readouterr().err
    assert f"{bucket.address}/runs/none: is no run, or a damaged one" in error
    assert ", ".join(two_runs) in error
    assert main(["report", bucket.address, *out]) == 2
    assert "names no run of a store" in capsys.readouterr().err


def test_compare(
    bucket: Bucket, two_runs: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = two_runs
    out = ["--out", str(tmp_path / "out")]
    place = f"{bucket.address}/runs"
    assert main(["compare", f"{place}/{second}", f"{place}/{first}", *out]) == 0
    assert f"verdict: pass ({second} against {first}" in capsys.readouterr().out
    for folder in (tmp_path / "out" / "runs").iterdir():
        if folder.name == first:
            for file in folder.iterdir():
                file.unlink()
            folder.rmdir()
    words = ["compare", second, "last-good", "--artifacts", bucket.address, *out]
    assert main(words) == 0
    assert f"verdict: pass ({second} against {first}" in capsys.readouterr().out


def test_baseline(
    bucket: Bucket, two_runs: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shared = ["--artifacts", bucket.address]
    one, other = (["--out", str(tmp_path / name)] for name in ("one", "other"))
    assert main(["baseline", "pin", two_runs[0], *shared, *one]) == 0
    capsys.readouterr()
    assert main(["baseline", "list", *shared, *other]) == 0
    assert re.search(f"^{two_runs[0]}  since", capsys.readouterr().out, re.MULTILINE)
    assert main(["baseline", "unpin", two_runs[0], *shared, *other]) == 0
    assert main(["baseline", "list", *shared, *one]) == 0
    assert "no run is pinned" in capsys.readouterr().out
