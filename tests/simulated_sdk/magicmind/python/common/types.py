"""Simulated: NumPy's types and the SDK's."""

from magicmind.simulation.kinds import get_datatype_by_numpy, get_numpy_dtype_by_datatype

__all__ = ["get_datatype_by_numpy", "get_numpy_dtype_by_datatype"]
