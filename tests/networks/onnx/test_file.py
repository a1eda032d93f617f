"""ONNX files that are written without holding their weights twice."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from mlubench.errors import StoreError
from mlubench.networks.caffe import import_caffe
from mlubench.networks.onnx.file import write_onnx
from tests.support.networks import write_caffe_network, write_small_network


def _bytes(model: onnx.ModelProto) -> bytes:
    data: bytes = model.SerializeToString(deterministic=True)
    return data


def _everything() -> onnx.ModelProto:
    """A network with fields of every kind, on both sides of the graph and of its weights."""
    weights = numpy_helper.from_array(np.arange(300, dtype=np.float32).reshape(3, 100), "w")
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"], "product")],
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 3])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 100])],
        [weights, numpy_helper.from_array(np.zeros(0, np.int64), "empty")],
        doc_string="behind the weights",
        value_info=[helper.make_tensor_value_info("z", TensorProto.FLOAT, [1])],
    )
    model = helper.make_model(
        graph, producer_name="tests", opset_imports=[helper.make_opsetid("", 17)]
    )
    model.metadata_props.add(key="a", value="b")
    model.doc_string = "before the graph"
    return model


@pytest.mark.parametrize("which", ["everything", "caffe", "small", "no weights", "empty"])
def test_the_bytes_are_protobufs_own(tmp_path: Path, which: str) -> None:
    model = onnx.ModelProto()
    if which == "everything":
        model = _everything()
    elif which == "caffe":
        model = import_caffe(*write_caffe_network(tmp_path))
    elif which == "small":
        model = onnx.load(write_small_network(tmp_path / "small.onnx"))
    elif which == "no weights":
        model = _everything()
        del model.graph.initializer[:]
    write_onnx(tmp_path / "written.onnx", model)
    written = (tmp_path / "written.onnx").read_bytes()
    if which == "empty":  # a graph that is there and has nothing in it
        model.graph.SetInParent()
    assert written == _bytes(model)
    assert onnx.ModelProto.FromString(written) == model


def test_the_bytes_are_the_same_where_weights_are_apart(tmp_path: Path) -> None:
    files = write_caffe_network(tmp_path)
    with (tmp_path / "apart").open("w+b") as apart:
        model = import_caffe(*files, apart)
        assert not any(tensor.raw_data for tensor in model.graph.initializer)
        apart.seek(0)
        write_onnx(tmp_path / "written.onnx", model, apart)
        assert not apart.read()
    assert (tmp_path / "written.onnx").read_bytes() == _bytes(import_caffe(*files))


def test_a_place_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match=r"Not a directory|File exists"):
        write_onnx(tmp_path / "file" / "x.onnx", _everything())
