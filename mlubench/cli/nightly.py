"""``mlubench nightly``: the nightly flow."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from mlubench.cli.evaluate import flow
from mlubench.pipeline.nightly_parameters import DEFAULT_SUITE, NightlyOptions, NightlyParameters

_ASKED_NOTHING = NightlyOptions()
_HELP = NightlyParameters.model_fields["suite"].description


def nightly(
    suite: Annotated[str, Parameter(help=_HELP)] = DEFAULT_SUITE,
    /,
    *,
    options: Annotated[NightlyOptions, Parameter(name="*")] = _ASKED_NOTHING,
) -> int:
    """Run a suite of evaluations and benchmarks and judge it.

    One that fails does not stop the others. Results go to OUT/runs, the summary to
    OUT/nightly/RUN_ID. Exit status: 1 a gate failed, or else 4 a device or engine failed, or else 2
    wrong input, or else 3 inconclusive, or else 0.
    """
    return flow("nightly")(NightlyParameters(suite=suite, **dict(options)))
