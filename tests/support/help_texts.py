"""What ``--help`` of several commands prints and imports, by a process that shows them in turn."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass

_CODE = """
import contextlib, io, json, sys
from mlubench.cli import main
shown = []
for words in json.loads(sys.argv[1]):
    with contextlib.redirect_stdout(io.StringIO()) as text:
        main([*words, "--help"])
    shown.append([text.getvalue(), sorted(sys.modules)])
print(json.dumps(shown))
"""


@dataclass(frozen=True)
class Help:
    """A help text, and the modules that are imported after it, those of earlier ones included."""

    text: str
    modules: frozenset[str]


def help_texts(commands: Sequence[Sequence[str]]) -> list[Help]:
    """Return the help of each command, shown in that order."""
    done = subprocess.run(
        [sys.executable, "-c", _CODE, json.dumps([list(words) for words in commands])],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [Help(text, frozenset(modules)) for text, modules in json.loads(done.stdout)]
