"""mm_run's options: names, defaults and meaning are the tool's own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    TypeAdapter,
    model_validator,
)

from mlubench.errors import ConfigError
from mlubench.speed.mm_run.tool.results import Parameter
from mlubench.speed.mm_run.tool.spellings import OLDER_SPELLINGS

#: mm_run takes a value: --bind_cluster 0, 1, true, false.
Flag = Annotated[Literal[True, False], BeforeValidator(TypeAdapter(bool).validate_python)]
#: A hundred days and more; beyond that, clocks overflow.
Milliseconds = Annotated[int, Field(ge=0, le=10**10)]
Positive = Annotated[int, Field(ge=1)]
#: More would be a slip: no host has as many cores for a device, and each takes memory.
Threads = Annotated[int, Field(ge=1, le=256)]
#: mm_run's pipeline needs two buffers at least.
Depth = Annotated[int, Field(ge=2)]
InputDims = Annotated[
    tuple[tuple[int, ...], ...], BeforeValidator(lambda value: _dims_of_inputs(value))
]
Batches = Annotated[
    tuple[Annotated[int, Field(ge=1)] | None, ...],
    BeforeValidator(lambda value: _batches(value)),
]
AverageRuns = Annotated[
    tuple[Positive, ...],
    Field(min_length=2, max_length=2),
    BeforeValidator(lambda value: _numbers(value)),
]


class MmRunOptions(BaseModel):
    """The options of one run, in the order in which mm_run prints them.

    ``model_fields_set`` tells what was given; :data:`OLDER_SPELLINGS` are taken too.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())

    magicmind_model: Path = Field(description="the compiled network")
    input_dims: InputDims = Field(
        (),
        description="shape of each input: commas within one, a space between two (default: the "
        "network's own; needed for a dynamic network)",
    )
    batch_size: Batches = Field(
        (),
        description="the first dimension of each input, over --input_dims; _ leaves one as it is",
    )
    run_config: Path | None = Field(
        None,
        description="JSON file of input shapes that take turns; over --input_dims and --batch_size",
    )
    input_files: tuple[Path, ...] = Field(
        (), description="raw bytes of each input (default: random data)"
    )
    output_path: Path | None = Field(
        None, description="folder for each output's bytes; with --input_files"
    )
    plugin: tuple[Path, ...] = Field((), description="libraries of further operations")
    devices: tuple[str, ...] = Field(("0",), min_length=1, description="devices, all at once")
    threads: Threads = Field(1, description="threads on each device")
    bind_cluster: Flag = Field(False, description="bind each thread to a cluster of its own")
    warmup: Milliseconds = Field(200, description="milliseconds before measuring")
    duration: Milliseconds = Field(3000, description="measure for at least so many milliseconds")
    iterations: Positive = Field(
        100, description="and for at least so many iterations of each thread"
    )
    disable_data_copy: Flag = Field(
        False, description="leave out copying in and out; the inputs are then undefined"
    )
    host_async: Flag = Field(
        False, description="overlap by threads of the host in place of the device's queues"
    )
    buffer_depth: Depth = Field(2, description="inputs in flight")
    infer_depth: Depth = Field(2, description="inferences and outputs in flight")
    kernel_capture: Flag = Field(
        False, description="capture the kernels in the first iteration and use them again"
    )
    trace_path: Path | None = Field(None, description="folder for the run's trace, as JSON")
    debug_path: Path | None = Field(None, description="folder for every layer's output")
    perf_path: Path | None = Field(None, description="folder for every layer's times")
    trace_pmu: Flag = Field(False, description="sample the device's bandwidths")
    trace_time: Literal["none", "dev", "host", "both"] = Field(
        "host", description="clocks that time the stages; none disturbs least"
    )
    avg_runs: AverageRuns = Field(
        (100, 10), description="print averages of so many iterations each, at most so many"
    )
    datatransfer_opt: Flag | None = Field(
        None, description="overlap copies and inference; only up to MagicMind 0.14, where it is on"
    )

    @model_validator(mode="before")
    @classmethod
    def _spell(cls, given: Any) -> Any:
        """Take the older spellings."""
        if not isinstance(given, Mapping):
            return given
        for older, name in OLDER_SPELLINGS.items():
            if older in given and name in given:
                raise ConfigError(
                    f"--{older} is an older spelling of --{name}",
                    where=f"--{older} and --{name}",
                    expected="one of them",
                    fix=f"leave out --{older}",
                )
        return {OLDER_SPELLINGS.get(name, name): value for name, value in given.items()}

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.output_path is not None and not self.input_files:
            raise ConfigError(
                "outputs are saved only of given inputs",
                where="--output_path",
                expected="--input_files beside it",
                fix="give --input_files, or leave out --output_path",
            )
        if self.datatransfer_opt is False and "infer_depth" in self.model_fields_set:
            raise ConfigError(
                "nothing overlaps, one request at a time is in flight",
                where="--infer_depth and --datatransfer_opt false",
                expected="one of the two",
                fix="leave out --infer_depth",
            )
        return self

    def parameters(self) -> tuple[Parameter, ...]:
        """Return the options as mm_run prints them, with its names of their types."""
        return tuple(
            Parameter(name, _KINDS[name], value_text(getattr(self, name)))
            for name in type(self).model_fields
            if name in _KINDS
        )


