"""An ONNX network as a table: by hand, against ONNX Runtime's shapes and the Caffe table."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from mlubench import cli
from mlubench.errors import ConfigError, NetworkError
from mlubench.networks import caffe
from mlubench.networks.inspect.caffe_layers import layer_rows
from mlubench.networks.inspect.onnx_layers import onnx_rows
from tests.support.networks import SIDE, write_small_network

F32 = TensorProto.FLOAT


def _model(
    path: Path,
    nodes: list[onnx.NodeProto],
    weights: dict[str, np.ndarray],
    dims: list[Any],
    out: list[Any],
) -> Path:
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("data", F32, dims)],
        [helper.make_tensor_value_info("out", F32, out)],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path
    )
    return path


def _floats(*shape: int) -> np.ndarray:
    return np.ones(shape, np.float32)


def _net(path: Path, batch: int | str = "N", size: int | str = 8) -> Path:
    """A network with each operation that counts, one folding of the batch, and statistics."""
    nodes = [
        helper.make_node("Conv", ["data", "w", "b"], ["c"], "conv", group=2, strides=[2, 2]),
        helper.make_node("BatchNormalization", ["c", *"gbmv"], ["n"], "norm"),
        helper.make_node("Clip", ["n", "low"], ["r"], "clip"),
        helper.make_node("ConvTranspose", ["r", "t"], ["u"], "up", strides=[2, 2]),
        helper.make_node("Constant", [], ["s"], value=numpy_helper.from_array(np.array([0, -1]))),
        helper.make_node("Reshape", ["u", "s"], ["f"]),
        helper.make_node("Gemm", ["f", "x"], ["y"], "gemm", transB=1),
        helper.make_node("MatMul", ["y", "z"], ["out"], "matmul"),
    ]
    weights = {
        "w": _floats(6, 2, 3, 3),
        "t": _floats(6, 5, 2, 2),
        "x": _floats(7, 5 * 6 * 6),
        "z": _floats(7, 3),
        "low": np.float32(0),
        **{name: _floats(6) for name in "gbmv"},
    }
    return _model(path, nodes, weights, [batch, 4, size, size], [batch, 3])


BY_HAND = [
    # name, type, shape, parameters, MACs. 8 -> 3 places; groups of two channels.
    ("conv", "Conv", "[N, 6, 3, 3]", 6 * 2 * 9 + 6, 6 * 9 * 2 * 9),
    # Its bias is the convolution's, counted there; mean and variance are not learnt.
    ("norm", "BatchNormalization", "[N, 6, 3, 3]", 6, 0),
    ("clip", "Clip", "[N, 6, 3, 3]", 0, 0),
    ("up", "ConvTranspose", "[N, 5, 6, 6]", 6 * 5 * 4, 6 * 9 * 5 * 4),
    ("f", "Reshape", "[N, 180]", 0, 0),
    ("gemm", "Gemm", "[N, 7]", 7 * 180, 7 * 180),
    ("matmul", "MatMul", "[N, 3]", 7 * 3, 7 * 3),
]


@pytest.mark.parametrize("batch", ["N", 1, 4])
def test_every_operation_is_counted_as_by_hand(tmp_path: Path, batch: int | str) -> None:
    rows = onnx_rows(_net(tmp_path / "net.onnx", batch))
    said = [(row.name, row.type, *row.shapes, row.parameters, row.macs) for row in rows]
    assert said == [
        (name, kind, shape.replace("N", str(batch)), parameters, macs)
        for name, kind, shape, parameters, macs in BY_HAND
    ]


def test_shapes_are_those_that_onnx_runtime_makes(tmp_path: Path) -> None:
    import onnxruntime

    file = write_small_network(tmp_path / "small.onnx")
    rows = onnx_rows(file)
    model = onnx.load(file)
    names = [name for node in model.graph.node for name in node.output]
    del model.graph.output[:]
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    session = onnxruntime.InferenceSession(model.SerializeToString())
    made = session.run(names, {"data": np.zeros((1, 3, SIDE, SIDE), np.float32)})
    expected = [f"[N, {', '.join(map(str, array.shape[1:]))}]" for array in made]
    assert [row.shapes for row in rows] == [(shape,) for shape in expected]
    sizes = [numpy_helper.to_array(tensor).size for tensor in model.graph.initializer]
    assert sum(row.parameters for row in rows) == sum(sizes)


@pytest.mark.parametrize("name", ["SE-ResNet-50", "MobileNet-v1", "DenseNet-121"])
def test_operations_are_those_of_the_caffe_table(
    shared_data: Path, tmp_path: Path, name: str
) -> None:
    prototxt = shared_data / "prototxt" / f"{name}.prototxt"
    caffe.write_random_caffemodel(prototxt, tmp_path / "net.caffemodel", seed=0)
    onnx.save(caffe.import_caffe(prototxt, tmp_path / "net.caffemodel"), tmp_path / "net.onnx")
    theirs = sum(row.macs or 0 for row in layer_rows(prototxt))
    assert sum(row.macs or 0 for row in onnx_rows(tmp_path / "net.onnx")) == theirs


def test_a_size_that_the_file_leaves_open_is_given(tmp_path: Path) -> None:
    file = _net(tmp_path / "net.onnx", size="S")
    with pytest.raises(ConfigError, match="leaves the size of its input 'data' open") as caught:
        onnx_rows(file)
    assert caught.value.where == "--input_size"
    assert [row.macs for row in onnx_rows(file, 8)] == [macs for *_, macs in BY_HAND]
    with pytest.raises(NetworkError, match="its shapes do not fit"):
        onnx_rows(file, 12)
    with pytest.raises(ConfigError, match="is fixed"):
        onnx_rows(_net(file), 8)


def test_what_the_file_does_not_tell_is_a_question_mark(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    nodes = [
        helper.make_node("NonZero", ["data"], ["i"], "where"),
        helper.make_node("Cast", ["i"], ["f"], "cast", to=F32),
        helper.make_node("MatMul", ["f", "w"], ["out"], "matmul"),
    ]
    dims, out = [1, 3, 8, 8], [4, 2]
    file = _model(tmp_path / "net.onnx", nodes, {"w": _floats(9, 2)}, dims, out)
    where, _, product = onnx_rows(file)
    assert where.shapes == ("[4, ?]",)
    assert (product.parameters, product.macs) == (18, None)
    assert cli.main(["inspect", "--onnx", str(file)]) == 0
    assert capsys.readouterr().out.splitlines()[-1].split() == ["3", "layers", "18", "?"]


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = _net(tmp_path / "net.onnx", size="S")
    assert cli.main(["inspect", "--onnx", str(file), "--input_size", "8"]) == 0
    said = capsys.readouterr().out
    assert "[N, 6, 3, 3]" in said
    for options, words in (
        (["--onnx", str(tmp_path / "absent")], "cannot be read"),
        (["--onnx", str(file), "--caffemodel", "x"], "error: --caffemodel: "),
        (["--onnx", str(file), "--model", "sample"], "--model and --onnx are both given"),
        (["--model", "sample", "--input_size", "8"], "error: --input_size: "),
        (["--onnx", str(file), "--input_size", "0"], "input_size"),
    ):
        assert cli.main(["inspect", *options]) == 2
        assert words in capsys.readouterr().err
