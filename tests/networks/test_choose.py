"""Which network is evaluated: of the catalogue, of Caffe's files, of an ONNX file."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import onnx
import pytest
from onnx import TensorProto, helper

from mlubench.engines.interface import NetworkFiles
from mlubench.errors import ConfigError, NetworkError
from mlubench.evaluate.options import check_parameters
from mlubench.images.datasets.labels import label_order
from mlubench.networks import caffe
from mlubench.networks.caffe import import_caffe
from mlubench.networks.choose import CaffeFiles, Network, OnnxFile, choose_network
from mlubench.networks.importing import ImportedNetwork, check_label_order, import_network
from mlubench.networks.onnx.file import read_onnx
from mlubench.store import Store
from tests.networks.fetch.test_files import catalogue
from tests.support.networks import SIDE, write_small_network


def _network(**options: Any) -> Network:
    return choose_network(check_parameters(**options))


def test_the_sample_has_all_it_needs() -> None:
    network = _network()
    assert network.to_fetch is None
    assert isinstance(network.files, CaffeFiles)
    assert network.files.prototxt.is_file()
    assert network.files.caffemodel.is_file()


def test_a_network_of_the_catalogue_brings_its_published_figures(tmp_path: Path) -> None:
    network = _network(model="senet50", out=tmp_path)
    assert network.to_fetch is not None
    assert [file.name for file in network.to_fetch.files] == [
        "SE-ResNet-50.prototxt",
        "SE-ResNet-50.caffemodel",
    ]
    folder = tmp_path / "models" / "senet50"
    assert network.to_fetch.folder == folder
    assert network.files == CaffeFiles(
        folder / "SE-ResNet-50.prototxt", folder / "SE-ResNet-50.caffemodel"
    )
    figures = {(one.source, one.precision): (one.top1, one.top5) for one in network.published}
    magicmind = figures["MagicMind 1.2.0 on MLU370-S4", "qint8_mixed_float16"]
    assert magicmind == (0.76936, 0.93422)
    assert network.order.name == "2015"


def test_weights_of_ones_own_are_not_fetched(tmp_path: Path) -> None:
    (tmp_path / "w").touch()
    network = _network(model="squeezenet_v1_1", caffemodel=tmp_path / "w", out=tmp_path)
    assert network.to_fetch is not None
    assert [file.name for file in network.to_fetch.files] == ["deploy.prototxt"]
    prototxt = tmp_path / "models" / "squeezenet_v1_1" / "edited-deploy.prototxt"
    assert network.files == CaffeFiles(prototxt, tmp_path / "w")


def test_further_catalogues_are_read(tmp_path: Path) -> None:
    conf = catalogue(tmp_path / "conf")
    assert _network(model="mine", conf=(conf,), out=tmp_path).published[0].top1 == 0.99


ONNX = {"input_size": SIDE, "label_order": "digits"}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"onnx": "a", **ONNX, "prototxt": "b"}, "--onnx and Caffe's files are both given"),
        ({"onnx": "a", **ONNX, "caffemodel": "b"}, "--onnx and Caffe's files are both given"),
        ({"onnx": "a", **ONNX, "model": "sample"}, "--model and --onnx are both given"),
        ({"onnx": "a", "input_size": 16}, "--onnx is given without --label_order"),
        ({"onnx": "a", "label_order": "2012"}, "--onnx is given without --input_size"),
    ],
)
def test_onnx_stands_for_caffes_files(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        check_parameters(**options)


def test_onnx_without_images_does_not_mean_the_samples() -> None:
    from mlubench.evaluate.images import choose_images

    asked = check_parameters(onnx="a.onnx", **ONNX)
    with pytest.raises(ConfigError, match="no images are named"):
        choose_images(asked, label_order("digits"), Path("unused"))


def test_an_onnx_file_is_kept_as_it_is(tmp_path: Path) -> None:
    file = write_small_network(tmp_path / "small.onnx")
    network = _network(onnx=file, **ONNX)
    assert (network.name, network.files) == ("small", OnnxFile(file))
    imported = import_network(network, Store(tmp_path / "store"))
    assert imported.files.onnx.read_bytes() == file.read_bytes()
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    assert imported.prototxt_sha256 == imported.caffemodel_sha256 == digest


def _change_input(model: onnx.ModelProto, kind: int, dims: list[Any]) -> None:
    model.graph.input[0].CopyFrom(helper.make_tensor_value_info("data", kind, dims))


def _second_input(model: onnx.ModelProto) -> None:
    model.graph.input.append(helper.make_tensor_value_info("size", TensorProto.FLOAT, [1]))


def _second_output(model: onnx.ModelProto) -> None:
    model.graph.output.append(helper.make_tensor_value_info("fc", TensorProto.FLOAT, ["N", 10]))


def _feature_map(model: onnx.ModelProto) -> None:
    del model.graph.output[:]
    model.graph.output.append(
        helper.make_tensor_value_info("relu1", TensorProto.FLOAT, ["N", 8, 16, 16])
    )


def _external_in_a_node(model: onnx.ModelProto) -> None:
    node = model.graph.node.add(op_type="Constant", output=["elsewhere"])
    node.attribute.add(name="value", type=onnx.AttributeProto.TENSOR)
    tensor = node.attribute[0].t
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="weights.bin")


def _external(model: onnx.ModelProto) -> None:
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="weights.bin")


def _unknown_operation(model: onnx.ModelProto) -> None:
    model.graph.node[0].op_type = "Convolve"


F32, U8 = TensorProto.FLOAT, TensorProto.UINT8


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda model: _change_input(model, U8, ["N", 3, SIDE, SIDE]), r"uint8 \[\?, 3, 16, 16\]"),
        (lambda model: _change_input(model, F32, ["N", SIDE, SIDE, 3]), r"\[\?, 16, 16, 3\]"),
        (lambda model: _change_input(model, F32, ["N", 3, SIDE]), r"\[\?, 3, 16\]"),
        (lambda model: _change_input(model, F32, ["N", 3, 224, 224]), "--input_size"),
        (_second_input, r"2 inputs \(data, size\)"),
        (_second_output, r"2 outputs \(prob, fc\)"),
        (_feature_map, "output 'relu1' is float"),
        (_external, "its weights lie in other files"),
        (_external_in_a_node, "its weights lie in other files"),
        (_unknown_operation, "is not valid ONNX: No Op registered for Convolve"),
    ],
)
def test_an_onnx_file_that_cannot_be_used_is_told(
    tmp_path: Path, change: Callable[[onnx.ModelProto], None], words: str
) -> None:
    file = write_small_network(tmp_path / "small.onnx")
    model = onnx.load(file)
    change(model)
    file.write_bytes(model.SerializeToString())
    _refused(file, tmp_path, words)


def _refused(file: Path, tmp_path: Path, words: str) -> None:
    with pytest.raises(NetworkError, match=words) as caught:
        import_network(_network(onnx=file, **ONNX), Store(tmp_path / "store"))
    assert caught.value.where == str(file)


@pytest.mark.parametrize("dims", [[1, 3, SIDE, SIDE], [4, 3, SIDE, SIDE], ["N", 3, "H", "W"]])
def test_a_fixed_batch_and_open_sizes_will_do(tmp_path: Path, dims: list[Any]) -> None:
    file = write_small_network(tmp_path / "small.onnx")
    model = onnx.load(file)
    _change_input(model, F32, dims)
    onnx.save(model, file)
    import_network(_network(onnx=file, **ONNX), Store(tmp_path / "store"))


def test_weights_that_are_inputs_too_are_no_inputs(tmp_path: Path) -> None:
    """Exporters of old list every weight among the inputs."""
    file = write_small_network(tmp_path / "small.onnx")
    model = onnx.load(file)
    for tensor in model.graph.initializer:
        value = helper.make_tensor_value_info(tensor.name, F32, list(tensor.dims))
        model.graph.input.append(value)
    onnx.save(model, file)
    import_network(_network(onnx=file, **ONNX), Store(tmp_path / "store"))


@pytest.mark.parametrize(
    "data", [b"", b"<html>", b"name: 'net' layer { }", bytes(range(256)) * 9], ids=str
)
def test_another_kind_of_file_is_told(tmp_path: Path, data: bytes) -> None:
    file = tmp_path / "small.onnx"
    file.write_bytes(data)
    _refused(file, tmp_path, "is not valid ONNX")


@pytest.mark.parametrize("dims", [["N", 10], [1, 10], ["N", "C"]], ids=str)
def test_the_label_order_must_have_the_networks_classes(tmp_path: Path, dims: list[Any]) -> None:
    file = write_small_network(tmp_path / "small.onnx")
    model = onnx.load(file)
    del model.graph.output[:]
    model.graph.output.append(helper.make_tensor_value_info("prob", F32, dims))
    onnx.save(model, file)
    imported = ImportedNetwork(NetworkFiles(file), "", "")
    check_label_order(imported, label_order("digits"))
    with pytest.raises(ConfigError, match="gives 10 scores for an image") as caught:
        check_label_order(imported, label_order("2012"))
    assert caught.value.where == "--label_order"
    assert caught.value.expected.startswith("1000")


@pytest.mark.parametrize("name", [b"Gemm", b"Relu"])
def test_names_in_an_onnx_file_that_are_no_text(tmp_path: Path, name: bytes) -> None:
    file = write_small_network(tmp_path / "small.onnx")
    file.write_bytes(file.read_bytes().replace(name, b"\xff" * len(name)))
    _refused(file, tmp_path, "is not valid ONNX")


def test_a_pipe_is_no_onnx_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(NetworkError, match="a pipe or a device"):
        read_onnx(tmp_path / "pipe")


def test_weights_that_change_before_they_are_imported_are_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else what was made of them would bear the digest of those before, here and on a store."""
    sample = _network().files
    assert isinstance(sample, CaffeFiles)
    weights = tmp_path / "w.caffemodel"
    weights.write_bytes(sample.caffemodel.read_bytes())
    network = _network(prototxt=sample.prototxt, caffemodel=weights, **ONNX)

    def trained_on(prototxt: Path, caffemodel: Path, apart: BinaryIO) -> onnx.ModelProto:
        data = bytearray(weights.read_bytes())
        data[len(data) // 2] ^= 1
        weights.write_bytes(data)
        return import_caffe(prototxt, caffemodel, apart)

    monkeypatch.setattr(caffe, "import_caffe", trained_on)
    with pytest.raises(NetworkError, match="was changed while"):
        import_network(network, Store(tmp_path / "store"))
    assert not list((tmp_path / "store").rglob("*.onnx"))


def test_a_cut_onnx_file_is_told(tmp_path: Path) -> None:
    file = write_small_network(tmp_path / "small.onnx")
    data = file.read_bytes()
    for size in range(1, len(data), len(data) // 20):
        file.write_bytes(data[:size])
        _refused(file, tmp_path, "is not valid ONNX")


@pytest.mark.parametrize("option", ["onnx", "prototxt", "caffemodel"])
def test_a_file_that_is_not_there_is_told_by_its_option(tmp_path: Path, option: str) -> None:
    (tmp_path / "there").touch()
    named = {"prototxt": tmp_path / "there", "caffemodel": tmp_path / "there"}
    files = {} if option == "onnx" else named
    with pytest.raises(ConfigError, match="there is no such file") as caught:
        _network(**{**files, option: tmp_path / "absent"}, **ONNX)
    assert caught.value.where == f"--{option} {tmp_path / 'absent'}"
