"""Bad networks: the importer's own error or a network; never its fault, nor memory, nor a path.

More than 200 mutations made by hand, then a fuzzer that is led by the coverage of the importer and
of protobuf's text parser (:mod:`tests.chaos.fuzz`), then mutations by lot.
"""

from __future__ import annotations

import itertools
import random
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from mlubench.networks.caffe import caffe_pb2
from tests.chaos.campaign import Chance, Counts, must
from tests.chaos.inputs import bounded, disturbed, read_files
from tests.chaos.kills import Undisturbed
from tests.chaos.reading import NEVER_OPENED
from tests.networks.caffe.synthetic import layer, network

_BATCH = 150
#: Layers, dimensions and so on of the longest networks.
_MANY = 100_000
#: Of the time, for the fuzzer.
_FUZZING_SHARE = 0.4
_PROJECT = Path(__file__).parents[2]

#: A layer of each type, with its parameters, by name.
LAYERS = {
    "conv": (
        "Convolution",
        "convolution_param { num_output: 4 kernel_size: 3 stride: 1 pad: 1 dilation: 1 group: 2 }",
    ),
    "conv2": (
        "Convolution",
        (
            "convolution_param { num_output: 4 kernel_h: 3 kernel_w: 1 stride_h: 1 stride_w: 2 "
            "pad_h: 1 pad_w: 0 axis: 1 bias_term: true }"
        ),
    ),
    "deconv": ("Deconvolution", "convolution_param { num_output: 4 kernel_size: 2 stride: 2 }"),
    "pool": ("Pooling", "pooling_param { pool: MAX kernel_size: 3 stride: 2 pad: 1 }"),
    "pool2": ("Pooling", "pooling_param { pool: AVE kernel_size: 3 stride: 2 pad: 1 }"),
    "lrn": ("LRN", "lrn_param { local_size: 5 alpha: 0.1 beta: 0.75 k: 1 }"),
    "norm": ("BatchNorm", "batch_norm_param { eps: 0.001 use_global_stats: true }"),
    "scale": ("Scale", "scale_param { axis: 1 num_axes: 1 bias_term: true }"),
    "bias": ("Bias", "bias_param { axis: 1 num_axes: 1 }"),
    "power": ("Power", "power_param { power: 2 scale: 0.5 shift: 1 }"),
    "exp": ("Exp", "exp_param { base: 2 scale: 0.5 shift: 1 }"),
    "log": ("Log", "log_param { base: 2 scale: 0.5 shift: 1 }"),
    "elu": ("ELU", "elu_param { alpha: 0.5 }"),
    "relu": ("ReLU", "relu_param { negative_slope: 0.1 }"),
    "prelu": ("PReLU", "prelu_param { channel_shared: false }"),
    "flat": ("Flatten", "flatten_param { axis: 1 end_axis: -1 }"),
    "shape": ("Reshape", "reshape_param { shape { dim: 0 dim: 2 dim: -1 } axis: 0 num_axes: -1 }"),
    "inner": ("InnerProduct", "inner_product_param { num_output: 5 axis: 1 }"),
    "soft": ("Softmax", "softmax_param { axis: 1 }"),
    "concat": ("Concat", "concat_param { axis: 1 }"),
    "slice": ("Slice", "slice_param { axis: 1 slice_point: 2 }"),
    "elt": ("Eltwise", "eltwise_param { operation: SUM coeff: 1 }"),
    "drop": ("Dropout", "dropout_param { dropout_ratio: 0.5 }"),
    "crop": ("Crop", "crop_param { axis: 2 offset: 0 }"),
}
_EXTREMES = ("0", "-1", "2147483647", "4294967295", "-2147483648", "1e38", "nan", "-inf", '"x"')
_FIELD = re.compile(r"(\w+): (-?[\d.]+)")


def _net(*layers: str) -> str:
    return network(*layers)


def _whole(name: str, parameters: str | None = None) -> str:
    kind, usual = LAYERS[name]
    tops = ("out", "out2") if kind == "Slice" else ()
    bottoms = ("data", "data") if kind in ("Crop", "Concat") else ("data",)
    return _net(layer(kind, usual if parameters is None else parameters, "out", bottoms, tops))


