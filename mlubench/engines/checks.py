"""Checks of a build's flags that every engine makes, each in its own name.

Standard library only, Python 3.7 syntax.
"""

from __future__ import annotations

from typing import Sequence, Tuple

from mlubench.engines.interface import BuildSpec
from mlubench.engines.precisions import is_quantised
from mlubench.errors import ConfigError


def refused(engine: str, flag: str, reason: str, fix: str) -> ConfigError:
    """Return the error of a flag that an engine has not got, or not as it was given."""
    return ConfigError(f"the {engine} engine refuses it: {reason}", where=f"--{flag}", fix=fix)


def check_choices(
    engine: str, spec: BuildSpec, choices: Sequence[Tuple[str, Sequence[str]]]
) -> None:
    """Check flags that take one of several words.

    Raises:
        ConfigError: a flag has another; names it.
    """
    for flag, allowed in choices:
        value = getattr(spec, flag)
        if value not in allowed:
            raise ConfigError(
                f"the {engine} engine has no {value!r}",
                where=f"--{flag}",
                expected="|".join(filter(None, allowed)),
                fix="name one of these",
            )


def check_quantisation(engine: str, spec: BuildSpec) -> None:
    """Check what goes together in a quantised network.

    Raises:
        ConfigError: something does not; names the flag.
    """
    if spec.calibration_algo == "eqnm" and spec.activation_quant_algo == "asymmetric":
        raise refused(
            engine,
            "activation_quant_algo",
            "asymmetric does not go with --calibration_algo eqnm",
            "use symmetric activations, or --calibration_algo linear",
        )
    if spec.random_calib_range is None:
        return
    if not is_quantised(spec.precision):
        reason = f"{spec.precision} is not calibrated"
        raise refused(engine, "random_calib_range", reason, "leave it out")
    low, high = spec.random_calib_range
    if not low < high:
        reason = f"{low:g} is not below {high:g}"
        raise refused(engine, "random_calib_range", reason, "give min,max")


def check_range(engine: str, spec: BuildSpec) -> None:
    """Check the range of batches of a dynamic network.

    Raises:
        ConfigError: the network is static, or runs with a batch outside of it.
    """
    if spec.dim_range is None:
        return
    low, high = spec.dim_range
    if not spec.dynamic_shape:
        reason = "a static network has one shape"
        raise refused(engine, "dim_range_min", reason, "add --dynamic_shape true")
    if not 1 <= low <= spec.batch_size <= high:
        raise refused(
            engine,
            "dim_range_min",
            f"--batch_size {spec.batch_size} is not within batches of {low} to {high}",
            "widen the range, or run with another --batch_size",
        )
