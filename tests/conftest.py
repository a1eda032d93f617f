"""What every test may use."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

from tests.support.browser import browser as browser
from tests.support.depots import bucket as bucket
from tests.support.depots import server as server

# No test is judged by how long an example takes: machines are noisy.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")

_ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Return the folder of real networks and images; skip where it is absent.

    ``MLUBENCH_TEST_DATA`` names it; by default it is ``shared/data`` beside the checkout.
    """
    folder = Path(os.environ.get("MLUBENCH_TEST_DATA", _ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"NO REAL DATA: {folder} is absent (set MLUBENCH_TEST_DATA)")
    return folder
