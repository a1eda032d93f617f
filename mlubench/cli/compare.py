"""``mlubench compare``: two runs, and whether the newer one is worse."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from rich.console import Console

from mlubench.errors import ConfigError

_WIDTH = 100


def compare(
    run: Annotated[Path, Parameter(help="folder of the run to judge")],
    baseline: Annotated[Path, Parameter(help="folder of the run that it is judged by")],
    *,
    min_effect: Annotated[float, Parameter(help="percent of throughput that may be lost")] = 3.0,
) -> int:
    """Judge a benchmark run by another one: PASS, FAIL or INCONCLUSIVE for each configuration.

    It fails where Mann and Whitney's test over the rounds shows a loss, and the loss is at least
    --min_effect. An improvement never fails. Exit status: 0 pass, 1 fail, 3 inconclusive.
    """
    from mlubench.metrics.verdict import Verdict
    from mlubench.reports.bench_compare import compare_benchmarks, render_comparison
    from mlubench.reports.bench_json import BenchRecord
    from mlubench.reports.wording import verdict_text

    if not 0 <= min_effect < 100:
        raise ConfigError(
            f"is {min_effect:g}", where="--min_effect", expected="0 or more, below 100"
        )
    for folder in (run, baseline):
        if not BenchRecord.is_in(folder):
            raise ConfigError(
                "is no benchmark run",
                where=str(folder),
                expected="a folder of OUT/runs that mlubench bench wrote",
            )
    compared = compare_benchmarks(run, baseline, min_effect / 100)
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = _WIDTH
    console.print(render_comparison(compared))
    for line in [*compared.remarks, *compared.alone]:
        console.print(line, markup=False, soft_wrap=True)
    for one in compared.comparisons:
        if one.change.verdict != Verdict.PASS:
            console.print(f"{one.name}: {one.change.reason}", markup=False, soft_wrap=True)
    console.print(f"verdict: {verdict_text(compared.verdict)}")
    return compared.verdict.exit_status