#: mm_run's types of the options that it has now; that of avg_runs is not documented.
_KINDS = {
    **dict.fromkeys(
        (
            "magicmind_model",
            "run_config",
            "output_path",
            "trace_path",
            "debug_path",
            "perf_path",
            "trace_time",
        ),
        "Str",
    ),
    **dict.fromkeys(
        ("threads", "warmup", "duration", "iterations", "buffer_depth", "infer_depth"), "Int"
    ),
    **dict.fromkeys(
        ("bind_cluster", "disable_data_copy", "host_async", "kernel_capture", "trace_pmu"), "Bool"
    ),
    **dict.fromkeys(("batch_size", "devices", "avg_runs"), "Vec<Int>"),
    **dict.fromkeys(("input_files", "plugin"), "Vec<Str>"),
    "input_dims": "Vec<Vec<Int>>",
}


def words_of(value: Any) -> list[str]:
    """Return an option's value as the words of a command line."""
    if value is None:
        return []
    if isinstance(value, bool):
        return ["1" if value else "0"]
    if not isinstance(value, tuple):
        return [str(value)]
    return [
        ",".join(map(str, item)) if isinstance(item, tuple) else "_" if item is None else str(item)
        for item in value
    ]


def value_text(value: Any) -> str:
    """Return an option's value as mm_run prints it."""
    if isinstance(value, bool):
        return str(value).lower()
    nested = isinstance(value, tuple) and value and isinstance(value[0], tuple)
    return (" _ " if nested else ",").join(words_of(value))


def _dims_of_inputs(value: Any) -> Any:
    """Return ``1,3,224,224 5,6`` as one tuple for each input; `` _ `` may part them, too."""
    if isinstance(value, str):
        value = value.split()
    if not isinstance(value, Sequence):
        return value
    return tuple(_numbers(item) for item in value if item != "_")


def _batches(value: Any) -> Any:
    """Return ``1 _ 8`` as a number or None for each input."""
    if isinstance(value, str):
        value = value.replace(",", " ").split()
    elif isinstance(value, int):
        value = (value,)
    if not isinstance(value, Sequence):
        return value
    return tuple(None if item in ("_", "") else item for item in value)


def _numbers(value: Any) -> Any:
    """Return ``1,2`` as words; what is a list already stays, but for its words' commas."""
    if isinstance(value, str):
        return tuple(part.strip() for part in value.strip("[]").split(",") if part.strip())
    if isinstance(value, Sequence) and any(isinstance(item, str) for item in value):
        return _numbers(",".join(map(str, value)))
    return value
