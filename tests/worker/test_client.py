"""The two ends of the pipe: what is said arrives, and no worker outlives its flow."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from mlubench.errors import ConfigError, EngineError, MlubenchError, StoreError
from mlubench.worker import protocol
from mlubench.worker.client import Worker
from tests.support.processes import alive, becomes

ENGINE = "tests.support.fault_engine"


@pytest.mark.parametrize(
    "error",
    [
        ConfigError("wrong", where="--x", expected="right", fix="mend it"),
        EngineError("broken", where="layer é"),
    ],
)
def test_an_error_arrives_whole(error: MlubenchError) -> None:
    arrived = protocol.raised(protocol.from_line(protocol.to_line(protocol.failure(error))))
    assert type(arrived) is type(error)
    assert str(arrived) == str(error)


def test_an_unexpected_error_is_the_engines() -> None:
    arrived = protocol.raised(protocol.failure(ZeroDivisionError("division by zero")))
    assert isinstance(arrived, EngineError)
    assert "ZeroDivisionError: division by zero" in str(arrived)


def test_a_request_that_makes_no_sense_is_answered() -> None:
    worker = Worker.start(ENGINE, "card:0")
    try:
        with pytest.raises(EngineError, match="KeyError"):
            worker.call({"do": "dance"}, silence=60)
        with pytest.raises(EngineError, match="before a network was loaded"):
            worker.call({"do": "run"}, silence=60)
    finally:
        worker.close()


def test_a_result_that_cannot_be_written_is_the_disks_fault_not_the_devices(
    tmp_path: Path,
) -> None:
    (tmp_path / "pixels").write_bytes(bytes(12))
    (tmp_path / "file").write_bytes(b"")
    request = {
        "do": "run",
        "pixels": str(tmp_path / "pixels"),
        "shape": [1, 2, 2, 3],
        "first": 0,
        "images": 1,
        "out": str(tmp_path / "file" / "result.npz"),
    }
    worker = Worker.start(ENGINE, "card:0")
    try:
        worker.call({"do": "load", "model": "."}, silence=60)
        with pytest.raises(StoreError, match=r"File exists|Not a directory") as caught:
            worker.call(request, silence=60)
    finally:
        worker.close()
    assert str(tmp_path / "file") in caught.value.where


def test_an_interpreter_that_is_not_there() -> None:
    with pytest.raises(ConfigError, match="cannot be started") as caught:
        Worker.start(ENGINE, "card:0", python="/nonexistent/python")
    assert "/nonexistent/python" in caught.value.where


def test_a_closed_worker_is_gone() -> None:
    worker = Worker.start(ENGINE, "card:0")
    worker.close()
    assert not alive(worker.process_id)
    with pytest.raises(ValueError, match="closed file"):
        worker.call({"do": "load", "folder": "."}, silence=60)


_START_AND_SLEEP = f"""
import time
from mlubench.worker.client import Worker
worker = Worker.start({ENGINE!r}, "card:0")
print(worker.process_id, flush=True)
time.sleep(600)
"""


def test_a_worker_ends_with_a_flow_that_is_killed() -> None:
    root = Path(__file__).resolve().parent.parent.parent
    with subprocess.Popen(
        [sys.executable, "-c", _START_AND_SLEEP],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(root)},
    ) as flow:
        assert flow.stdout is not None
        worker = int(flow.stdout.readline())
        assert alive(worker)
        flow.kill()
    assert becomes(lambda: not alive(worker))
