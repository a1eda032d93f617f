"""The end of ``make server`` where a part of it is gone already."""

from __future__ import annotations

from pathlib import Path

import pytest
from prefect.settings import PREFECT_API_URL, PREFECT_CLIENT_MAX_RETRIES, temporary_settings

from flows.service import __main__ as service
from flows.service.server import free_port
from mlubench.errors import MlubenchError


def test_runs_of_a_server_that_is_gone_are_left_to_their_worker(
    capsys: pytest.CaptureFixture[str],
) -> None:
    nobody = f"http://127.0.0.1:{free_port()}/api"
    with temporary_settings({PREFECT_API_URL: nobody, PREFECT_CLIENT_MAX_RETRIES: 0}):
        service._cancel_runs()
    assert "the server is gone" in capsys.readouterr().out


def test_a_server_of_another_service_is_waited_for_and_not_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PREFECT_SERVER_API_PORT", str(free_port()))
    monkeypatch.setenv("PREFECT_API_URL", "")  # it is set to the port's, and put back at the end
    monkeypatch.setattr(service, "START_SECONDS", 0.1)
    with pytest.raises(MlubenchError, match="no Prefect server answers there") as error:
        service.serve(service.Stop(), tmp_path, own_server=False)
    assert "journalctl --unit mlubench-server" in error.value.fix
    assert not (tmp_path / "prefect").exists()
