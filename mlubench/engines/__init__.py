"""Engines: what compiles a network and runs it on a device.

``interface.py`` is all that the rest of the project knows of an engine; each engine is a module
or package beside it with a function ``create()`` that returns its :class:`interface.Engine`, and
``TRAITS``, which can be read where the engine is not installed.

Everything in here runs inside the device workers, under the engine's own interpreter: standard
library, NumPy and the engine's own packages only, Python 3.7 syntax.
"""
