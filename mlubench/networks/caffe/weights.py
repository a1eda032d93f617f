"""Reading and writing of Caffe's weights (``*.caffemodel``), new and old format."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from google.protobuf.message import DecodeError

from mlubench.errors import NetworkError
from mlubench.networks.caffe import caffe_pb2
from mlubench.networks.onnx.wire import LENGTH, FileBytes, fields, open_again
from mlubench.store import atomic_path

Array = npt.NDArray[np.float32]

_FLOAT = np.dtype("<f4")
_DOUBLE = np.dtype("<f8")
_PROTOBUF_LIMIT = 2**31 - 1
#: Caffe's own limit (kMaxBlobAxes), and NumPy has one too.
_MOST_AXES = 32
#: Pieces of a blob's packed numbers. An empty one takes two bytes in the file.
_MOST_PIECES = 100_000
#: Layers of a file and their fields together; the deepest networks have some ten thousand. An empty
#: one takes two bytes in the file and a hundred in memory.
_MOST_FIELDS = 500_000
#: ``NetParameter.layers`` and ``NetParameter.layer``.
_LAYER_FIELDS = (2, 100)
#: ``ModelProto.graph`` and ``GraphProto.node``; few fields stand before the graph.
_ONNX_GRAPH, _NODE, _MOST_ONNX_FIELDS = 7, 1, 100
_MAGIC = {
    b"\x89HDF": "an HDF5 file (Caffe's snapshot_format: HDF5)",
    b"PK\x03\x04": "a ZIP archive",
    b"\x1f\x8b": "a gzip archive",
    b"\x93NUMPY": "a NumPy array",
}


class CaffemodelFile:
    """The blobs of a caffemodel, read a layer at a time: a large file is never held whole.

    Reads packed and unpacked floats and doubles, the shapes of either format, and the layers of
    either format (``layer``, and ``layers`` of the V1 format).
    """

    def __init__(self, path: Path) -> None:
        """Read all of the file once.

        Raises:
            NetworkError: it is absent, cut short, or something else than a caffemodel.
        """
        self._path = path
        self._places: dict[str, tuple[int, int]] = {}
        with _opened(path) as data:
            _check_fields(path, data)
            layers = 0
            for entry, start, end in _layers(data):
                layers += 1
                self._add(entry, start, end)
            if not layers:
                raise DecodeError("there is no layer")

    @property
    def names(self) -> list[str]:
        """The layers that have blobs, in the file's order."""
        return list(self._places)

    def blobs(self, name: str) -> tuple[Array, ...]:
        """Return the float32 blobs of a layer, in Caffe's order, in the shapes that it states.

        Raises:
            NetworkError: the file has become another one.
        """
        with _opened(self._path) as data:
            entry = _parsed(data.part(*self._places[name]))[0]
            if entry.name != name:
                raise DecodeError("another layer is there")
            return _arrays(self._path, entry)

    def _add(self, entry: Any, start: int, end: int) -> None:
        # A name that is no UTF-8 comes as bytes: whatever the file is, its names mean nothing.
        if not isinstance(entry.name, str):
            raise DecodeError("a name is no text")
        if not entry.blobs:
            return
        if entry.name in self._places:
            raise NetworkError(
                "two layers of the file have this name",
                where=f"{self._path}: layer '{entry.name}'",
                expected="each layer's weights once",
                fix="save the weights again from the network they belong to",
            )
        _arrays(self._path, entry)  # whether they are whole
        self._places[entry.name] = start, end


def read_caffemodel(path: Path) -> dict[str, tuple[Array, ...]]:
    """Return the blobs of every layer that has some: layer name -> float32 arrays.

    Raises:
        NetworkError: as :class:`CaffemodelFile` does.
    """
    file = CaffemodelFile(path)
    return {name: file.blobs(name) for name in file.names}


