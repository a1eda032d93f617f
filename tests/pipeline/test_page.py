"""A run's page from its files alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlubench.cli import main
from tests.support.runs import write_evaluation


def test_a_run_of_an_older_version_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = write_evaluation(tmp_path, 0, images=100)
    assert main(["report", run.name, "--out", str(tmp_path)]) == 2
    assert "did not keep the names of the classes" in capsys.readouterr().err
