"""Caffe's weights: each way to store them, round trips, and files that are none."""

from __future__ import annotations

import contextlib
import os
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from onnx import helper

from mlubench.errors import NetworkError
from mlubench.networks.caffe import caffe_pb2, write_caffemodel
from mlubench.networks.caffe.weights import Array, CaffemodelFile, read_caffemodel
from tests.networks.caffe.synthetic import layer, network

VALUES = np.array([[1.5, -2.25, 3e-8], [4e7, 0, -1]], np.float32)


def field(number: int, wire_type: int, payload: bytes) -> bytes:
    """Return one field on the wire; lengths below 128 only."""
    length = bytes([len(payload)]) if wire_type == 2 else b""
    key = number << 3 | wire_type
    head = bytes([key]) if key < 128 else bytes([key & 127 | 128, key >> 7])
    return head + length + payload


def file_of(blob: bytes) -> bytes:
    """Return a caffemodel of one layer `ip` with one blob."""
    return field(100, 2, field(1, 2, b"ip") + field(7, 2, blob))


SHAPE = field(7, 2, field(1, 2, b"\x02\x03"))
LEGACY = b"".join(field(number, 0, bytes([size])) for number, size in enumerate((1, 1, 2, 3), 1))
PACKED = field(5, 2, VALUES.tobytes())
UNPACKED = b"".join(field(5, 5, struct.pack("<f", value)) for value in VALUES.flat)
FORMS = {
    "packed": SHAPE + PACKED,
    "unpacked": SHAPE + UNPACKED,
    "packed in two pieces": SHAPE
    + field(5, 2, VALUES.tobytes()[:8])
    + field(5, 2, VALUES.tobytes()[8:]),
    "packed and unpacked": SHAPE + field(5, 2, VALUES.tobytes()[:20]) + UNPACKED[-5:],
    "double": SHAPE + field(8, 2, VALUES.astype("<f8").tobytes()),
    "unpacked double": SHAPE
    + b"".join(field(8, 1, struct.pack("<d", value)) for value in VALUES.flat),
    "legacy shape": LEGACY + PACKED,
    "legacy shape, unpacked": LEGACY + UNPACKED,
}


@pytest.mark.parametrize("name", FORMS)
def test_every_way_to_store_a_blob(tmp_path: Path, name: str) -> None:
    file = tmp_path / "w.caffemodel"
    file.write_bytes(file_of(FORMS[name]))
    (blob,) = read_caffemodel(file)["ip"]
    assert blob.dtype == np.float32
    assert blob.shape == ((1, 1, 2, 3) if "legacy" in name else (2, 3))
    np.testing.assert_array_equal(blob.reshape(2, 3), VALUES)


def test_layers_of_the_old_format(tmp_path: Path) -> None:
    """V1LayerParameter has the name in field 4, the type in 5 and the blobs in 6."""
    file = tmp_path / "w.caffemodel"
    blob = field(6, 2, LEGACY + PACKED)
    file.write_bytes(field(2, 2, field(4, 2, b"ip") + field(5, 0, b"\x0e") + blob))
    assert list(read_caffemodel(file)) == ["ip"]


@settings(max_examples=50, deadline=None)
@given(
    st.dictionaries(
        st.text(min_size=1, max_size=5),
        st.lists(arrays(np.float32, array_shapes(min_dims=0, max_side=4)), min_size=1, max_size=3),
        min_size=1,
        max_size=4,
    )
)
def test_what_is_written_is_read(
    tmp_path_factory: pytest.TempPathFactory, layers: dict[str, list[Array]]
) -> None:
    file = tmp_path_factory.getbasetemp() / "w.caffemodel"
    write_caffemodel(file, "any", {name: ("Scale", blobs) for name, blobs in layers.items()})
    found = read_caffemodel(file)
    assert list(found) == list(layers)
    for name, blobs in layers.items():
        assert len(found[name]) == len(blobs)
        for one, other in zip(found[name], blobs, strict=True):
            np.testing.assert_array_equal(one, other)
    first = file.read_bytes()
    write_caffemodel(file, "any", {name: ("Scale", blobs) for name, blobs in layers.items()})
    assert file.read_bytes() == first


