"""The evaluate flow with networks that are fetched, and with ONNX files."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mlubench.errors import EngineError, NetworkError
from mlubench.evaluate.options import check_parameters
from mlubench.networks.choose import OnnxFile, choose_network
from mlubench.networks.fetch.download import Downloads
from mlubench.networks.importing import import_network
from mlubench.store import Store
from tests.flows.conftest import Evaluate
from tests.networks.fetch.test_files import TEXT, WEIGHTS, catalogue
from tests.support.file_server import FileServer, status, whole
from tests.support.long import long

FLOAT = {"precision": ("force_float32",), "dataset": "digits"}
FEW: dict[str, Any] = {**FLOAT, "image_num": 40}


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FileServer]:
    """A server, and a task that does not pause between its tries."""
    import flows.evaluate
    import tasks.networks

    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    at_once = tasks.networks.fetch_network.with_options(retry_delay_seconds=0)
    monkeypatch.setattr(flows.evaluate, "fetch_network", at_once)
    quick = functools.partial(Downloads, pause=lambda seconds: None)
    monkeypatch.setattr(tasks.networks, "Downloads", quick)
    with FileServer(whole(TEXT), whole(WEIGHTS)).running() as server:
        yield server


def _mine(tmp_path: Path, server: FileServer) -> dict[str, Any]:
    return {"model": "mine", "conf": (catalogue(tmp_path / "conf", server.root),), **FEW}


def test_a_network_is_fetched_where_it_is_not_there(
    run_without_page: Evaluate, tmp_path: Path, server: FileServer
) -> None:
    options = {**_mine(tmp_path, server), "out": tmp_path / "out"}
    outcome = run_without_page(**options)
    assert "fetch" in outcome.record.seconds
    assert outcome.record.model.name == "mine"
    assert (tmp_path / "out" / "models" / "mine" / "mine.caffemodel").read_bytes() == WEIGHTS
    assert outcome.rows[0].top1 >= 0.95  # of 40 images
    run_without_page(**options)
    assert [path for path, _ in server.asked] == ["/x/deploy.prototxt", "/x/mine.caffemodel"]


def test_a_servers_fault_is_tried_again_by_prefect(
    prefect_run: Evaluate, tmp_path: Path, server: FileServer
) -> None:
    server.answers[:0] = [status(500)] * 4
    prefect_run(**_mine(tmp_path, server), out=tmp_path / "out")
    assert len(server.asked) == 6


def test_a_file_that_is_not_there_is_not_tried_again(
    prefect_run: Evaluate, tmp_path: Path, server: FileServer
) -> None:
    server.answers[:] = [status(404)]
    with pytest.raises(NetworkError, match="404 Not Found"):
        prefect_run(**_mine(tmp_path, server), out=tmp_path / "out")
    assert len(server.asked) == 1


@pytest.fixture
def sample_onnx(tmp_path: Path) -> Path:
    """The embedded sample as an ONNX file."""
    network = choose_network(check_parameters())
    return import_network(network, Store(tmp_path / "store")).files.onnx


@pytest.mark.parametrize(
    "precisions",
    [("force_float32",), pytest.param(("qint8_mixed_float16",), marks=long)],
    ids=["float", "int8"],
)
def test_an_onnx_file_goes_the_same_way(
    run_without_page: Evaluate, sample_onnx: Path, precisions: tuple[str, ...]
) -> None:
    outcome = run_without_page(**_as_onnx(sample_onnx), precision=precisions)
    assert outcome.record.model.name == "network"
    assert outcome.record.model.prototxt_sha256 == outcome.record.model.weights_sha256
    named = run_without_page(precision=precisions)
    files = [one.folder / "predictions.parquet" for one in (outcome, named)]
    assert files[0].read_bytes() == files[1].read_bytes()


def test_an_onnx_file_goes_the_same_way_in_all_precisions(
    run_without_page: Evaluate, fitted: dict[str, Any], tmp_path: Path
) -> None:
    network = choose_network(check_parameters(**fitted))
    path = import_network(network, Store(tmp_path / "store")).files.onnx
    as_file = run_without_page(**_as_onnx(path), calibration_num=24)
    named = run_without_page(**fitted, calibration_num=24)
    assert len(as_file.rows) == 3
    files = [outcome.folder / "predictions.parquet" for outcome in (as_file, named)]
    assert files[0].read_bytes() == files[1].read_bytes()


def _as_onnx(path: Path) -> dict[str, Any]:
    return {
        "onnx": path,
        "input_size": 56,
        "means": (104, 117, 123),
        "resize": "none",
        "label_order": "digits",
        "dataset": "digits",
    }


def test_an_onnx_file_that_openvino_cannot_read_is_no_traceback(
    run: Evaluate, sample_onnx: Path
) -> None:
    """Valid to ONNX, but its batch is built into a Reshape: another batch does not fit."""
    import numpy as np
    import onnx
    from onnx import helper, numpy_helper

    model = onnx.load(sample_onnx)
    prob = model.graph.output[0].name
    shape = numpy_helper.from_array(np.array([1, 10], np.int64), "fixed_shape")
    model.graph.initializer.append(shape)
    model.graph.node.append(helper.make_node("Reshape", [prob, "fixed_shape"], ["scores"], "fix"))
    del model.graph.output[:]
    model.graph.output.append(
        helper.make_tensor_value_info("scores", onnx.TensorProto.FLOAT, [1, 10])
    )
    onnx.save(model, sample_onnx)
    options = {"onnx": sample_onnx, "input_size": 56, "label_order": "digits", **FLOAT}
    assert choose_network(check_parameters(**options)).files == OnnxFile(sample_onnx)
    with pytest.raises(EngineError, match="OpenVINO could not compile"):
        run(**options, resize="none")