def extreme_numbers() -> Iterator[tuple[str, bytes]]:
    """Give a network for each number of each layer, with each extreme in the number's place."""
    for name, (_, parameters) in LAYERS.items():
        for place, field in enumerate(_FIELD.finditer(parameters)):
            for extreme in _EXTREMES:
                text = parameters[: field.start(2)] + extreme + parameters[field.end(2) :]
                yield f"{name} {place} {field[1]} {extreme}", _whole(name, text).encode()


def _chain(count: int) -> str:
    names = ["data", *(f"l{number}" for number in range(count))]
    return _net(*(layer("ReLU", "", to, [of]) for of, to in itertools.pairwise(names)))


RELU = layer("ReLU")
#: Texts that are wrong in a way of their own.
TEXTS: dict[str, str] = {
    "nothing": "",
    "white space": " \n\t" * 1000,
    "a comment": "# nothing",
    "a name alone": 'name: "n"',
    "no layer": _net(),
    "deep braces": "layer { " * 100_000,
    "deep brackets": _net("layer { convolution_param " + "{ a " * 50_000),
    "deep angles": "layer < " * 100_000,
    "deep lists": _net("layer { top: " + "[" * 100_000),
    "an open string": _net('layer { name: "'),
    "an open escape": _net('layer { name: "\\'),
    "many escapes": _net('layer { name: "' + "\\\\" * 100_000 + '" }'),
    "a long word": "w" * 1_000_000,
    "a long number": _net(layer("Power", "power_param { power: " + "9" * 100_000 + " }")),
    "a long fraction": _net(layer("Power", "power_param { power: 0." + "9" * 100_000 + " }")),
    "a hexadecimal": _net(layer("Power", "power_param { power: 0x10 }")),
    "an octal": network(RELU, shape=()).replace("dim", "dim: 010 dim"),
    "huge dims": network(RELU, shape=(1, 2**62, 2**62, 2**62)),
    "dims beyond 64 bits": network(RELU, shape=(1, 2**64, 1, 1)),
    "negative dims": network(RELU, shape=(1, -3, 5, 5)),
    "a circle": _net(layer("ReLU", "", "a", ["b"]), layer("ReLU", "", "b", ["a"])),
    "itself": _net(layer("ReLU", "", "a", ["a"])),
    "one name twice": _net(RELU, RELU),
    "no bottoms": _net(layer("ReLU", "", "out", [])),
    "many bottoms": _net(layer("Concat", "", "out", ["data"] * 3000)),
    "many tops": _net(layer("Split", "", "s", ["data"], [f"t{n}" for n in range(3000)])),
    "one top twice": _net(layer("Split", "", "s", ["data"], ["t", "t"])),
    "tops of the input's name": _net(layer("Split", "", "s", ["data"], ["data", "x"])),
    "no type": _net('layer { name: "a" bottom: "data" top: "a" }'),
    "no name": _net('layer { type: "ReLU" bottom: "data" top: "a" }'),
    "a type of code": _net(layer("__import__('os').system('true')")),
    "a type of Python": _net(layer("Python", 'python_param { module: "os" layer: "system" }')),
    "a source": _net(layer("ImageData", f'image_data_param {{ source: "{NEVER_OPENED}" }}')),
    "a mean file": _net(layer("ReLU", f'transform_param {{ mean_file: "{NEVER_OPENED}" }}')),
    "an HDF5 source": _net(layer("HDF5Data", f'hdf5_data_param {{ source: "{NEVER_OPENED}" }}')),
    "a window file": _net(layer("WindowData", f'window_data_param {{ source: "{NEVER_OPENED}" }}')),
    "an include": f'#include "{NEVER_OPENED}"\nimport "{NEVER_OPENED}";\n' + _net(RELU),
    "an Any": "[type.googleapis.com/mlubench.networks.caffe.NetParameter] { }",
    "an extension": _net("layer { [a.b.c]: 1 }"),
    "a name of paths": _net(layer("ReLU", "", "../../../etc/passwd")),
    "a name of NUL": _net(layer("ReLU", "", "a\\000b")),
    "a name of bytes": _net(layer("ReLU", "", "a\\xff\\xfeb")),
    "a name of line ends": _net(layer("ReLU", "", "a\\nb\\x1b[2J")),
    "a name of markup": _net(layer("ReLU", "", "<script>alert(1)</script>[red]")),
    "both formats": _net(RELU, 'layers { name: "b" type: RELU bottom: "data" top: "b" }'),
    "old and unknown": _net('layers { name: "b" type: 9999 bottom: "data" top: "b" }'),
    "old without type": _net('layers { name: "b" bottom: "data" top: "b" }'),
    "both rules": _net(layer("ReLU", "include { phase: TEST } exclude { phase: TEST }")),
    "many semicolons": _net(RELU) + ";" * 100_000,
    "a byte order mark": "\ufeff" + _net(RELU),
    "odd spaces": _net(RELU).replace("\n", "\u2028"),
    "carriage returns": _net(RELU).replace("\n", "\r"),
    "form feeds": _net(RELU).replace(" ", "\f"),
    "slices out of order": _net(
        layer("Slice", "slice_param { slice_point: 3 slice_point: 1 }", "s", ["data"], list("abc"))
    ),
    "slices beyond": _net(
        layer("Slice", "slice_param { slice_point: 4000000000 }", "s", ["data"], list("ab"))
    ),
    "coefficients that are none": _net(
        layer("Eltwise", "eltwise_param { coeff: nan coeff: inf }", "out", ["data", "data"])
    ),
    "many kernel sizes": _net(
        layer("Convolution", "convolution_param { num_output: 1 " + "kernel_size: 1 " * 999 + "}")
    ),
    "two inferred dims": _net(layer("Reshape", "reshape_param { shape { dim: -1 dim: -1 } }")),
    "a reshape to much": _net(
        layer("Reshape", "reshape_param { shape { dim: 0 " + "dim: 4294967296 " * 999 + "} }")
    ),
}

