"""Whether a Dask cluster can be used at all, looked at before anything slow is done."""

from __future__ import annotations

import importlib.util
import socket
from urllib.parse import urlsplit

from mlubench.errors import ConfigError

_CONNECT_SECONDS = 5.0


def require_dask(scheduler: str) -> None:
    """Check that the extra is installed, and that something listens where the scheduler should.

    Args:
        scheduler: its address, ``tcp://host:port``.

    Raises:
        ConfigError: it is not, or nothing does.
    """
    if importlib.util.find_spec("prefect_dask") is None:
        raise ConfigError(
            "prefect-dask is not installed",
            where="--runner dask",
            fix="pip install --constraint constraints.txt --editable '.[dask]', on every host",
        )
    place = urlsplit(scheduler)
    try:
        socket.create_connection((place.hostname, place.port), _CONNECT_SECONDS).close()
    except OSError as error:
        raise no_scheduler(scheduler) from error


def no_scheduler(scheduler: str) -> ConfigError:
    """Return the error of a scheduler that is not there."""
    return ConfigError(
        "no Dask scheduler answers there",
        where=f"--scheduler {scheduler}",
        expected="the address that dask scheduler says when it starts",
        fix="start it: dask scheduler --host HOST --port 8786; then dask worker on each host",
    )
