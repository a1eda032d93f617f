"""Engines by name, and what the pipeline must know of one that it cannot import.

Standard library only: the command line reads it before anything heavy is needed.
"""

from __future__ import annotations

import dataclasses
import importlib
from typing import Any, Mapping, Sequence, Tuple

from mlubench.errors import ConfigError

#: What no engine has that does not say otherwise.
NOT_IN_RUN = {
    "kernel_capture": "the engine captures no kernels",
    "trace_pmu": "the engine samples no bandwidths",
}


@dataclasses.dataclass(frozen=True)
class Traits:
    """What the pipeline must know of an engine where the engine itself cannot be imported.

    A package of an engine has them as ``TRAITS``, beside ``create()``.

    Attributes:
        family: its devices are ``family:0``, ``family:1``, ...
        builds_on_device: whether a build needs one of the run's devices; else it is given all
            of the host's cores.
        infer_depth: requests in flight that an evaluation keeps on a device; 0 is one more than the
            device has cores.
        batches: the sizes of batches that ``--tune`` compares where none is asked for.
        streams: whether a device runs inferences side by side in streams, up to one on each core,
            whose number can be chosen.
        model_file: the name of the one file that a network is compiled into, which other tools
            read; empty where it is a folder of files.
        installed_apart: whether what it needs is installed apart from this package, so that it
            may be absent.
        not_in_run: options of mm_run that have no meaning on it, beside those that it refuses
            itself when it is asked to measure; each with the reason.
    """

    family: str = "cpu"
    builds_on_device: bool = False
    infer_depth: int = 0
    batches: Tuple[int, ...] = (1, 4, 8, 16)
    streams: bool = False
    model_file: str = ""
    installed_apart: bool = False
    not_in_run: Mapping[str, str] = dataclasses.field(default_factory=lambda: NOT_IN_RUN)


def traits(name: str) -> Traits:
    """Return the traits of the engine of that name, whether or not it is installed.

    Raises:
        ConfigError: there is no such engine.
    """
    found: Traits = getattr(engine_module(name), "TRAITS", Traits())
    return found


def device_names(engine: str, given: Sequence[str]) -> Tuple[str, ...]:
    """Return devices by their names; ``0`` stands for the engine's own ``mlu:0`` or ``cpu:0``.

    Raises:
        ConfigError: there is no such engine.
    """
    family = traits(engine).family
    return tuple(f"{family}:{name}" if name.isdigit() else name for name in given)


def engine_module(name: str) -> Any:
    """Return the module of the engine of that name; a dotted name is one elsewhere.

    Raises:
        ConfigError: there is no such engine.
    """
    if not all(part.isidentifier() for part in name.split(".")):
        raise _no_engine(name)
    module_name = name if "." in name else f"{__package__}.{name}"
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not module_name.startswith(error.name):
            raise
        raise _no_engine(name) from error
    if not hasattr(module, "create"):
        raise _no_engine(name)
    return module


def _no_engine(name: str) -> ConfigError:
    return ConfigError(
        f"there is no engine named {name!r}",
        where="--engine",
        expected="openvino or magicmind",
        fix="name one of these, or the module of an engine of your own",
    )
