"""A network as a table: totals against those that the networks' authors publish."""

from __future__ import annotations

import io
from pathlib import Path

import onnx
import pytest
from rich.console import Console

from mlubench import cli
from mlubench.errors import NetworkError
from mlubench.networks import caffe
from mlubench.networks.inspect.caffe_layers import layer_rows, print_layers
from tests.networks.fetch.test_files import TEXT, catalogue
from tests.support.file_server import FileServer, whole
from tests.support.long import long

#: They have the names and kinds of layers that smaller ones have, too.
_LARGER = ("SE-ResNet-101", "SENet-154")

NETWORK = """
name: "net" input: "data" input_shape { dim: 1 dim: 4 dim: 9 dim: 7 }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
        convolution_param { num_output: 6 kernel_size: 3 group: 2 stride: 2 } }
layer { name: "bn" type: "BatchNorm" bottom: "conv" top: "conv" }
layer { name: "scale" type: "Scale" bottom: "conv" top: "conv" scale_param { bias_term: true } }
layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" }
layer { name: "up" type: "Deconvolution" bottom: "conv" top: "up"
        convolution_param { num_output: 5 kernel_size: 2 stride: 2 bias_term: false } }
layer { name: "drop" type: "Dropout" bottom: "up" top: "drop" }
layer { name: "fc[1]" type: "InnerProduct" bottom: "drop" top: "fc"
        inner_product_param { num_output: 10 } }
"""


@pytest.fixture
def prototxt(tmp_path: Path) -> Path:
    file = tmp_path / "net.prototxt"
    file.write_text(NETWORK)
    return file


def test_every_layer_is_counted_as_by_hand(prototxt: Path) -> None:
    rows = [(row.name, row.shapes, row.parameters, row.macs) for row in layer_rows(prototxt)]
    # The convolution makes 4 x 3 places: each of its 6 outputs sums 2 channels x 3 x 3.
    assert rows == [
        ("conv", ("[N, 6, 4, 3]",), 6 * 2 * 9 + 6, 12 * 6 * 2 * 9),
        ("bn", ("[N, 6, 4, 3]",), 0, 0),
        ("scale", ("[N, 6, 4, 3]",), 12, 0),
        ("relu", ("[N, 6, 4, 3]",), 0, 0),
        ("up", ("[N, 5, 8, 6]",), 6 * 5 * 4, 12 * 6 * 5 * 4),
        ("drop", ("[N, 5, 8, 6]",), 0, 0),
        ("fc[1]", ("[N, 10]",), 5 * 8 * 6 * 10 + 10, 5 * 8 * 6 * 10),
    ]


@pytest.mark.parametrize(
    ("name", "parameters", "macs", "within"),
    [
        # Squeeze-and-Excitation Networks, by its authors: 10^6 parameters, 10^9 MACs.
        ("SE-ResNet-50", 28.1, 3.87, 0.01),
        ("SE-ResNet-101", 49.4, 7.60, 0.01),
        ("SE-ResNeXt-50", 27.6, 4.25, 0.01),
        ("SENet-154", 115.1, 20.7, 0.01),
        # MobileNets (Howard et al. 2017), table 8.
        ("MobileNet-v1", 4.2, 0.569, 0.01),
        # Open Model Zoo: GFLOPs, two for a MAC, with some of the layers without weights.
        ("GoogLeNet", 6.999, 3.266 / 2, 0.035),
        ("DenseNet-121", 7.971, 5.724 / 2, 0.035),
    ],
)
def test_totals_are_the_published_ones(
    shared_data: Path, name: str, parameters: float, macs: float, within: float
) -> None:
    rows = layer_rows(shared_data / "prototxt" / f"{name}.prototxt")
    assert sum(row.parameters for row in rows) / 1e6 == pytest.approx(parameters, rel=0.01)
    assert sum(row.macs for row in rows) / 1e9 == pytest.approx(macs, rel=within)


def test_squeezenet_has_as_many_parameters_as_its_onnx(shared_data: Path) -> None:
    files = (shared_data / "squeezenet_v1.1.prototxt", shared_data / "squeezenet_v1.1.caffemodel")
    rows = layer_rows(*files)
    initialisers = caffe.import_caffe(*files).graph.initializer
    sizes = [
        onnx.numpy_helper.to_array(tensor).size
        for tensor in initialisers
        if tensor.data_type == onnx.TensorProto.FLOAT
    ]
    assert sum(row.parameters for row in rows) == sum(sizes) == 1_235_496
    assert 349e6 < sum(row.macs for row in rows) < 390e6


@pytest.mark.parametrize("larger", [False, pytest.param(True, marks=long)])
def test_the_table_is_readable_at_100_columns(shared_data: Path, larger: bool) -> None:
    for file in (shared_data / "prototxt").iterdir():
        if (file.stem in _LARGER) != larger:
            continue
        rows = layer_rows(file)
        said = io.StringIO()
        print_layers(rows, Console(file=said, width=100))
        lines = said.getvalue().splitlines()
        assert max(map(len, lines)) <= 100
        assert len(lines) == len(rows) + 2, f"{file.name}: a row is folded"
        assert lines[0].split() == ["layer", "type", "output", "parameters", "MACs"]
        assert lines[-1].split()[:2] == [str(len(rows)), "layers"]
        assert lines[-1].split()[2] == f"{sum(row.parameters for row in rows):,}"


def test_the_command_prints_it(prototxt: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["inspect", "--prototxt", str(prototxt)]) == 0
    said = capsys.readouterr().out
    assert "fc[1]" in said
    assert "[N, 6, 4, 3]" in said
    assert cli.main(["inspect", "--model", "sample"]) == 0
    assert "418,024" in capsys.readouterr().out


def test_the_command_fetches_a_prototxt_and_no_weights(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with FileServer(whole(TEXT)).running() as server:
        conf = catalogue(tmp_path / "conf", server.root)
        options = ["--conf", str(conf), "--out", str(tmp_path)]
        assert cli.main(["inspect", "--model", "mine", *options]) == 0
        assert [path for path, _ in server.asked] == ["/x/deploy.prototxt"]
    assert "418,024" in capsys.readouterr().out
    assert cli.main(["inspect", "--model", "resnet", *options]) == 2
    assert "no 'resnet'" in capsys.readouterr().err


def test_weights_are_checked_to_fit(tmp_path: Path, prototxt: Path) -> None:
    weights = tmp_path / "net.caffemodel"
    caffe.write_random_caffemodel(prototxt, weights, seed=0)
    assert layer_rows(prototxt, weights) == layer_rows(prototxt)
    prototxt.write_text(NETWORK.replace("num_output: 6", "num_output: 8"))
    with pytest.raises(NetworkError, match=r"blob 0 \(weight\)"):
        layer_rows(prototxt, weights)


@pytest.mark.parametrize("options", [[], ["--model", "sample", "--prototxt", "x"]])
def test_one_network_is_named(capsys: pytest.CaptureFixture[str], options: list[str]) -> None:
    assert cli.main(["inspect", *options]) == 2
    assert "--model NAME, --prototxt FILE or --onnx FILE" in capsys.readouterr().err