#: Texts that are wrong by how much they have of something.
LONG_TEXTS: dict[str, Callable[[int], str]] = {
    "many dims": lambda many: network(RELU, shape=(1,) * many),
    "many inputs": lambda many: 'input: "d"\n' * many + RELU,
    "many input_dims": lambda many: 'input: "d"\n' + "input_dim: 1\n" * many + RELU,
    "a long chain": lambda many: _chain(many // 20),
    "many rules": lambda many: _net(layer("ReLU", "include { phase: TEST }\n" * (many // 5))),
    "many empty layers": lambda many: "layer {}\n" * many,
    "many empty parameters": lambda many: _net(layer("ReLU", "relu_param {}\n" * (many // 2))),
    "many slices": lambda many: _net(
        layer(
            "Slice", "slice_param { " + "slice_point: 1 " * (many // 10) + "}", "s", tops=list("ab")
        )
    ),
    "many coefficients": lambda many: _net(
        layer("Eltwise", "eltwise_param { " + "coeff: 1 " * many + "}")
    ),
    "closing braces": lambda many: "}" * many,
    "a long name": lambda many: _net(layer("ReLU", "", "n" * (10 * many))),
}


def _field(number: int, payload: bytes, wire: int = 2) -> bytes:
    """Return a field of protobuf's wire format."""
    key = _varint(number << 3 | wire)
    return key + (_varint(len(payload)) if wire == 2 else b"") + payload


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def _weights(blob: bytes, name: bytes = b"a") -> bytes:
    """Return a caffemodel of one layer with one blob."""
    return _field(100, _field(1, name) + _field(7, blob))


def _blob(dims: list[int], numbers: int) -> bytes:
    shape = _field(7, _field(1, b"".join(_varint(dim % 2**64) for dim in dims)))
    return shape + _field(5, np.zeros(numbers, "<f4").tobytes())


#: Caffemodels that are wrong in a way of their own.
FILES: dict[str, bytes] = {
    "nothing": b"",
    "ones": b"\xff" * 100_000,
    "a layer without blobs": _field(100, _field(1, b"a")),
    "dims without numbers": _weights(_blob([1000, 1000, 1000], 0)),
    "a dim of nothing": _weights(_blob([0], 0)),
    "no dims": _weights(_blob([], 1)),
    "no dims, many numbers": _weights(_blob([], 9)),
    "dims of 63 bits": _weights(_blob([2**62] * 9, 4)),
    "dims that overflow to few": _weights(_blob([2**32, 2**32, 4], 4)),
    "negative dims": _weights(_blob([-1, -4], 4)),
    "many dims of one": _weights(_blob([1] * 65, 1)),
    "very many dims of one": _weights(_blob([1] * 100_000, 1)),
    "very many huge dims": _weights(_blob([2**62] * 100_000, 1)),
    "both kinds of numbers": _weights(_blob([2], 2) + _field(8, bytes(16))),
    "too few numbers": _weights(_blob([5], 4)),
    "half a number": _weights(_field(7, _field(1, b"\x01")) + _field(5, b"abc")),
    "single numbers": _weights(
        _field(7, _field(1, b"\xe8\x07")) + _field(5, bytes(4), wire=5) * 1000
    ),
    "numbers in many chunks": _weights(
        _field(7, _field(1, _varint(50_000))) + _field(5, bytes(4)) * 50_000
    ),
    "NaN and infinity": _weights(
        _field(7, _field(1, b"\x02")) + _field(5, np.array([np.nan, np.inf], "<f4").tobytes())
    ),
    "old shape without numbers": _weights(b"\x08\x7f\x10\x7f\x18\x7f\x20\x7f"),
    "old shape, negative": _weights(b"".join(bytes([k]) + _varint(2**64 - 1) for k in (8, 16))),
    "a name that is not UTF-8": _weights(_blob([1], 1), b"\xff\xfe"),
    "a name of NUL": _weights(_blob([1], 1), b"\0"),
    "a long name": _weights(_blob([1], 1), b"n" * 1_000_000),
    "one name twice": _weights(_blob([1], 1)) * 2,
    "a length beyond the end": b"\xa2\x06\xff\xff\xff\x7f",
    "a length of ten bytes": b"\xa2\x06" + b"\xff" * 9 + b"\x01",
    "a varint without end": b"\xa0\x06" + b"\xff" * 1000,
    "deep unknown messages": b"".join(
        _field(9, b"")[:1] + _varint(2**20 - n) for n in range(100_000)
    ),
    "field zero": b"\x00\x01" * 1000,
    "another wire type": _field(100, bytes(8), wire=1) * 1000,
    "a text": b'layer { name: "a" }',
    "HTML": b"<html></html>" * 1000,
    "HDF5": b"\x89HDF\r\n\x1a\n" + bytes(1000),
    "a pickle": b"\x80\x04cos\nsystem\n(S'true'\ntR.",
    "a NumPy array": b"\x93NUMPY\x01\x00v\x00{'descr': '|O', 'shape': (1,)}",
    "ZIP": b"PK\x03\x04" + bytes(1000),
}

#: Caffemodels that are wrong by how much they have of something.
LONG_FILES: dict[str, Callable[[int], bytes]] = {
    "many layers": lambda many: b"".join(
        _weights(_blob([1], 1), b"%d" % n) for n in range(many // 5)
    ),
    "many empty layers": lambda many: _field(100, b"") * many,
    "many empty old layers": lambda many: _field(2, b"") * many,
    "many empty blobs": lambda many: _field(100, _field(1, b"a") + _field(7, b"") * many),
    "more empty layers": lambda many: _field(100, b"") * (10 * many),
    "still more empty blobs": lambda many: _field(100, _field(7, b"") * (100 * many)),
    "unknown fields": lambda many: _field(9999, b"x" * 10) * (many // 5),
    "deep groups": lambda many: b"\x0b" * many,
    "closing groups": lambda many: b"\x0c" * many,
    "zeros": lambda many: bytes(many),
}


def mutations(many: int) -> tuple[dict[str, bytes], dict[str, bytes]]:
    """Return the prototxts and the caffemodels that were made by hand, by name.

    Args:
        many: how much of something the long ones have.
    """
    texts = {name: text.encode() for name, text in TEXTS.items()}
    texts |= {name: make(many).encode() for name, make in LONG_TEXTS.items()}
    files = FILES | {name: make(many) for name, make in LONG_FILES.items()}
    return {**texts, **dict(extreme_numbers())}, files


def seeds() -> tuple[list[bytes], list[bytes]]:
    """Return prototxts and caffemodels that can be read."""
    texts = [_whole(name).encode() for name in LAYERS]
    whole = caffe_pb2.NetWeights(name="n")
    whole.layer.add(name="a", type="ReLU").blobs.add(
        shape=caffe_pb2.BlobShape(dim=[2, 3]), data=[bytes(24)]
    )
    return texts, [whole.SerializeToString(), FILES["single numbers"], _weights(_blob([2, 2], 4))]


def check_by_hand(folder: Path, counts: Counts, many: int = _MANY) -> None:
    """Read all mutations that were made by hand; the long ones have ``many`` of something."""
    for reader, files in zip(("prototxt", "caffemodel"), mutations(many), strict=True):
        named = {f"{place:05d}": data for place, data in enumerate(files.values())}
        found = read_files(reader, folder / reader, named)
        for name, reading in zip(files, found.values(), strict=True):
            bounded(f"{reader} {name!r}", reading, counts)
            counts.count(f"{reader}s by hand, {reading.became}")


def _by_lot(folder: Path, lot: random.Random, counts: Counts) -> None:
    """Read files with a few changes by lot."""
    reader, seed = lot.choice(list(zip(("prototxt", "caffemodel"), seeds(), strict=True)))
    files = {f"{number:05d}": disturbed(lot.choice(seed), lot) for number in range(_BATCH)}
    for name, reading in read_files(reader, folder, files).items():
        bounded(f"{folder / name}", reading, counts)
        counts.count(f"{reader}s by lot, {reading.became}")


def fuzz(reader: str, folder: Path, seconds: int, seed: int) -> int:
    """Fuzz a reader, led by its coverage; return how many inputs were tried.

    Raises:
        AssertionError: the reader failed by a fault of its own, or took too long or too much.
    """
    folder.mkdir(parents=True)
    for place, data in enumerate(seeds()[reader == "caffemodel"]):
        (folder / str(place)).write_bytes(data)
    done = subprocess.run(
        [
            *(sys.executable, "-m", "tests.chaos.fuzz", reader, str(folder)),
            *(f"-max_total_time={seconds}", f"-seed={seed + 1}", "-timeout=10", "-max_len=4000"),
            *("-rss_limit_mb=1500", f"-artifact_prefix={folder}/"),
        ],
        cwd=_PROJECT,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    must(done.returncode == 0, f"{reader}, files in {folder}: {done.stderr[-4000:]}")
    tried = re.findall(r"^Done (\d+) runs|^#(\d+)\s", done.stderr, re.MULTILINE)
    return max((int(one or other) for one, other in tried), default=0)


def campaign(chance: Chance, whole: Undisturbed) -> Counts:
    """Read bad networks until the time is up."""
    counts = Counts()
    with counts.trial("by hand"):
        check_by_hand(chance.folder / "by-hand", counts)
    rest = max(chance.end - time.monotonic(), 0)
    seconds = int(rest * _FUZZING_SHARE)

    def fuzzing(number: int) -> None:
        reader = ("prototxt", "caffemodel")[number]
        tried = fuzz(reader, chance.folder / f"fuzz-{reader}", seconds, chance.seed)
        counts.count(f"{reader}s, led by coverage", tried)

    if seconds:
        chance.trials(counts, 2, fuzzing)

    def by_lot(number: int) -> None:
        _by_lot(chance.folder / str(number), chance.lot("networks", number), counts)

    chance.trials(counts, 10_000, by_lot)
    return counts
