"""``mlubench eval``: the evaluate flow."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import entry_points
from typing import Annotated, Any

from cyclopts import Parameter

from mlubench.pipeline.parameters import EvaluateParameters

_ASKED_NOTHING = EvaluateParameters()


def evaluate(
    *, parameters: Annotated[EvaluateParameters, Parameter(name="*")] = _ASKED_NOTHING
) -> int:
    """Judge a network in several precisions; without options, the embedded sample.

    Results go to OUT/runs/RUN_ID; what can be used again (decoded images, compiled networks)
    to OUT/cache.
    """
    return flow("evaluate")(parameters)


def flow(name: str) -> Callable[[Any], int]:
    """Return what runs a flow: flows know this package, not the other way round."""
    (entry,) = entry_points(group="mlubench.flows", name=name)
    run: Callable[[Any], int] = entry.load()
    return run
