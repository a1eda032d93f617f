"""What reads what, by Caffe's layers; layers that a network has not got."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest

from mlubench.engines.interface import NetworkFiles
from mlubench.errors import ConfigError
from mlubench.networks.caffe import import_caffe
from mlubench.networks.changed_weights import compare_weights
from mlubench.networks.layer_graph import check_keep_float, layer_graph
from tests.support.networks import write_small_network

SAMPLE = Path(__file__).resolve().parents[2] / "conf" / "sample"


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> NetworkFiles:
    prototxt, caffemodel = (
        SAMPLE / f"se_resnet50_digits.{kind}" for kind in ("prototxt", "caffemodel")
    )
    path = tmp_path_factory.mktemp("onnx") / "model.onnx"
    path.write_bytes(import_caffe(prototxt, caffemodel).SerializeToString())
    return NetworkFiles(path, prototxt, caffemodel)


def test_caffes_layers_read_caffes_layers(files: NetworkFiles) -> None:
    graph = layer_graph(files)
    assert (graph.kinds["conv1/7x7_s2"], graph.inputs["conv1/7x7_s2"]) == ("Convolution", ())
    assert graph.inputs["conv1/7x7_s2/bn/scale"] == ("conv1/7x7_s2/bn",)
    # Axpy, top = scale * x + y: two operations of ONNX, one layer.
    assert graph.inputs["conv2_1"] == (
        "conv2_1_prob",
        "conv2_1_1x1_increase/bn/scale",
        "conv2_1_1x1_proj/bn/scale",
    )
    assert not any(name.endswith(("/product", "/flat")) for name in graph.kinds)


def test_an_onnx_network_has_its_operations(tmp_path: Path) -> None:
    graph = layer_graph(NetworkFiles(write_small_network(tmp_path / "network.onnx")))
    assert list(graph.kinds) == ["conv1", "relu1", "conv2", "pool", "flat", "fc", "prob"]
    assert graph.inputs["fc"] == ("flat",)


def test_unknown_layer_is_refused_with_those_alike(files: NetworkFiles) -> None:
    check_keep_float(files, ("conv3_2_3x3", "classifier"))
    check_keep_float(files, ())
    with pytest.raises(ConfigError, match=r"no layer 'conv3_2_3x4'") as caught:
        check_keep_float(files, ("classifier", "conv3_2_3x4"))
    assert "conv3_2_3x3" in caught.value.expected


def test_changed_weights_by_layer(tmp_path: Path) -> None:
    before = write_small_network(tmp_path / "before.onnx")
    model = onnx.load(before)
    weights = {one.name: one for one in model.graph.initializer}
    array = onnx.numpy_helper.to_array(weights["w2"]) * 1.25
    weights["w2"].CopyFrom(onnx.numpy_helper.from_array(array, "w2"))
    onnx.save(model, tmp_path / "after.onnx")
    (changed,) = compare_weights(before, tmp_path / "after.onnx")
    assert (changed.layer, str(changed)) == ("w2", "w2 (weights moved by 25 %)")
    assert compare_weights(before, before) == []
