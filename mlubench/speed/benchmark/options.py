"""What a benchmark was asked to do: the options of ``mlubench bench``, checked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Self

from pydantic import BeforeValidator, ConfigDict, Field, model_validator

from mlubench.engines.precisions import PRECISIONS
from mlubench.engines.traits import device_names
from mlubench.networks.options import (
    DEFAULT_ENGINE,
    DEFAULT_PRECISIONS,
    NetworkParameters,
    NetworkSource,
)
from mlubench.object_store.option import ARTIFACTS_HELP, ArtifactsAddress
from mlubench.options import Count, Flag, Positive, Threads, form, wrong

#: The batches of the seed's own table.
DEFAULT_BATCHES = (1, 4, 8)


def _several(given: Any) -> Any:
    """Take one value for a list of one."""
    return given if isinstance(given, (list, tuple)) else (given,)


class BenchParameters(NetworkSource):
    """Options of a benchmark; field descriptions are the help texts.

    Every combination of precision, batch and shape is measured, on all devices.
    """

    model_config = ConfigDict(
        json_schema_extra=form(
            "Options of mlubench bench; what is left alone has its default.",
            "model",
            "precision",
            "batch_size",
            "devices",
            "engine",
            "rounds",
            "duration",
        )
    )

    precision: tuple[str, ...] = Field(
        DEFAULT_PRECISIONS, description="numeric modes, repeatable (default: the seed's three)"
    )
    batch_size: Annotated[tuple[Positive, ...], BeforeValidator(_several)] = Field(
        DEFAULT_BATCHES, description="images in a request, one or more values"
    )
    dynamic_shape: Annotated[tuple[Flag, ...], BeforeValidator(_several)] = Field(
        (False,), description="compile for batches of any size; false, true or both"
    )
    devices: tuple[str, ...] = Field(
        ("cpu:0",),
        description="measured at once; with several, 1, 2, 4 ... of them too (default: the "
        "engine's first)",
    )
    threads: Threads = Field(1, description="threads of the host on each device")
    infer_depth: Positive | None = Field(
        None, description="requests in flight of each thread (default: the engine's, as in eval)"
    )
    tune: Flag = Field(
        False,
        description="first measure, for minutes at most, which streams, requests and threads "
        "are fastest; kept for later runs",
    )
    rounds: Positive = Field(
        8, description="every configuration is measured so often, in turn; 7 or more can fail"
    )
    warmup: Count = Field(100, description="milliseconds before each round, at least")
    duration: Positive = Field(250, description="milliseconds of a round, at least")
    artifacts: ArtifactsAddress | None = Field(None, description=ARTIFACTS_HELP)
    iterations: Positive = Field(10, description="and requests of each thread, at least")

    @model_validator(mode="before")
    @classmethod
    def _name_devices(cls, given: Any) -> Any:
        """Take ``0`` for the engine's own ``mlu:0`` or ``cpu:0``; 0 is the default."""
        if not isinstance(given, Mapping):
            return given
        devices = given.get("devices", ("0",))
        if not isinstance(devices, (list, tuple)):
            return given
        engine = str(given.get("engine", DEFAULT_ENGINE))
        return {**given, "devices": device_names(engine, tuple(map(str, devices)))}

    @model_validator(mode="after")
    def _check(self) -> Self:
        for name in self.precision:
            if name not in PRECISIONS:
                raise wrong(
                    f"there is no precision {name!r}",
                    "--precision",
                    "one or more of " + ", ".join(PRECISIONS),
                )
        for option in ("precision", "batch_size", "dynamic_shape", "devices"):
            values = getattr(self, option)
            if not values or len(set(values)) < len(values):
                raise wrong("names nothing, or one thing twice", f"--{option}", "each once")
        clash = [name for name in ("threads", "infer_depth") if name in self.model_fields_set]
        if self.tune and clash:
            raise wrong(f"--tune and --{clash[0]} are both given", "--tune", "one of the two")
        self.check_network_group(ordered=False)
        return self

    @property
    def name(self) -> str:
        """What is measured, in a few words; the name of its runs in Prefect's UI."""
        file = self.onnx or self.prototxt
        return f"{file.stem if file else self.model or 'sample'}, {' '.join(self.devices)}"

    def network(self, batch_size: int, dynamic_shape: bool) -> NetworkParameters:
        """Return the options that compile one of the networks that are measured."""
        names = set(NetworkSource.model_fields)
        fields = {name: getattr(self, name) for name in self.model_fields_set & names}
        return NetworkParameters(
            **{**fields, "batch_size": batch_size, "dynamic_shape": dynamic_shape}
        )
