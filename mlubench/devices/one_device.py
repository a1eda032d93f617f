"""One device by its number, as the samples' ``--device_id`` names it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from mlubench.devices.device import EngineHost
from mlubench.devices.pool import DevicePool
from mlubench.engines.traits import device_names
from mlubench.errors import ConfigError


@contextmanager
def one_device(engine: EngineHost, device_id: int) -> Iterator[DevicePool]:
    """Give the device; what is wrong with it is told of ``--device_id``.

    Raises:
        ConfigError: the engine or the device is not there.
    """
    (name,) = device_names(engine.name, [str(device_id)])
    try:
        with DevicePool(engine, [name]) as devices:
            yield devices
    except ConfigError as error:
        if error.where != "--devices":
            raise
        raise ConfigError(
            f"there is no device {name}",
            where=f"--device_id {device_id}",
            expected=error.expected,
            fix="give the number of one that is there, or leave --device_id out",
        ) from error
