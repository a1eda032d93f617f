"""``--engine magicmind`` where the SDK is not, or not under the interpreter that was named."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from mlubench import cli
from tests.cli.conftest import Models

MAGICMIND = ("--engine", "magicmind")


def _verbs(folder: Path, compiled: Path | None = None) -> dict[str, list[str]]:
    """Return a command line for each verb that needs the engine."""
    out = ["--out", str(folder / "artifacts")]
    return {
        # The network would have to be fetched; nothing of that is begun.
        "eval": ["eval", *MAGICMIND, "--devices", "mlu:0", "--model", "senet50", *out],
        "bench": ["bench", *MAGICMIND, "--devices", "mlu:0", "--model", "senet50", *out],
        "compile": ["compile", *MAGICMIND, "--model", "senet50", *out],
        "infer": ["infer", "--magicmind_model", str(compiled), "--image_dir", str(folder), *out],
        "devices": ["devices", *MAGICMIND],
    }


@pytest.mark.parametrize("verb", ["eval", "bench", "compile", "infer", "devices"])
def test_each_verb_says_what_was_looked_for(
    verb: str,
    models: Models,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    # It was compiled where there is an SDK.
    verbs = _verbs(tmp_path, models["magicmind", "static"])
    monkeypatch.setenv("NEUWARE_HOME", "/usr/local/neuware")
    monkeypatch.setattr("flows.launch.prepare_prefect", lambda _: pytest.fail("not before"))
    assert cli.main(verbs[verb]) == 2
    said = capsys.readouterr().err
    for words in (
        "error: --engine magicmind: MagicMind's SDK is not there",
        f"the module magicmind.python.runtime under Python 3.{sys.version_info[1]}",
        "NEUWARE_HOME is /usr/local/neuware",
        "vendor's image",
        "engines.yaml",
    ):
        assert words in said
    assert "Traceback" not in said
    assert "trying again" not in said
    left = (path.relative_to(tmp_path) for path in tmp_path.glob("artifacts/**/*"))
    assert [path.name for path in left if not path.name.startswith(".")] in ([], ["cache"])


@pytest.mark.parametrize(
    ("program", "wrong"),
    [
        (None, "cannot be started: No such file or directory"),
        ("", "cannot be started: Permission denied"),
        ("#!/bin/sh\nexit 0\n", "is no Python: it said nothing"),
        ("#!/bin/sh\necho no such container >&2; exit 1\n", "is no Python: no such container"),
        ("#!/bin/sh\necho mlubench asks: Python 3 6\n", "is Python 3.6"),
        ('#!/bin/sh\nexec {python} -S -E "$@"\n', "cannot import NumPy: ModuleNotFoundError"),
    ],
)
@pytest.mark.parametrize("verb", ["compile", "devices"])
def test_an_interpreter_that_is_none(
    verb: str,
    program: str | None,
    wrong: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    python = tmp_path / "python3.7"
    if program is not None:
        python.write_text(program.format(python=sys.executable))
        python.chmod(0o755 if program else 0o644)
    (tmp_path / "engines.yaml").write_text(json.dumps({"magicmind": {"python": str(python)}}))
    assert cli.main([*_verbs(tmp_path)[verb], "--conf", str(tmp_path)]) == 2
    said = capsys.readouterr().err
    assert f"error: python {python} of the engine magicmind: {wrong}" in said
    assert "expected: a Python 3.7 or later that has NumPy and the engine's SDK" in said
    assert "engines.yaml" in said
    assert "Traceback" not in said
