"""Whole networks: every blob against OpenCV's importer; names, determinism, misfits."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import onnx
import pytest

from mlubench.errors import NetworkError
from mlubench.networks.caffe import (
    import_caffe,
    with_all_outputs,
    write_caffemodel,
    write_random_caffemodel,
)
from mlubench.networks.caffe.graph import WITHOUT_NODE
from mlubench.networks.caffe.layers import LAYER_TYPES
from mlubench.networks.caffe.prototxt import Network, read_network
from mlubench.networks.caffe.weights import read_caffemodel
from tests.networks.caffe import oracle
from tests.networks.caffe.synthetic import assert_same, layer, network, run, write
from tests.networks.caffe.test_prototxt import OLD
from tests.support.long import long

if TYPE_CHECKING:
    import openvino

TOLERANCE = 1e-4
DEFINITIONS = [
    "CaffeNet",
    "DenseNet-121",
    "GoogLeNet",
    "GoogLeNet-BN",
    "MobileNet-v1",
    "SE-BN-Inception",
    "SE-ResNeXt-50",
    "SE-ResNet-50",
    "SE-ResNet-101",
    "SENet-154",
]
#: Those that take five seconds and more.
LARGE = ("CaffeNet", "SE-ResNeXt-50", "SE-ResNet-101", "SENet-154")


def computed_layers(network: Network, model: onnx.ModelProto) -> list[str]:
    """Return the layers that have a node."""
    absent = [
        name
        for entry in model.metadata_props
        if entry.key == WITHOUT_NODE
        for name in entry.value.split("\n")
    ]
    return [layer.name for layer in network.layers if layer.name not in absent]


def check_network(prototxt: Path, caffemodel: Path) -> None:
    """Check names and every blob in both runtimes."""
    import openvino

    network = read_network(prototxt, LAYER_TYPES)
    model = import_caffe(prototxt, caffemodel)
    layers = computed_layers(network, model)
    assert len(layers) >= len(network.layers) - 2  # no more than the Dropout layers are absent
    ir = openvino.Core().read_model(model.SerializeToString())
    check_names(model, ir, network, layers)
    data = oracle.image((1, *network.input_shape[1:]))
    theirs = oracle.run_opencv(prototxt.read_text(), caffemodel, data, layers)
    ort, ov = oracle.run_both(model, data)
    for name in layers:
        tensor = oracle.tensor_of(model, name)
        assert oracle.difference(ort[tensor], theirs[name]) < TOLERANCE, name
        assert oracle.difference(ov[tensor], theirs[name]) < TOLERANCE, name
        assert oracle.difference(ov[tensor], ort[tensor]) < TOLERANCE, name
    output = network.outputs[-1]
    optimised = oracle.compile_openvino(ir)(data)[output]
    assert oracle.difference(optimised, ort[output]) < TOLERANCE


def check_names(
    model: onnx.ModelProto, ir: openvino.Model, network: Network, layers: list[str]
) -> None:
    """Check that each layer is found by its name, in ONNX and in OpenVINO."""
    assert [value.name for value in model.graph.output] == list(network.outputs)
    for name in layers:
        assert oracle.tensor_of(model, name) in (name, *network.outputs)
    friendly = {operation.get_friendly_name() for operation in ir.get_ops()}
    assert set(layers) <= friendly
    assert ir.inputs[0].any_name == network.input
    assert str(ir.inputs[0].partial_shape) == f"[?,{','.join(map(str, network.input_shape[1:]))}]"


def test_squeezenet_with_its_own_weights(shared_data: Path) -> None:
    check_network(
        shared_data / "squeezenet_v1.1.prototxt", shared_data / "squeezenet_v1.1.caffemodel"
    )


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=long if name in LARGE else ()) for name in DEFINITIONS]
)
def test_definition_with_random_weights(shared_data: Path, tmp_path: Path, name: str) -> None:
    prototxt, caffemodel = shared_data / "prototxt" / f"{name}.prototxt", tmp_path / "weights"
    write_random_caffemodel(prototxt, caffemodel, seed=1)
    check_network(prototxt, caffemodel)
    caffemodel.unlink()


def test_the_old_format_computes_what_opencv_does(tmp_path: Path) -> None:
    prototxt, caffemodel = tmp_path / "old.prototxt", tmp_path / "old.caffemodel"
    lines = OLD.splitlines(keepends=True)
    # OpenCV does not leave out the layers of training. (It also takes 1e-4 for the default of
    # lrn_param.alpha, which is 1 in Caffe; the text states another.)
    prototxt.write_text("".join(line for line in lines if "TRAIN" not in line))
    write_random_caffemodel(prototxt, caffemodel, seed=1)
    check_network(prototxt, caffemodel)


def test_no_definition_is_left_out(shared_data: Path) -> None:
    assert {path.stem for path in (shared_data / "prototxt").iterdir()} == set(DEFINITIONS)


def test_images_of_a_batch_are_computed_by_themselves(shared_data: Path) -> None:
    model = import_caffe(
        shared_data / "squeezenet_v1.1.prototxt", shared_data / "squeezenet_v1.1.caffemodel"
    )
    data = oracle.image((3, 3, 227, 227))
    together = oracle.run_onnxruntime(model, data)["prob"]
    for index in range(3):
        alone = oracle.run_onnxruntime(model, data[index : index + 1])["prob"]
        assert_same(together[index : index + 1], alone)


def test_same_bytes_in_any_process(shared_data: Path) -> None:
    program = (
        "import sys, hashlib, pathlib; from mlubench.networks.caffe import import_caffe;"
        "model = import_caffe(*map(pathlib.Path, sys.argv[1:]));"
        "print(hashlib.sha256(model.SerializeToString(deterministic=True)).hexdigest())"
    )
    files = [shared_data / "squeezenet_v1.1.prototxt", shared_data / "squeezenet_v1.1.caffemodel"]
    digests = {
        subprocess.run(
            [sys.executable, "-c", program, *map(str, files)],
            check=True,
            capture_output=True,
            text=True,
            env={"PYTHONHASHSEED": seed},
        ).stdout.strip()
        for seed in ("1", "2")
    }
    model = import_caffe(*files)
    digests.add(hashlib.sha256(model.SerializeToString(deterministic=True)).hexdigest())
    assert len(digests) == 1


def test_in_place_layers_make_new_tensors(tmp_path: Path) -> None:
    result = run(
        tmp_path,
        layer("TanH", name="conv"),
        layer("Power", "power_param { scale: 2 }", "twice", ["conv"], ["conv"]),
        layer("ReLU", name="relu", bottoms=["conv"], tops=["conv"]),
        layer("Sigmoid", bottoms=["conv"]),
    )
    tanh = np.tanh(result.data)
    assert_same(result.blobs["conv"], tanh)
    assert_same(result.blobs["twice"], 2 * tanh)
    assert_same(result.blobs["relu"], np.maximum(2 * tanh, 0))
    assert [output.name for output in result.model.graph.output] == ["out"]


def test_an_output_changed_in_place_keeps_the_blobs_name(tmp_path: Path) -> None:
    result = run(
        tmp_path,
        layer("TanH", name="fc"),
        layer("ReLU", name="relu", bottoms=["fc"], tops=["fc"]),
    )
    assert [output.name for output in result.model.graph.output] == ["fc"]
    assert_same(result.blobs["fc"], np.maximum(np.tanh(result.data), 0))
    assert_same(result.blobs["fc/fc"], np.tanh(result.data))
    assert [node.name for node in result.model.graph.node] == ["fc", "relu"]


def test_helpers_make_way_for_layers_of_their_name(tmp_path: Path) -> None:
    """A layer may be called as another's bias or product would be."""
    scale = "scale_param { bias_term: true }"
    result = run(
        tmp_path,
        layer("Scale", scale, "a"),
        layer("ReLU", name="a/product", bottoms=["a"]),
        layer("Sigmoid", name="a/bias", bottoms=["a/product"]),
    )
    assert [node.name for node in result.model.graph.node] == [
        "a/product_",
        "a",
        "a/product",
        "a/bias",
    ]
    factors, bias = (blob[:, None, None] for blob in result.weights["a"])
    assert_same(result.blobs["a/product"], np.maximum(result.data * factors + bias, 0))


