"""Simulated: the enumerations."""

from magicmind.simulation.kinds import DataType, ModelKind, QuantizationAlgorithm

__all__ = ["DataType", "ModelKind", "QuantizationAlgorithm"]
