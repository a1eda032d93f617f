"""Prefect tasks: one verb each around one function of the library."""