def test_all_outputs_come_after_the_networks_own(tmp_path: Path) -> None:
    prototxt, caffemodel = write(
        tmp_path, layer("TanH", name="a"), layer("ReLU", name="b", bottoms=["a"])
    )
    model = import_caffe(prototxt, caffemodel)
    assert [output.name for output in with_all_outputs(model).graph.output] == ["b", "a"]
    assert [output.name for output in model.graph.output] == ["b"]


CONV = layer("Convolution", "convolution_param { num_output: 5 kernel_size: 3 }", "conv")
WEIGHT, BIAS = np.zeros((5, 4, 3, 3)), np.zeros(5)


@pytest.mark.parametrize(
    ("layers", "words"),
    [
        ({"other": [WEIGHT, BIAS]}, ["no weights for it", "1 layers ('other', ...)"]),
        ({"conv": [], "other": [BIAS]}, ["no weights for it"]),
        ({"conv": [WEIGHT]}, ["no blob 1 (bias)", "only 1", "[5]"]),
        ({"conv": [WEIGHT, BIAS, BIAS]}, ["3 blobs", "2 blobs", "bias_term"]),
        (
            {"conv": [WEIGHT[:4], BIAS]},
            ["blob 0 (weight)", "[4, 4, 3, 3], 144 numbers", "[5, 4, 3, 3], 180 numbers"],
        ),
        ({"conv": [WEIGHT.reshape(5, 36), BIAS]}, ["blob 0 (weight)", "[5, 36]"]),
        ({"conv": [WEIGHT, np.zeros(6)]}, ["blob 1 (bias)", "[6], 6 numbers", "[5], 5 numbers"]),
    ],
)
def test_weights_that_do_not_fit(
    tmp_path: Path, layers: dict[str, list[np.ndarray]], words: list[str]
) -> None:
    prototxt, caffemodel = tmp_path / "net.prototxt", tmp_path / "net.caffemodel"
    prototxt.write_text(network(CONV))
    write_caffemodel(caffemodel, "small", {key: ("", blobs) for key, blobs in layers.items()})
    with pytest.raises(NetworkError) as caught:
        import_caffe(prototxt, caffemodel)
    message = str(caught.value)
    assert message.startswith(f"{caffemodel}: layer 'conv' (Convolution, {prototxt}:4)")
    assert all(word in message for word in words)


def test_the_old_formats_leading_ones_fit(tmp_path: Path) -> None:
    prototxt, caffemodel = write(tmp_path, CONV)
    plain = import_caffe(prototxt, caffemodel)
    weight, bias = read_caffemodel(caffemodel)["conv"]
    blobs = [weight, bias.reshape(1, 1, 1, 5)]
    write_caffemodel(caffemodel, "small", {"conv": ("Convolution", blobs)})
    assert import_caffe(prototxt, caffemodel) == plain


def test_files_given_in_each_others_place(tmp_path: Path) -> None:
    prototxt, caffemodel = write(tmp_path, CONV)
    with pytest.raises(NetworkError, match="weights given in place of the network") as caught:
        import_caffe(caffemodel, prototxt)
    assert str(caught.value).startswith(str(caffemodel))
    with pytest.raises(NetworkError, match="a prototxt given in place of the weights") as caught:
        import_caffe(prototxt, prototxt)
    assert str(caught.value).startswith(str(prototxt))
