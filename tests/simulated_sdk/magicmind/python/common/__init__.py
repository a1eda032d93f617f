"""Simulated: the package's Python side."""
