"""What every test may use."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

from tests.support.browser import browser as browser
from tests.support.depots import bucket as bucket
from tests.support.depots import server as server
from tests.support.long import LONG
from tests.support.prefect import prefect_database as prefect_database
from tests.support.prefect import prefect_server as prefect_server
from tests.support.sample import compiled_sample as compiled_sample

pytest_plugins = ("tests.support.costs", "tests.support.skips")

# No test is judged by how long an example takes: machines are noisy.
settings.register_profile("short", deadline=None)
settings.register_profile("long", deadline=None, max_examples=200)
settings.load_profile("long" if LONG else "short")

#: The files that take longest, in that order. They are begun first: one of them at the end would
#: leave all cores but one idle.
LONGEST = (
    "tests/flows/service/test_deployments.py",
    "tests/flows/test_evaluate.py",
    "tests/test_readme.py",
    "tests/chaos/test_short.py",
    "tests/flows/test_nightly.py",
    "tests/flows/test_dask.py",
    "tests/flows/test_magicmind.py",
    "tests/flows/test_benchmark.py",
    "tests/flows/test_explain.py",
    "tests/flows/test_networks.py",
    "tests/flows/test_secrets.py",
    "tests/cli/test_compile_infer.py",
    "tests/cli/test_run.py",
    "tests/devices/test_pool.py",
    "tests/networks/caffe/test_importer.py",
    "tests/engines/magicmind/test_mutations.py",
)
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


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the tests of the longest files first; the others stay as they are."""
    place = {name: number for number, name in enumerate(LONGEST)}
    items.sort(key=lambda item: place.get(item.nodeid.split("::")[0], len(LONGEST)))
