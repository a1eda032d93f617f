"""Prefect tasks: one verb each around one function of :mod:`mlubench.pipeline`."""
