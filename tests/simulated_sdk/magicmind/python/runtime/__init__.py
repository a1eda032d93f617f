"""Simulated ``magicmind.python.runtime``: what samples import as ``mm``.

``Parser`` is not here, as in the samples; it is in ``magicmind.python.runtime.parser``.
"""

from magicmind import SIMULATED
from magicmind.simulation.build import Builder
from magicmind.simulation.calibrate import CalibDataInterface, Calibrator, RemoteConfig
from magicmind.simulation.config import BuilderConfig
from magicmind.simulation.devices import Device, System
from magicmind.simulation.kinds import (
    DataType,
    DeviceTracerLevel,
    Dims,
    DumpMode,
    FileFormat,
    HostTracerLevel,
    ModelKind,
    QuantizationAlgorithm,
)
from magicmind.simulation.model import Model
from magicmind.simulation.network import Network
from magicmind.simulation.runtime import Context
from magicmind.simulation.status import Code, Status
from magicmind.simulation.tensor import Tensor
from magicmind.simulation.tools import LoadPluginLibrary, Profiler, ProfilerOptions

__all__ = [
    "SIMULATED",
    "Builder",
    "BuilderConfig",
    "CalibDataInterface",
    "Calibrator",
    "Code",
    "Context",
    "DataType",
    "Device",
    "DeviceTracerLevel",
    "Dims",
    "DumpMode",
    "FileFormat",
    "HostTracerLevel",
    "LoadPluginLibrary",
    "Model",
    "ModelKind",
    "Network",
    "Profiler",
    "ProfilerOptions",
    "QuantizationAlgorithm",
    "RemoteConfig",
    "Status",
    "System",
    "Tensor",
]
