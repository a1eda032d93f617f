"""What the processes of one session of tests share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


def session_folder(factory: pytest.TempPathFactory) -> Path:
    """Return a folder that all processes of pytest-xdist share, for this session."""
    base = factory.getbasetemp()
    return base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