def test_real_weights_survive_a_round_trip(shared_data: Path, tmp_path: Path) -> None:
    found = read_caffemodel(shared_data / "squeezenet_v1.1.caffemodel")
    assert len(found) == 26
    file = tmp_path / "again.caffemodel"
    write_caffemodel(file, "again", {name: ("", blobs) for name, blobs in found.items()})
    again = read_caffemodel(file)
    for name, blobs in found.items():
        for one, other in zip(blobs, again[name], strict=True):
            np.testing.assert_array_equal(one, other)


def onnx_file() -> bytes:
    node = helper.make_node("Relu", ["x"], ["y"])
    info = [helper.make_tensor_value_info(name, 1, [1]) for name in "xy"]
    model = helper.make_model(helper.make_graph([node], "g", info[:1], info[1:]))
    return bytes(model.SerializeToString())


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "the file is empty"),
        (onnx_file(), "an ONNX network"),
        (b"<!DOCTYPE html><title>Sign in</title>", "a web page"),
        (b"\n <HTML><body>", "a web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid", "a Git LFS pointer"),
        (network(layer("ReLU")).encode(), "text; a prototxt given in place of the weights?"),
        (b"\x89HDF\r\n\x1a\n", "an HDF5 file"),
        (b"PK\x03\x04" + bytes(99), "a ZIP archive"),
        (bytes(np.random.default_rng(0).integers(0, 256, 999, np.uint8)), "no caffemodel at all"),
        (file_of(FORMS["packed"])[:-1], "cut short"),
        (field(1, 2, b"n"), "no caffemodel at all"),
        (field(100, 2, field(1, 2, b"\xff\xfe") + field(7, 2, PACKED)), "no caffemodel at all"),
    ],
)
def test_files_that_are_no_caffemodel(tmp_path: Path, data: bytes, words: str) -> None:
    file = tmp_path / "w.caffemodel"
    file.write_bytes(data)
    with pytest.raises(NetworkError) as caught:
        read_caffemodel(file)
    message = str(caught.value)
    assert message.startswith(f"{file}: ")
    assert words in message
    assert "expected: Caffe's weights" in message


@pytest.mark.parametrize(
    "blob",
    [
        SHAPE + field(5, 2, VALUES.tobytes()[:20]),
        SHAPE + UNPACKED[:-5],
        SHAPE,
        PACKED,
        LEGACY + SHAPE + field(7, 2, field(1, 2, b"\x02")) + PACKED,
        field(7, 2, field(1, 2, b"\x00")),
        field(7, 2, field(1, 2, b"\xff" * 9 + b"\x01\xfa" + b"\xff" * 8 + b"\x01")) + PACKED,
    ],
)
def test_blobs_that_contradict_their_shape(tmp_path: Path, blob: bytes) -> None:
    file = tmp_path / "w.caffemodel"
    file.write_bytes(file_of(blob))
    with pytest.raises(NetworkError, match="numbers, its shape is") as caught:
        read_caffemodel(file)
    assert str(caught.value).startswith(f"{file}: layer 'ip', blob 0: the blob holds")


def test_two_layers_of_one_name(tmp_path: Path) -> None:
    file = tmp_path / "w.caffemodel"
    file.write_bytes(file_of(FORMS["packed"]) * 2)
    with pytest.raises(NetworkError, match="two layers") as caught:
        read_caffemodel(file)
    assert "layer 'ip'" in str(caught.value)


def test_absent_file_and_folder(tmp_path: Path) -> None:
    for file in (tmp_path / "absent.caffemodel", tmp_path):
        with pytest.raises(NetworkError, match="cannot be read"):
            read_caffemodel(file)


@pytest.mark.parametrize("path", ["pipe", "/dev/zero"])
def test_what_cannot_be_read_twice(tmp_path: Path, path: str) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(NetworkError, match="a pipe or a device"):
        read_caffemodel(tmp_path / path)


