"""Simulated: the compiled model, the same class as ``mm.Model``."""

from magicmind.simulation.model import Model

__all__ = ["Model"]
