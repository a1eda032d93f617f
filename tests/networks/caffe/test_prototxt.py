"""The text of a network: formats, inputs, phases, and every way in which it can be wrong."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlubench.errors import NetworkError
from mlubench.networks.caffe.layers import LAYER_TYPES
from mlubench.networks.caffe.prototxt import Network, read_network
from tests.networks.caffe.synthetic import layer, network

RELU = layer("ReLU")
OLD = """
name: "old"
input: "data" input_dim: 1 input_dim: 3 input_dim: 8 input_dim: 8
layers {
  name: "conv" type: CONVOLUTION bottom: "data" top: "conv"
  blobs_lr: 1 blobs_lr: 2 weight_decay: 1 weight_decay: 0 param: "shared"
  convolution_param { num_output: 2 kernel_size: 3 }
}
layers { name: "relu" type: RELU bottom: "conv" top: "conv" }
layers { name: "norm" type: LRN bottom: "conv" top: "norm" lrn_param { local_size: 3 alpha: 0.5 } }
layers { name: "drop" type: DROPOUT bottom: "norm" top: "norm" }
layers { name: "fc" type: INNER_PRODUCT bottom: "norm" top: "fc"
         inner_product_param { num_output: 5 } }
layers { name: "loss" type: SOFTMAX_LOSS bottom: "fc" top: "loss" include { phase: TRAIN } }
layers { name: "prob" type: SOFTMAX bottom: "fc" top: "prob" include { phase: TEST } }
"""


def read(folder: Path, text: str | bytes) -> Network:
    file = folder / "net.prototxt"
    file.write_bytes(text.encode() if isinstance(text, str) else text)
    return read_network(file, LAYER_TYPES)


def refused(folder: Path, text: str | bytes) -> str:
    with pytest.raises(NetworkError) as caught:
        read(folder, text)
    message = str(caught.value)
    assert message.startswith(str(folder / "net.prototxt"))
    return message.removeprefix(str(folder / "net.prototxt"))


@pytest.mark.parametrize(
    "declaration",
    [
        'input: "data" input_dim: 2 input_dim: 3 input_dim: 4 input_dim: 5',
        'input: "data" input_shape { dim: [2, 3, 4, 5] }',
        'layer { type: "Input" top: "data" input_param: { shape: < dim: [2, 3, 4, 5] > } }',
    ],
)
def test_three_ways_to_declare_an_input(tmp_path: Path, declaration: str) -> None:
    found = read(tmp_path, f"{declaration}\n{RELU}")
    assert (found.input, found.input_shape) == ("data", (2, 3, 4, 5))
    assert [layer.name for layer in found.layers] == ["out"]
    assert found.outputs == ("out",)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (RELU, "0 inputs (none)"),
        (layer("Data", bottoms=[], tops=["data"]), "layer 'out' (Data): the network has 0 inputs"),
        (network(RELU) + layer("Input", "input_param { }", "x", []), "1 tops and 0 shapes"),
        (
            network(RELU)
            + layer("Input", "input_param { shape { dim: [1, 1, 1, 1] } }", "label", []),
            "2 inputs (data, label)",
        ),
        ('input: "data"\ninput_dim: 3\n' + RELU, "has the shape [3]"),
        ('input: "data"\n' + RELU, "1 inputs and gives 0 shapes"),
        (network(RELU, shape=(1, 3, 0, 5)), "has the shape [1, 3, 0, 5]"),
        (network(RELU, shape=(1, 2**16, 2**16, 1)), "less than 2^31"),
        ("", "0 inputs"),
    ],
)
def test_wrong_inputs(tmp_path: Path, text: str, words: str) -> None:
    message = refused(tmp_path, text)
    assert words in message
    assert "to mend it" in message or "one shape for each top" in message


def test_the_old_format_is_upgraded(tmp_path: Path) -> None:
    found = read(tmp_path, OLD)
    assert [(layer.name, layer.type, layer.line) for layer in found.layers] == [
        ("conv", "Convolution", 4),
        ("relu", "ReLU", 9),
        ("norm", "LRN", 10),
        ("drop", "Dropout", 11),
        ("fc", "InnerProduct", 12),
        ("prob", "Softmax", 15),
    ]
    assert found.layers[0].parameters.convolution_param.kernel_size == [3]
    assert found.layers[2].parameters.lrn_param.local_size == 3
    assert found.outputs == ("prob",)


def test_layers_with_a_string_type_are_of_the_new_format(tmp_path: Path) -> None:
    text = network(RELU, layer("Sigmoid", name="b", bottoms=["out"]).replace("layer", "layers"))
    found = read(tmp_path, text)
    assert [layer.type for layer in found.layers] == ["ReLU", "Sigmoid"]


def test_mixed_formats_are_refused(tmp_path: Path) -> None:
    text = network(RELU, 'layers { name: "b" type: RELU bottom: "out" top: "b" }')
    assert ":11: the network mixes the formats" in refused(tmp_path, text)


@pytest.mark.parametrize(
    ("rules", "kept"),
    [
        ("include { phase: TEST }", True),
        ("include { phase: TRAIN }", False),
        ("include { phase: TRAIN } include { phase: TEST }", True),
        ("exclude { phase: TEST }", False),
        ("exclude { phase: TRAIN }", True),
        ("include { min_level: 1 }", False),
        ("include { max_level: 0 }", True),
        ('include { stage: "deploy" }', False),
        ('exclude { stage: "deploy" }', True),
        ('include { not_stage: "deploy" }', True),
    ],
)
def test_rules_of_the_phase(tmp_path: Path, rules: str, kept: bool) -> None:
    found = read(tmp_path, network(RELU, layer("Sigmoid", rules, "b", ["out"])))
    assert [layer.name for layer in found.layers] == (["out", "b"] if kept else ["out"])


def test_the_networks_own_state_counts(tmp_path: Path) -> None:
    text = network(RELU, layer("Sigmoid", 'include { stage: "deploy" }', "b", ["out"]))
    found = read(tmp_path, text + 'state { stage: "deploy" }')
    assert [layer.name for layer in found.layers] == ["out", "b"]


def test_what_only_training_reads_is_accepted(tmp_path: Path) -> None:
    fields = (
        'param { name: "w" lr_mult: 1 decay_mult: 0 } propagate_down: true loss_weight: 0 '
        "phase: TEST transform_param { mirror: true mean_value: 104 }"
    )
    data = layer("Data", 'include { phase: TRAIN } data_param { source: "x" }', "d", [], ["data"])
    found = read(tmp_path, network(data, layer("ReLU", fields)))
    assert [layer.name for layer in found.layers] == ["out"]


def test_bytes_that_are_no_utf_8_in_a_comment(tmp_path: Path) -> None:
    assert read(tmp_path, b"# \xb2\xe2\xca\xd4\n" + network(RELU).encode()).input == "data"
    assert read(tmp_path, b"\xef\xbb\xbf" + network(RELU).encode()).input == "data"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (network(layer("Magic")), [":4: layer 'out' (Magic)", "'Magic' are unknown", "ReLU"]),
        (
            network(layer("Magic", "magic_param { spells: 3 }")),
            [":9: layer 'out' (Magic)", "'Magic' are unknown", "mlubench/networks/caffe/layers"],
        ),
        (
            network(layer("ReLU", "relu_param { slope: 1 }")),
            [":9: layer 'out' (ReLU)", "unknown field", '"slope"'],
        ),
        (network(layer("ReLU", "frozen: true")), [":9: layer 'out' (ReLU)", '"frozen"']),
        (network(layer("ReLU", "relu_param { negative_slope: x }")), [":9: layer 'out' (ReLU)"]),
        (network(RELU).replace("name:", "nom:", 1), [":1: not the text of a Caffe network"]),
        (network(layer("ReLU", name="")), [":4: layer '' (ReLU)", "no name"]),
        (network(RELU, RELU), [":11: layer 'out' (ReLU)", "line 4 already"]),
        (
            network(RELU, layer("Sigmoid", name="b", tops=["out"])),
            [":11: layer 'b' (Sigmoid)", "top 'out' is made by layer 'out' already"],
        ),
        (
            network(layer("ReLU", bottoms=["nowhere"])),
            [":4: layer 'out' (ReLU)", "bottom 'nowhere' is made by no layer"],
        ),
        (
            network(layer("ReLU", name="a", bottoms=["b"]), layer("ReLU", name="b", bottoms=["a"])),
            [":4: layer 'a' (ReLU)", "made by layer 'b' (line 11) only later"],
        ),
        (
            network(layer("ReLU", "include { phase: TEST } exclude { phase: TRAIN }")),
            [":4: layer 'out' (ReLU)", "include and exclude"],
        ),
        ("<!DOCTYPE html>\n<html><body>404</body></html>", [":1: not the text"]),
        ('{"layer": []}', [":1: not the text"]),
        (network(RELU)[:-2], [":8: layer 'out' (ReLU)", 'Expected "}"']),
        (network(RELU) + 'name: "a\\c"', [':11: "a\\c" has an escape']),
        ("layer {" * 10_000, [":1: the text nests more than 20 deep"]),
        ("layer <" * 10_000, [":1: the text nests more than 20 deep"]),
        (b"\x08\x07\x12\x07pytorch\x00", [": the file is binary", ".caffemodel"]),
        (b" " * (1 << 24) + b" ", [": the file is binary"]),
    ],
)
def test_wrong_text(tmp_path: Path, text: str | bytes, words: list[str]) -> None:
    message = refused(tmp_path, text)
    assert all(word in message for word in words)


def test_a_row_of_backslashes_does_not_take_for_ever(tmp_path: Path) -> None:
    said = refused(tmp_path, network(RELU).replace("out", "\\\\" * 100_000))
    assert "17 backslashes in a row" in said


def test_absent_file_and_folder(tmp_path: Path) -> None:
    for file in (tmp_path / "absent.prototxt", tmp_path):
        with pytest.raises(NetworkError, match="cannot be read") as caught:
            read_network(file, LAYER_TYPES)
        assert str(caught.value).startswith(str(file))


SEED = OLD + network(RELU)


@settings(max_examples=300, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.integers(0, len(SEED)),
            st.integers(0, 8),
            st.text("{}<>\"'#:;,[]\\ \n\x85layers0-e1.", max_size=6),
        ),
        min_size=1,
        max_size=6,
    )
)
def test_damaged_text_is_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, changes: list[tuple[int, int, str]]
) -> None:
    text = SEED if len(changes) % 2 else OLD
    for start, length, new in changes:
        text = text[:start] + new + text[start + length :]
    file = tmp_path_factory.getbasetemp() / "damaged.prototxt"
    file.write_text(text)
    with contextlib.suppress(NetworkError):
        read_network(file, LAYER_TYPES)
