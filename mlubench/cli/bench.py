"""``mlubench bench``: the benchmark flow."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from mlubench.cli.evaluate import flow
from mlubench.pipeline.bench_parameters import BenchParameters

_ASKED_NOTHING = BenchParameters()


def bench(*, parameters: Annotated[BenchParameters, Parameter(name="*")] = _ASKED_NOTHING) -> int:
    """Measure throughput and latency in every precision; without options, the embedded sample.

    Every configuration is measured in each round, in turn. int8 is calibrated where there are
    images to calibrate on (--calibration_dir); else its ranges are made up, which changes its
    answers and not its speed.
    """
    return flow("benchmark")(parameters)