def test_a_file_that_changes_while_it_is_read(tmp_path: Path) -> None:
    file = tmp_path / "w.caffemodel"
    whole = file_of(FORMS["packed"])
    file.write_bytes(whole)
    weights = CaffemodelFile(file)
    for data in (whole.replace(b"ip", b"op"), whole[:-1], b""):
        file.write_bytes(data)
        with pytest.raises(NetworkError, match="the file is"):
            weights.blobs("ip")
    file.unlink()
    with pytest.raises(NetworkError, match="cannot be read"):
        weights.blobs("ip")


def test_a_foreign_file_is_not_parsed(tmp_path: Path) -> None:
    """A graph of empty nodes would become eighty times as large; this one is not even whole."""
    file = tmp_path / "w.caffemodel"
    file.write_bytes(field(7, 2, b"\x0a\x00" + b"\xff" * 99))
    with pytest.raises(NetworkError, match="an ONNX network"):
        read_caffemodel(file)


def test_more_than_protobuf_can_read(tmp_path: Path) -> None:
    file = tmp_path / "w.caffemodel"
    with file.open("wb") as stream:
        stream.truncate(2**31)  # a hole: it takes no room on the disk
    with pytest.raises(NetworkError, match="2147483648 bytes"):
        read_caffemodel(file)


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_damaged_files_are_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    content = bytearray(file_of(FORMS[data.draw(st.sampled_from(sorted(FORMS)))]))
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    file = tmp_path_factory.getbasetemp() / "damaged.caffemodel"
    file.write_bytes(content[: data.draw(st.integers(0, len(content)))])
    with contextlib.suppress(NetworkError):
        read_caffemodel(file)


def test_the_schema_is_the_generated_one() -> None:
    """The committed caffe_pb2.py was made from the committed caffe.proto."""
    proto = Path(caffe_pb2.__file__).with_name("caffe.proto").read_text()
    fields = {
        (message.name, entry.name, entry.number)
        for message in caffe_pb2.DESCRIPTOR.message_types_by_name.values()
        for entry in message.fields
    }
    declared = sum(
        line.lstrip().startswith(("optional ", "repeated ")) for line in proto.splitlines()
    )
    assert len(fields) == declared
    assert ("BlobProto", "data", 5) in fields


@pytest.mark.parametrize("dims", [[1] * 33, [1] * 65, [2**62] * 20_000], ids=["33", "65", "huge"])
def test_more_axes_than_caffe_has(tmp_path: Path, dims: list[int]) -> None:
    """NumPy has a limit of its own, and the product of many large numbers takes for ever."""
    message = caffe_pb2.NetWeights()
    blob = message.layer.add(name="a").blobs.add(data=[bytes(4)])
    blob.shape.dim.extend(dims)
    file = tmp_path / "w.caffemodel"
    file.write_bytes(message.SerializeToString())
    with pytest.raises(NetworkError, match=f"the blob has {len(dims)} dimensions"):
        read_caffemodel(file)


@pytest.mark.parametrize(
    "data",
    [
        b"\xa2\x06\x00" * 600_000,
        b"\x12\x00" * 600_000,
        b"\xa2\x06\x80\x9f\x49" + b"\x3a\x00" * 600_000,  # one of 1,200,000 bytes
        b"\x0b\x0c" * 10 + b"\xa2\x06\x00" * 600_000,
    ],
    ids=["layers", "old layers", "blobs", "behind groups"],
)
def test_what_would_grow_in_memory_is_refused(tmp_path: Path, data: bytes) -> None:
    file = tmp_path / "w.caffemodel"
    file.write_bytes(data)
    with pytest.raises(NetworkError, match="more than 500000 layers and fields"):
        read_caffemodel(file)


@pytest.mark.parametrize("kind", ["data", "double_data"])
def test_numbers_in_very_many_pieces_are_refused(tmp_path: Path, kind: str) -> None:
    """An empty piece takes two bytes in the file, and twenty times that as an object."""
    message = caffe_pb2.NetWeights()
    getattr(message.layer.add(name="ip").blobs.add(), kind).extend([b""] * 100_001)
    file = tmp_path / "w.caffemodel"
    file.write_bytes(message.SerializeToString())
    with pytest.raises(NetworkError, match="in 100001 pieces"):
        read_caffemodel(file)
