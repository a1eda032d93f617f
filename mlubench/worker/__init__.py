"""The process that owns one device: it loads a compiled network once and takes shard after shard.

It runs under the engine's own interpreter: standard library, NumPy and the engine only, Python
3.7 syntax. :mod:`mlubench.worker.client` is the one place that starts it.
"""
