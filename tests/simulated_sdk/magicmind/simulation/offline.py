"""The file of a compiled model: what it says of itself, its graph, a digest.

One line that names the form and its version, one line of sorted JSON, the graph's bytes, and
the SHA-256 of all that. The same model gives the same bytes.
"""

from __future__ import annotations

import hashlib
import json

import numpy as np

from magicmind.simulation import graphs
from magicmind.simulation.kinds import DataType, get_numpy_dtype_by_datatype

VERSION = "simulated"
#: The upper end of a range that was not limited.
ANY = 1 << 30

_MAGIC = b"SIMULATED MagicMind model, version "
_DIGEST = hashlib.sha256().digest_size


class UnloadableError(ValueError):
    """It is no model of this version."""


def pack(meta, graph):
    """Return a model's file."""
    text = json.dumps(meta, sort_keys=True, separators=(",", ":")).encode("utf-8")
    body = _MAGIC + VERSION.encode() + b"\n" + text + b"\n" + graph
    return body + hashlib.sha256(body).digest()


def unpack(data):
    """Return (what the file says of the model, its graph).

    Raises:
        UnloadableError: it is no such file, of another version, or damaged.
    """
    head, _, rest = data[:-_DIGEST].partition(b"\n")
    if not head.startswith(_MAGIC):
        raise UnloadableError("it is no model")
    if head != _MAGIC + VERSION.encode():
        version = head[len(_MAGIC) :].decode("utf-8", "replace")
        raise UnloadableError(f"it is of version {version!r}, this is {VERSION!r}")
    if hashlib.sha256(data[:-_DIGEST]).digest() != data[-_DIGEST:]:
        raise UnloadableError("it is damaged")
    text, _, graph = rest.partition(b"\n")
    return json.loads(text.decode("utf-8")), graph


def probed_outputs(graph, inputs, tensors):
    """Return what the outputs are, seen from a run of two images, or None where it fails."""
    feeds = {
        one["name"]: np.zeros(
            [2, *(low for low, _ in one["ranges"][1:])],
            get_numpy_dtype_by_datatype(DataType[one["type"]]),
        )
        for one in inputs
    }
    try:
        runner = graphs.session(graph)
        arrays = graphs.run_images(runner, feeds)
    except Exception:  # whatever ONNX Runtime finds wrong: the SDK answers with None
        return None
    batch = inputs[0]["dims"][0]
    if any(array.ndim < 1 or len(array) != 2 for array in arrays):
        return None
    return [
        {
            "name": tensor._name,
            "dims": [batch, *array.shape[1:]],
            "type": tensor._data_type.name,
        }
        for tensor, array in zip(tensors, arrays)
    ]
