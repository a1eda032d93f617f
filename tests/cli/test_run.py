"""``mlubench run``: every option of mm_run, on cores and on simulated cards."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mlubench.runs.parquet import read_parquet
from mlubench.runs.schemas import LATENCIES, THROUGHPUT
from mlubench.speed.mm_run.tool.options import MmRunOptions
from tests.cli.conftest import Run
from tests.speed.mm_run.tool.trace_format import check_trace


def _simulated(run: Run) -> str:
    return " (simulated)" if run.engine == "magicmind" else ""


def test_the_output_is_mm_runs(run: Run) -> None:
    report = run.report("--iterations", 250)
    performance = report.performance
    assert report.generation == "new"
    assert performance.iterations == 250
    assert performance.total_batch == 500
    assert performance.qps == pytest.approx(500 / performance.wall_seconds, rel=1e-4)
    assert performance.iterations_per_second == pytest.approx(performance.qps / 2, rel=1e-4)
    (group,) = performance.groups
    assert group.shapes == (("data", (2, 56, 56, 3)),)
    for stage in (group.h2d, group.compute, group.d2h, group.total):
        assert stage.host is not None
        assert stage.host.least <= stage.host.median <= stage.host.greatest
        assert stage.dev is None
    assert group.compute.interface is not None
    assert performance.averages is not None
    assert (performance.averages.runs, len(performance.averages.rows)) == (100, 2)
    names = [parameter.name for parameter in report.parameters]
    assert names == [n for n in MmRunOptions.model_fields if n != "datatransfer_opt"]
    assert report.model is not None
    assert report.model.inputs[0].dtype == "UINT8"
    assert report.model.outputs[0].dims == (2, 10)
    (device,) = report.devices
    assert device.fact("Executed Precision") == "float32" + _simulated(run)
    assert device.fact("Device Name") == {"openvino": "cpu:0", "magicmind": "mlu:0"}[
        run.engine
    ] + _simulated(run)


def test_it_lasts_as_long_as_asked_and_has_as_many_iterations(run: Run) -> None:
    performance = run.report("--duration", 100, "--iterations", 3).performance
    assert performance.wall_seconds >= 0.1
    assert performance.iterations >= 3


@pytest.mark.parametrize(
    ("model", "options", "shapes"),
    [
        ("dynamic", ["--batch_size", 3], [(3, 56, 56, 3)]),
        ("dynamic", ["--batch", 3], [(3, 56, 56, 3)]),
        ("dynamic", ["--input_dims", "4,56,56,3"], [(4, 56, 56, 3)]),
        ("dynamic", ["--input_dims", "4,56,56,3", "--batch_size", 1], [(1, 56, 56, 3)]),
        ("static", ["--batch_size", "_"], [(2, 56, 56, 3)]),
        ("ranged", ["--batch_size", 4], [(4, 56, 56, 3)]),
    ],
)
def test_shapes(run: Run, model: str, options: list[object], shapes: list[tuple[int, ...]]) -> None:
    groups = run.report(*options, model=model).performance.groups
    assert [dims for group in groups for _, dims in group.shapes] == shapes


def test_shapes_of_a_run_config_take_turns(run: Run, tmp_path: Path) -> None:
    config = tmp_path / "shapes.json"
    config.write_text('{"inputType": 1, "shapes": [{"data": [1,56,56,3]}, {"data": [3,56,56,3]}]}')
    out = tmp_path / "out"
    report = run.report("--run_config", config, "--out", out, model="dynamic")
    first, second = report.performance.groups
    assert (first.shapes[0][1][0], second.shapes[0][1][0]) == (1, 3)
    assert report.performance.total_batch == 2 * report.performance.iterations
    for group in (0, 1):
        assert f"note: input shape group {group}, p99: not enough samples (3 of 662)" in run.err
    sizes = read_parquet(out / "latencies.parquet", LATENCIES).column("batch_size").to_pylist()
    assert sorted(set(sizes)) == [1, 3]


def test_shapes_whose_inputs_are_not_copied_are_told_apart(run: Run, tmp_path: Path) -> None:
    config = tmp_path / "shapes.json"
    config.write_text('{"inputType": 0, "shapes": [[[1,56,56,3]], [[3,56,56,3]], [[2,56,56,3]]]}')
    options = ("--run_config", config, "--disable_data_copy", 1)
    said = run.refused(*options, model="dynamic")
    assert "3 shapes do not fit 2 requests in flight" in said
    assert "give --infer_depth 3" in said
    performance = run.report(*options, "--infer_depth", 3, model="dynamic").performance
    assert [group.shapes[0][1][0] for group in performance.groups] == [1, 3, 2]
    assert performance.total_batch != performance.iterations


Reference = Callable[..., np.ndarray]


@pytest.fixture(scope="module")
def reference(small_network: dict[str, Any]) -> Reference:
    """What the network, or a layer of it, answers to images by ONNX Runtime."""
    import onnxruntime

    from mlubench.networks.caffe import import_caffe

    def reference(images: np.ndarray, tensor: str = "prob") -> np.ndarray:
        model = import_caffe(small_network["prototxt"], small_network["caffemodel"])
        if tensor != "prob":
            model.graph.output.add().name = tensor
        session = onnxruntime.InferenceSession(
            model.SerializeToString(), providers=["CPUExecutionProvider"]
        )
        pixels = images.astype(np.float32) - np.array([104, 117, 123], np.float32)
        (name,) = (one.name for one in session.get_inputs())
        (found,) = session.run([tensor], {name: pixels.transpose(0, 3, 1, 2)})
        return np.asarray(found)

    return reference


def test_files_in_and_out(run: Run, tmp_path: Path, reference: Reference) -> None:
    images = np.random.default_rng(3).integers(0, 256, (2, 56, 56, 3), np.uint8)
    (tmp_path / "in.bin").write_bytes(images.tobytes())
    out = tmp_path / "made" / "out"
    run("--input_files", tmp_path / "in.bin", "--output_path", out)
    assert [path.name for path in out.iterdir()] == ["output[0]"]
    scores = np.fromfile(out / "output[0]", np.float32).reshape(2, 10)
    np.testing.assert_allclose(scores, reference(images), rtol=1e-3, atol=1e-4)
    assert f"output_path: {out}" in run.err


def test_without_copies_there_are_no_stages_of_copying(run: Run) -> None:
    (group,) = run.report("--disable_data_copy", 1).performance.groups
    assert group.h2d.host is None
    assert group.d2h.host is None
    assert group.total.host is None
    assert group.compute.host is not None


@pytest.mark.parametrize(
    "options",
    [
        ("--host_async", 1),
        ("--host_async", 1, "--infer_depth", 3),
        ("--threads", 2),
        ("--threads", 2, "--host_async", "true"),
        ("--infer_depth", 4, "--buffer_depth", 3),
        ("--datatransfer_opt", 1),
        ("--datatransfer_opt", 0),
    ],
    ids=str,
)
def test_ways_to_load_a_device(run: Run, tmp_path: Path, options: Any) -> None:
    run("--out", tmp_path, "--trace_path", tmp_path, *options)
    rows = read_parquet(tmp_path / "latencies.parquet", LATENCIES).to_pandas()
    given = dict(zip(options[::2], options[1::2], strict=True))
    threads = given.get("--threads", 1)
    assert sorted(rows.thread.unique()) == list(range(threads))
    assert (rows.groupby("thread").size() >= 6).all()
    depth = 1 if given.get("--datatransfer_opt") == 0 else given.get("--infer_depth", 2)
    assert _most_in_flight(tmp_path / "trace.json") <= threads * depth


def _most_in_flight(trace: Path) -> int:
    events = [one for one in json.loads(trace.read_text())["traceEvents"] if one["ph"] == "X"]
    begins = {one["args"]["request"]: one["ts"] for one in events if one["name"] == "copy in"}
    ends = {
        one["args"]["request"]: one["ts"] + one["dur"]
        for one in events
        if one["name"] == "copy out"
    }
    changes = sorted([(end, -1) for end in ends.values()] + [(at, 1) for at in begins.values()])
    return int(np.cumsum([change for _, change in changes]).max())


def test_the_trace_has_its_form_and_nothing_overlaps(run: Run, tmp_path: Path) -> None:
    report = run.report("--trace_path", tmp_path, "--threads", 2, "--infer_depth", 3)
    trace = json.loads((tmp_path / "trace.json").read_text())
    check_trace(trace)
    events = [one for one in trace["traceEvents"] if one["ph"] == "X"]
    assert len(events) == 3 * report.performance.iterations
    assert trace["otherData"]["executed_precision"] == "float32" + _simulated(run)
    tracks: dict[tuple[int, int], list[tuple[float, float]]] = {}
    for one in events:
        begin = one["ts"]
        tracks.setdefault((one["pid"], one["tid"]), []).append((begin, begin + one["dur"]))
    assert len(tracks) <= 2 * 3
    for spans in tracks.values():
        ordered = sorted(spans)
        assert all(end <= begin + 1 for (_, end), (begin, _) in pairwise(ordered))  # microseconds


def test_several_devices_at_once(run: Run, tmp_path: Path) -> None:
    family = {"openvino": "cpu", "magicmind": "mlu"}[run.engine]
    report = run.report("--devices", 0, f"{family}:1", "--out", tmp_path)
    assert [device.number for device in report.devices] == [0, 1]
    rows = read_parquet(tmp_path / "latencies.parquet", LATENCIES).to_pandas()
    names = {f"{family}:{card}{_simulated(run)}" for card in (0, 1)}
    assert set(rows.device) == names
    assert (rows.groupby("device").size() >= 6).all()
    (row,) = read_parquet(tmp_path / "throughput.parquet", THROUGHPUT).to_pylist()
    assert set(row["devices"]) == names
    assert row["requests"] == report.performance.iterations
    assert row["throughput"] == pytest.approx(report.performance.qps, rel=1e-4)
    assert (row["precision"], row["batch_size"], row["rounds"]) == ("force_float32", 2, 1)
    assert row["engine"] == run.engine + _simulated(run)


@pytest.mark.parametrize("clock", ["none", "host", "dev", "both"])
def test_clocks(openvino: Run, clock: str) -> None:
    performance = openvino.report("--trace_time", clock).performance
    assert (performance.compute_seconds_host is not None) == (clock in ("host", "both"))
    assert (performance.compute_seconds_dev is not None) == (clock in ("dev", "both"))
    if clock == "none":
        assert performance.groups == ()
        assert performance.qps > 0
        return
    (group,) = performance.groups
    assert (group.compute.host is not None) == (clock in ("host", "both"))
    assert (group.compute.dev is not None) == (clock in ("dev", "both"))


def test_averages_are_of_as_many_runs_as_asked(run: Run) -> None:
    averages = run.report("--iterations", 60, "--avg_runs", "10,3").performance.averages
    assert averages is not None
    assert (averages.runs, len(averages.rows)) == (10, 3)


def test_a_plugin(run: Run, tmp_path: Path) -> None:
    (tmp_path / "mine.so").write_bytes(b"")
    if run.engine == "openvino":
        assert "--plugin" in run.refused("--plugin", tmp_path / "mine.so")
        return
    run("--plugin", tmp_path / "mine.so")
    run("--plugin", tmp_path / "absent.so", status=2)
    assert "absent.so" in run.err


def test_every_layers_output_by_its_name(run: Run, tmp_path: Path, reference: Reference) -> None:
    images = np.random.default_rng(3).integers(0, 256, (2, 56, 56, 3), np.uint8)
    (tmp_path / "in.bin").write_bytes(images.tobytes())
    folder = tmp_path / "layers"
    run("--debug_path", folder, "--input_files", tmp_path / "in.bin")
    layer = "conv2_1_1x1_reduce"
    expected = reference(images, "pool1/3x3_s2")
    if run.engine == "openvino":
        found = np.load(folder / "pool1_3x3_s2.npy")
        suffix = ".npy"
    else:
        data = (folder / "pool1_3x3_s2.simulated.bin").read_bytes()
        found = np.frombuffer(data, np.float32).reshape(expected.shape)
        suffix = ".simulated.bin"
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-3)
    assert (folder / f"{layer}{suffix}").is_file()
    assert (folder / f"prob{suffix}").is_file()  # the network's output is a layer's, too


def test_layers_times_by_their_names(
    openvino: Run, blocks: dict[str, Path], tmp_path: Path
) -> None:
    folder = tmp_path / "perf"
    network = ("--magicmind_model", blocks["force_float32"])
    said = openvino("--perf_path", folder, "--table", *network)
    assert {path.name for path in folder.iterdir()} == {
        *("layers.txt", "layers.csv", "layers.json", "layers.svg")
    }
    assert (folder / "layers.txt").read_text().splitlines()[0].split()[:2] == ["layer", "ms"]
    assert "classifier" in said
    assert max(map(len, said.splitlines())) <= 100
    document = json.loads((folder / "layers.json").read_text())
    names = [name for one in document["layers"] for name in one["layers"]]
    assert {"classifier", "prob", "pool1/3x3_s2"} <= set(names)
    assert len(names) == len(set(names))
    assert sum(one["milliseconds"] for one in document["layers"]) == pytest.approx(
        document["milliseconds"]
    )
    rows = (folder / "layers.csv").read_text().splitlines()
    assert len(rows) == 1 + len(document["layers"])


def test_json(run: Run) -> None:
    document = json.loads(run("--json", "--iterations", 100))
    assert (document["schema_version"], document["measured_by"]) == (1, "mlubench")
    assert document["iterations"] == 100
    assert document["throughput"] == pytest.approx(200 / document["wall_seconds"])
    assert document["model"]["executed_precision"] == "float32" + _simulated(run)
    assert document["warmup"]["seconds"] > 0
    stages = {(one["stage"], one["clock"]): one for one in document["stages"]}
    assert set(stages) == {
        *(("h2d", "host"), ("compute", "host"), ("compute", "interface")),
        *(("d2h", "host"), ("total", "host")),
    }
    total = {one["name"]: one for one in stages["total", "host"]["percentiles"]}
    assert list(total) == ["p50", "p90", "p95", "p99", "p99.9"]
    p50, p99 = total["p50"], total["p99"]
    assert p50["low"] <= p50["value"] <= p50["high"]
    assert p50["enough"]
    assert (p99["enough"], p99["shortage"]) == (False, "not enough samples (100 of 662)")
    assert "p99: not enough samples (100 of 662)" in document["notes"]
    assert "note: p99: not enough samples (100 of 662)" in run.err


def test_a_table_of_100_columns(run: Run) -> None:
    clocks = ("--trace_time", "both") if run.engine == "openvino" else ()
    said = run("--table", *clocks)
    assert max(map(len, said.splitlines())) <= 100
    assert "images/s" in said
    for word in ("copy in", "compute", "copy out", "total", "p99.9", "6 of 6636"):
        assert word in said
