"""Artifacts on an object store: what one host has made, others take instead of making it again.

A store knows neither renames nor whole folders. An entry is therefore some objects and one
manifest, which is written last and names them with their sizes and SHA-256; what no manifest names
does not exist. See :mod:`mlubench.object_store.manifest` for where they lie.
"""
