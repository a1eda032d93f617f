"""The SDK's enumerations, shapes and types."""

from __future__ import annotations

import enum

import numpy as np

from magicmind.simulation.ledger import misuse
from magicmind.simulation.strict import need


class DataType(enum.Enum):
    """Types of tensors."""

    INT8 = 1
    INT16 = 2
    INT32 = 3
    INT64 = 4
    UINT8 = 5
    UINT16 = 6
    UINT32 = 7
    FLOAT16 = 8
    FLOAT32 = 9
    BOOL = 10
    QINT8 = 11
    QINT16 = 12


class ModelKind(enum.Enum):
    """Frameworks; the simulator parses Caffe and ONNX."""

    kCaffe = 1  # noqa: N815
    kOnnx = 2  # noqa: N815
    kPytorch = 3  # noqa: N815
    kTensorflow = 4  # noqa: N815


class QuantizationAlgorithm(enum.Enum):
    """How calibration finds a range."""

    LINEAR_ALGORITHM = 1
    EQNM_ALGORITHM = 2


class DumpMode(enum.Enum):
    """What a context dumps; only this member is documented, the others as integers."""

    kOutputTensors = 2  # noqa: N815


class FileFormat(enum.Enum):
    """The form of dumped files."""

    kBinary = 2  # noqa: N815


class HostTracerLevel(enum.Enum):
    """What the profiler traces on the host."""

    kCritical = 1  # noqa: N815


class DeviceTracerLevel(enum.Enum):
    """What the profiler traces on the card."""

    kOn = 1  # noqa: N815


_NUMPY = {
    DataType.INT8: np.int8,
    DataType.INT16: np.int16,
    DataType.INT32: np.int32,
    DataType.INT64: np.int64,
    DataType.UINT8: np.uint8,
    DataType.UINT16: np.uint16,
    DataType.UINT32: np.uint32,
    DataType.FLOAT16: np.float16,
    DataType.FLOAT32: np.float32,
    DataType.BOOL: np.bool_,
}


def get_numpy_dtype_by_datatype(data_type):
    """Return NumPy's type of a :class:`DataType`."""
    need(data_type, DataType, "get_numpy_dtype_by_datatype", "data_type")
    if data_type not in _NUMPY:
        raise misuse(
            "get_numpy_dtype_by_datatype", f"NumPy has no {data_type.name}", "return another type"
        )
    return _NUMPY[data_type]


def get_datatype_by_numpy(dtype):
    """Return the :class:`DataType` of NumPy's type."""
    for data_type, own in _NUMPY.items():
        if np.dtype(dtype) == own:
            return data_type
    raise misuse("get_datatype_by_numpy", f"there is no {np.dtype(dtype)}", "return another type")


class Dims:
    """A shape; -1 is a dynamic axis.

    Args:
        sizes: list or tuple of integers.
    """

    def __init__(self, sizes):
        need(sizes, (list, tuple), "Dims", "sizes")
        self._sizes = [
            int(need(size, (int, np.integer), "Dims", "a size of the shape")) for size in sizes
        ]
        if any(size < 1 and size != -1 for size in self._sizes):
            raise misuse("Dims", f"{self._sizes} is no shape", "take it, and fail later")

    def GetDims(self):  # noqa: N802  # the SDK's name
        """Return the sizes as a list."""
        return list(self._sizes)

    def GetDimValue(self, axis):  # noqa: N802
        """Return the size of an axis."""
        need(axis, int, "Dims.GetDimValue", "axis")
        if not 0 <= axis < len(self._sizes):
            raise misuse(
                "Dims.GetDimValue", f"{self._sizes} has no axis {axis}", "return any number"
            )
        return self._sizes[axis]

    def __str__(self):
        return str(self._sizes)

    def __eq__(self, other):
        raise misuse(
            "Dims",
            "compared with ==, which is not documented; compare GetDims()",
            "compare the objects' identities, and so say that equal shapes differ",
        )

    __hash__ = None


def fits(shape, dims, ranges=None):
    """Return whether an array's shape is one that the sizes (-1: any in the range) allow."""
    if len(shape) != len(dims):
        return False
    if ranges is not None and not all(
        low <= size <= high for size, (low, high) in zip(shape, ranges)
    ):
        return False
    return all(wanted in (-1, size) and size > 0 for size, wanted in zip(shape, dims))
