"""What is wrong with an interpreter that a worker did not start under.

Standard library only, Python 3.7 syntax.
"""

from __future__ import annotations

import re
import subprocess
from typing import Mapping

_SECONDS = 60.0
_OLDEST = (3, 7)
#: Said by a Python, before anything is imported that it may lack.
_HELLO = "mlubench asks: Python"
_ASK = f"""
import sys
print("{_HELLO}", *sys.version_info[:2])
sys.stdout.flush()
import numpy
"""


def fault(python: str, environment: Mapping[str, str]) -> str:
    """Return what an interpreter lacks to run a worker, engine aside; empty if nothing.

    Args:
        python: a path, or a name on PATH.
        environment: all of its variables.
    """
    try:
        done = subprocess.run(
            [python, "-c", _ASK],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            timeout=_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"does not answer within {_SECONDS:g} s"
    except OSError as error:
        return f"cannot be started: {error.strerror}"
    said, words = (text.decode("utf-8", "replace").strip() for text in (done.stdout, done.stderr))
    last = words.splitlines()[-1] if words else ""
    version = re.search(_HELLO + r" (\d+) (\d+)", said)
    if version is None:
        return f"is no Python: {last or said[:80] or 'it said nothing'}"
    if tuple(map(int, version.groups())) < _OLDEST:
        return f"is Python {'.'.join(version.groups())}"
    return f"cannot import NumPy: {last}" if done.returncode else ""
