"""What the command line does before a flow starts."""

from __future__ import annotations

from pathlib import Path

import pytest

from flows import start
from mlubench import cli


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--model", "nosuch"], "no 'nosuch' in the catalogue"),
        (["--dataset", "nosuch"], "no 'nosuch' in the catalogue"),
        (["--conf", "{0}"], "no models.yaml, datasets.yaml or engines.yaml in it"),
        (["--build_config", "{0}/absent"], "--build_config"),
        (
            ["--image_dir", "{0}/absent"],
            "absent",
        ),
    ],
)
def test_what_is_named_wrongly_is_told_before_prefect_starts(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    options: list[str],
    words: str,
) -> None:
    monkeypatch.setattr(start, "prepare_prefect", lambda _: pytest.fail("Prefect starts"))
    given = [option.format(tmp_path) for option in options]
    assert cli.main(["eval", *given, "--out", str(tmp_path / "out")]) == 2
    assert words in capsys.readouterr().err
