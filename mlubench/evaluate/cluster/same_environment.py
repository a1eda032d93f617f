"""What must be the same on all hosts of a run, that its answers do not depend on the host."""

from __future__ import annotations

import functools
import platform
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

import mlubench
from mlubench.errors import ConfigError
from mlubench.store import source_digest

_PACKAGES = ("distributed", "prefect", "prefect-dask", "numpy")


@functools.cache
def versions() -> dict[str, str]:
    """Return what must be the same on every host, whatever the engine."""
    return {
        "mlubench": mlubench.__version__,
        "mlubench's sources": source_digest(Path(mlubench.__file__).parent)[:16],
        "Python": ".".join(platform.python_version_tuple()[:2]),
        **{name: version(name) for name in _PACKAGES},
    }


def same_facts(engine: Mapping[str, str]) -> dict[str, str]:
    """Return what must be the same on every host: versions, and what the engine says of itself."""
    return {**versions(), **{f"the engine's {name}": fact for name, fact in engine.items()}}


def difference(here: Mapping[str, str], there: Mapping[str, str]) -> str:
    """Return in what two hosts differ; empty where they do not."""
    names = sorted(here.keys() | there.keys())
    return "; ".join(
        f"{name} is {there.get(name, 'absent')!r}, on the flow's host {here.get(name, 'absent')!r}"
        for name in names
        if here.get(name) != there.get(name)
    )


def check_same(host: str, here: Mapping[str, str], there: Mapping[str, str]) -> None:
    """Check that a host is as the flow's.

    Raises:
        ConfigError: it differs; says in what.
    """
    if wrong := difference(here, there):
        raise ConfigError(
            wrong,
            where=f"Dask worker {host}",
            expected="the same on all hosts: answers must not depend on where a shard is inferred",
            fix="install there what the flow's host has (constraints.txt), or leave that host out",
        )