def write_caffemodel(
    path: Path, name: str, layers: Mapping[str, tuple[str, Sequence[npt.NDArray[Any]]]]
) -> None:
    """Write a caffemodel atomically, in the new format; the same input gives the same bytes.

    Args:
        path: the file to write.
        name: the network's name.
        layers: layer name -> (Caffe's layer type, blobs in Caffe's order); stored as float32.

    Raises:
        StoreError: the file cannot be written.
    """
    with atomic_path(path) as temporary, temporary.open("wb") as stream:
        # Messages one after another are one message, so a layer at a time is held twice.
        stream.write(caffe_pb2.NetWeights(name=name).SerializeToString(deterministic=True))
        for layer, (kind, blobs) in layers.items():
            message = caffe_pb2.NetWeights()
            entry = message.layer.add(name=layer, type=kind)
            for blob in blobs:
                array = np.asarray(blob, dtype=_FLOAT)
                entry.blobs.add(shape=caffe_pb2.BlobShape(dim=array.shape), data=[array.tobytes()])
            stream.write(message.SerializeToString(deterministic=True))


@contextmanager
def _opened(path: Path) -> Iterator[FileBytes]:
    try:
        with open_again(path) as file:
            data = FileBytes(file)
            if data.size > _PROTOBUF_LIMIT:
                raise NetworkError(
                    f"the file has {data.size} bytes",
                    where=str(path),
                    expected="a caffemodel; protobuf files end below 2 GiB",
                    fix="give the weights that belong to the prototxt",
                )
            try:
                yield data
            # IndexError where the file has become another one meanwhile.
            except (DecodeError, IndexError) as error:
                raise _foreign(path, data) from error
    except OSError as error:
        raise NetworkError(
            f"the weights cannot be read: {error.strerror}",
            where=str(path),
            expected="a file of Caffe's weights (caffemodel)",
            fix="check the path, or fetch the file again",
        ) from error


def _check_fields(path: Path, data: FileBytes) -> None:
    """Refuse what would become far larger in memory than it is in the file."""
    left = _MOST_FIELDS
    for field in fields(data, 0, data.size):
        left -= 1
        if field.number in _LAYER_FIELDS:
            within = fields(data, field.begin, field.end)
            left -= sum(1 for _ in itertools.islice(within, left + 1))
        if left < 0:
            raise NetworkError(
                f"the file has more than {_MOST_FIELDS} layers and fields of layers",
                where=str(path),
                expected="Caffe's weights (caffemodel)",
                fix="fetch the weights again; the file is damaged or no caffemodel",
            )


def _layers(data: FileBytes) -> Iterator[tuple[Any, int, int]]:
    """Give the layers one by one, each with its place in the file.

    The parser sees all bytes of the file, and refuses what it must.

    Raises:
        DecodeError: the file is no network's weights.
    """
    end = 0
    for field in fields(data, 0, data.size):
        if field.is_group:
            raise DecodeError("groups are of no caffemodel")
        for entry in _parsed(data.part(field.start, field.end)):
            yield entry, field.start, field.end
        end = field.end
    _parsed(data.part(end, data.size))


def _parsed(part: bytes) -> list[Any]:
    message = caffe_pb2.NetWeights.FromString(part)
    return [*message.layer, *message.layers]


def _arrays(path: Path, entry: Any) -> tuple[Array, ...]:
    return tuple(_array(path, entry.name, index, blob) for index, blob in enumerate(entry.blobs))


