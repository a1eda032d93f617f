"""Networks measured by workers, on cores and on simulated cards."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mlubench.devices.engine_host import engine_host
from mlubench.engines.interface import load_engine
from mlubench.engines.measuring import MeasureSetup
from mlubench.errors import ConfigError, EngineError
from mlubench.magicmind_sample.gen_model import compile_offline
from mlubench.magicmind_sample.options import CompileParameters
from mlubench.speed.measure.session import Load, Measuring
from mlubench.worker import __main__ as worker
from tests.support.long import long
from tests.support.simulated_sdk import environment, misuses

CORES = len(os.sched_getaffinity(0))
SHAPE = ((2, 56, 56, 3),)
LANES = {"lanes": 1, "in_flight": 1, "buffer_depth": 2, "copy": True, "warmup": 0.0}
SERVED = {"do": "scenario", "scenario": "MultiStream", "samples": 2, "queries": 3}


def _compile(out: Path, engine: str, **options: Any) -> Path:
    asked = CompileParameters(engine=engine, batch_size=2, out=out, **options)
    return compile_offline(asked, lambda *_: None).path


@pytest.fixture(scope="module")
def cores_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _compile(tmp_path_factory.mktemp("cores"), "openvino")


@pytest.fixture(scope="module")
def card_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cards")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment(folder).items():
            patch.setenv(name, value)
        return _compile(folder, "magicmind")


@pytest.fixture(scope="module", params=["openvino", "magicmind"])
def workers(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    cores_model: Path,
    card_model: Path,
) -> Iterator[tuple[Measuring, Path]]:
    """Two devices of each engine, and a network for them."""
    if request.param == "openvino" and CORES < 2:
        pytest.skip("two devices are needed")
    variables = environment(tmp_path_factory.mktemp("workers"), cards=2)
    family = {"openvino": "cpu", "magicmind": "mlu"}[request.param]
    model = {"openvino": cores_model, "magicmind": card_model}[request.param]
    with pytest.MonkeyPatch.context() as patch:
        for name, value in variables.items():
            patch.setenv(name, value)
        with Measuring(engine_host(request.param), [f"{family}:0", f"{family}:1"]) as measuring:
            yield measuring, model
    assert misuses(variables) == []


@pytest.fixture
def rig(workers: tuple[Measuring, Path]) -> Iterator[tuple[Measuring, Path]]:
    """The devices, on which nothing is prepared yet."""
    yield workers
    workers[0].forget("a")


@pytest.mark.parametrize("host_async", [False, True])
@pytest.mark.parametrize(("threads", "depth"), [(1, 2), (2, 3)])
def test_every_thread_of_every_device_meets_its_iterations(
    rig: tuple[Measuring, Path], host_async: bool, threads: int, depth: int
) -> None:
    measuring, model = rig
    prepared = measuring.prepare("a", model, MeasureSetup(requests=threads * depth))
    assert len(set(prepared.processes)) == 2
    load = Load(
        shapes=(SHAPE,), threads=threads, infer_depth=depth, warmup=0.0, host_async=host_async
    )
    measuring.configure("a", load)
    found = measuring.measure("a", load, iterations=7, duration=0)
    for device in (0, 1):
        counts = np.bincount(found.thread[found.device == device], minlength=threads)
        assert len(counts) == threads
        least = 7 if not host_async else depth * -(-7 // depth)
        assert (counts == least).all()
    assert found.images == 2 * len(found.group)
    begin, copied, launched, done = found.moments[:, :4].T
    assert (begin <= copied).all()
    assert (copied <= launched).all()
    # A quick request may be done before the call that launched it is back.
    assert (done - copied >= -1e-4).all()
    assert (found.moments[:, 5] >= found.moments[:, 4]).all()
    own_clock = measuring.host.name == "openvino"
    assert np.isfinite(found.device_seconds).all() == own_clock
    assert found.threads >= 2


def test_shapes_take_turns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = _compile(tmp_path, "openvino", dynamic_shape=True)
    groups = (((1, 56, 56, 3),), ((3, 56, 56, 3),))
    with Measuring(engine_host("openvino"), ["cpu:0"]) as measuring:
        measuring.prepare("a", model)
        load = Load(shapes=groups, warmup=0.0)
        measuring.configure("a", load)
        found = measuring.measure("a", load, iterations=10, duration=0)
    assert np.bincount(found.group).tolist() == [5, 5]
    assert found.images == 5 + 15


def test_what_is_not_there_is_told(rig: tuple[Measuring, Path]) -> None:
    measuring, model = rig
    with pytest.raises(EngineError, match="not prepared"):
        measuring.configure("nothing", Load(shapes=(SHAPE,)))
    measuring.prepare("a", model)
    with pytest.raises(EngineError, match="not configured"):
        measuring.warm_up("a", 0.1)
    with pytest.raises(EngineError, match="not ready"):
        measuring.ask({"do": "scenario", "key": "a"}, None, 60.0)
    measuring.forget("a")
    with pytest.raises(EngineError, match="not prepared"):
        measuring.configure("a", Load(shapes=(SHAPE,)))


@pytest.mark.parametrize(
    "request_",
    [
        pytest.param({"do": "measure", "outputs": None, "iterations": 3}, id="run"),
        pytest.param(SERVED, id="queries", marks=long),
    ],
)
def test_a_measurement_that_goes_on_says_so(
    cores_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request_: dict[str, Any]
) -> None:
    """Else a run of many slow iterations would be taken for one that hangs."""
    # A worker's own seconds between two signs would have to be measured through.
    monkeypatch.setattr(worker, "_SIGN_SECONDS", 0.05)
    monkeypatch.setattr(worker, "_PROGRESS_SECONDS", 0.05)
    engine = load_engine("openvino")  # without a device, to which it would bind this process
    said: list[Mapping[str, Any]] = []
    carrier = worker._Worker(engine, said.append)

    def ask(request: dict[str, Any]) -> None:
        carrier.carry_out({"key": "a", **request})
        assert said[-1]["event"] == "done", said[-1]

    ask({"do": "prepare", "model": str(cores_model), "setup": {}})
    if request_ is SERVED:
        ask({"do": "serve", "shape": SHAPE, **LANES, "samples": 2})
    else:
        ask({**Load(shapes=(SHAPE,), warmup=0.0).request("a"), "do": "configure"})
    said.clear()
    ask({**request_, "out": str(tmp_path / "out.npz"), "duration": 0.3, "seconds": 0.3})
    assert [message["event"] for message in said].count("progress") >= 2


def test_input_files_of_another_size_are_refused(
    rig: tuple[Measuring, Path], tmp_path: Path
) -> None:
    measuring, model = rig
    measuring.prepare("a", model)
    file = tmp_path / "few"
    file.write_bytes(b"few")
    with pytest.raises(ConfigError, match="has 3 bytes"):
        measuring.configure("a", Load(shapes=(SHAPE,), inputs=(file,)))


@pytest.mark.skipif(CORES < 2, reason="one core: everything is pinned to it")
@pytest.mark.parametrize("pinned", [False, True])
def test_pinned_streams_have_cores_of_their_own(cores_model: Path, pinned: bool) -> None:
    """OpenVINO binds a thread while it computes, and not in between."""
    with Measuring(engine_host("openvino"), ["cpu:0"]) as measuring:
        prepared = measuring.prepare("a", cores_model, MeasureSetup(pinned=pinned))
        load = Load(shapes=(SHAPE,), infer_depth=CORES, warmup=0.0)
        measuring.configure("a", load)
        run = threading.Thread(
            target=lambda: measuring.measure("a", load, iterations=1, duration=0.5)
        )
        run.start()
        tasks = Path(f"/proc/{prepared.processes[0]}/task")
        seen: set[str] = set()
        while run.is_alive():
            for path in tasks.glob("*/status"):
                with suppress(OSError):  # the thread has ended
                    text = path.read_text()
                    seen.update(re.findall(r"Cpus_allowed_list:\s*(\d+)$", text, re.MULTILINE))
    assert len(seen) == (CORES if pinned else 0)
