"""Simulated: the names that samples import from the compiled side."""

from magicmind.python.cc._pywrap_runtime import enums
from magicmind.simulation.network import ITensor

__all__ = ["ITensor", "enums"]
