"""Simulated: readers of frameworks' networks."""

from magicmind.simulation.parser import Parser

__all__ = ["Parser"]