def _array(path: Path, layer: str, index: int, blob: caffe_pb2.BlobProto) -> Array:
    """Return a blob as an array; most often a view of the bytes that protobuf read."""
    if len(blob.shape.dim) > _MOST_AXES:  # before each becomes an object
        raise NetworkError(
            f"the blob has {len(blob.shape.dim)} dimensions",
            where=f"{path}: layer '{layer}', blob {index}",
            expected=f"{_MOST_AXES} at most, as in Caffe",
            fix="fetch the weights again; the file is damaged or was written by another program",
        )
    pieces = max(len(blob.data), len(blob.double_data))
    if pieces > _MOST_PIECES:  # likewise
        raise NetworkError(
            f"the numbers of the blob are in {pieces} pieces",
            where=f"{path}: layer '{layer}', blob {index}",
            expected=f"{_MOST_PIECES} at most; whoever writes them writes one",
            fix="fetch the weights again; the file is damaged or no caffemodel",
        )
    shape = _shape(blob)
    count = math.prod(shape)
    values = _packed(blob.data, _FLOAT, count)
    if values is None:
        values = _packed(blob.double_data, _DOUBLE, count)
    if values is None:
        values = _unpacked(blob)
    if min(shape, default=1) < 1 or values.size != count:
        raise NetworkError(
            f"the blob holds {values.size} numbers, its shape is {list(shape)}",
            where=f"{path}: layer '{layer}', blob {index}",
            expected="as many numbers as the shape says",
            fix="fetch the weights again; the file is damaged or was written by another program",
        )
    return values.astype(np.float32, copy=False).reshape(shape)


def _shape(blob: caffe_pb2.BlobProto) -> tuple[int, ...]:
    if blob.HasField("shape"):
        return tuple(blob.shape.dim)
    return blob.num, blob.channels, blob.height, blob.width


def _packed(fields: Iterable[bytes], dtype: np.dtype[Any], count: int) -> npt.NDArray[Any] | None:
    """Return packed numbers; None unless they are as many as the blob's shape says."""
    chunks = list(fields)  # most often one; reading it twice would copy it twice
    if sum(map(len, chunks)) != count * dtype.itemsize:
        return None
    return np.frombuffer(chunks[0] if len(chunks) == 1 else b"".join(chunks), dtype)


def _unpacked(blob: caffe_pb2.BlobProto) -> npt.NDArray[Any]:
    """Return the numbers of a blob however they are written.

    A number written by itself has another wire type than ``BlobProto.data`` declares, so the
    parser put it aside; written out and read by the other declaration, it is found again.
    """
    numbers = caffe_pb2.UnpackedBlobProto.FromString(blob.SerializeToString())
    values = numbers.data or numbers.double_data
    return np.fromiter(values, np.float32, len(values))


def _foreign(path: Path, data: FileBytes) -> NetworkError:
    """Return the error for a file that is no whole caffemodel, saying what it looks like."""
    return NetworkError(
        f"the file is {_kind(data)}",
        where=str(path),
        expected="Caffe's weights (caffemodel), whole",
        fix="give the .caffemodel as the weights; compare its size with the publisher's and "
        "fetch it again if they differ",
    )


def _kind(data: FileBytes) -> str:
    head = data.part(0, 4096)
    if not head:
        return "empty"
    for magic, kind in _MAGIC.items():
        if head.startswith(magic):
            return kind
    if head.lstrip().lower().startswith((b"<!doctype", b"<html", b"<?xml")):
        return "a web page: the download did not give the file"
    if head.startswith(b"version https://git-lfs"):
        return "a Git LFS pointer, not the file that it stands for"
    if not any(byte < 9 or 13 < byte < 32 for byte in head):
        return "text; a prototxt given in place of the weights?"
    if _is_onnx(data):
        return "an ONNX network, which needs no import"
    return "cut short, or no caffemodel at all"


def _is_onnx(data: FileBytes) -> bool:
    """Whether a graph that begins with a node is among a file's first fields.

    Parsed, a graph of empty nodes would become eighty times as large as the file.
    """
    with suppress(IndexError):
        for field in itertools.islice(fields(data, 0, data.size), _MOST_ONNX_FIELDS):
            if (field.number, field.wire_type) == (_ONNX_GRAPH, LENGTH):
                first = next(fields(data, field.begin, field.end), None)
                return first is not None and (first.number, first.wire_type) == (_NODE, LENGTH)
    return False
