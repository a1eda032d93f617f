"""A Prefect server that a process of tests has for itself; its start takes ten seconds or more."""

from __future__ import annotations

from collections.abc import Iterator

import pytest


@pytest.fixture(scope="session")
def prefect_server() -> Iterator[str]:
    """Run a server that flows in this process report to; give the address of its API.

    Programs report to it too where their ``PREFECT_API_URL`` is this address. Without its
    heartbeats a flow ends a second sooner.
    """
    # They take seconds to import, and most tests need no Prefect.
    from prefect.settings import (
        PREFECT_API_URL,
        PREFECT_FLOWS_HEARTBEAT_FREQUENCY,
        PREFECT_LOGGING_TO_API_ENABLED,
        temporary_settings,
    )
    from prefect.testing.utilities import prefect_test_harness

    quick = {PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None, PREFECT_LOGGING_TO_API_ENABLED: False}
    with prefect_test_harness(server_startup_timeout=120), temporary_settings(quick):
        yield str(PREFECT_API_URL.value())
