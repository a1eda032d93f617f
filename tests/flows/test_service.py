"""The end of ``make server`` where a part of it is gone already."""

from __future__ import annotations

import pytest
from prefect.settings import PREFECT_API_URL, PREFECT_CLIENT_MAX_RETRIES, temporary_settings

from flows import service
from flows.server import free_port


def test_runs_of_a_server_that_is_gone_are_left_to_their_worker(
    capsys: pytest.CaptureFixture[str],
) -> None:
    nobody = f"http://127.0.0.1:{free_port()}/api"
    with temporary_settings({PREFECT_API_URL: nobody, PREFECT_CLIENT_MAX_RETRIES: 0}):
        service._cancel_runs()
    assert "the server is gone" in capsys.readouterr().out
