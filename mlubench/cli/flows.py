"""The verbs that run flows: ``mlubench eval``, ``bench`` and ``nightly``, and what they print."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from mlubench.cli.console import console
from mlubench.evaluate.options import EvaluateParameters
from mlubench.nightly.options import DEFAULT_SUITE, NightlyOptions, NightlyParameters
from mlubench.speed.benchmark.options import BenchParameters

if TYPE_CHECKING:
    from rich.console import Console

    from mlubench.evaluate.results import Outcome
    from mlubench.nightly.results import NightlyOutcome
    from mlubench.runs.record import TuningRecord
    from mlubench.speed.benchmark.results import BenchOutcome

_EVALUATE = EvaluateParameters()
_BENCH = BenchParameters()
_NIGHTLY = NightlyOptions()
_SUITE = NightlyParameters.model_fields["suite"].description


def evaluate(*, parameters: Annotated[EvaluateParameters, Parameter(name="*")] = _EVALUATE) -> int:
    """Judge a network in several precisions; without options, the embedded sample.

    Results go to OUT/runs/RUN_ID; what can be used again (decoded images, compiled networks)
    to OUT/cache.
    """
    from flows.launch import evaluate as start

    outcome = start(parameters)
    print_outcome(outcome)
    return outcome.exit_status


def bench(*, parameters: Annotated[BenchParameters, Parameter(name="*")] = _BENCH) -> int:
    """Measure throughput and latency in every precision; without options, the embedded sample.

    Every configuration is measured in each round, in turn. int8 is calibrated where there are
    images to calibrate on (--calibration_dir); else its ranges are made up, which changes its
    answers and not its speed.
    """
    from flows.launch import benchmark as start

    outcome = start(parameters)
    print_benchmark(outcome)
    return outcome.exit_status


def nightly(
    suite: Annotated[str, Parameter(help=_SUITE)] = DEFAULT_SUITE,
    /,
    *,
    options: Annotated[NightlyOptions, Parameter(name="*")] = _NIGHTLY,
) -> int:
    """Run a suite of evaluations and benchmarks and judge it.

    One that fails does not stop the others. Results go to OUT/runs, the summary to
    OUT/nightly/RUN_ID. Exit status: 1 a gate failed, or else 4 a device or engine failed, or else 2
    wrong input, or else 3 inconclusive, or else 0.
    """
    from flows.launch import nightly as start

    outcome = start(NightlyParameters(suite=suite, **dict(options)))
    print_nightly(outcome)
    return outcome.exit_status


def print_outcome(outcome: Outcome) -> None:
    """Print the table, what must be known beside it, and where the report is."""
    from mlubench.evaluate.table import render_accuracy, summary_lines

    screen = console()
    _print_tuning(screen, outcome.record.tuning)
    screen.print(render_accuracy(outcome.rows))
    screen.print()
    for line in [*summary_lines(outcome.record), *outcome.notes()]:
        screen.print(line, markup=False, soft_wrap=True)
    screen.print(f"report:  {outcome.folder / 'report.html'}", markup=False, soft_wrap=True)


def print_benchmark(outcome: BenchOutcome) -> None:
    """Print the table, what must be known beside it, and where the files are."""
    from mlubench.speed.benchmark.table import bench_summary, render_throughput

    screen = console()
    _print_tuning(screen, outcome.record.tuning)
    screen.print(render_throughput(outcome.rows))
    screen.print()
    for line in [*bench_summary(outcome.record), *outcome.notes()]:
        screen.print(line, markup=False, soft_wrap=True)
    screen.print(f"files:   {outcome.folder}", markup=False, soft_wrap=True)
    screen.print(f"report:  {outcome.folder / 'report.html'}", markup=False, soft_wrap=True)


def print_nightly(outcome: NightlyOutcome) -> None:
    """Print how each run ended, the verdict with its reasons, and where summary and page are."""
    from mlubench.nightly.next_steps import why_lines
    from mlubench.nightly.text import headline, reasons, render_nightly

    screen = console()
    screen.print(render_nightly(outcome.record))
    screen.print()
    for line in reasons(outcome.record)[1:]:
        screen.print(line, markup=False, soft_wrap=True)
    for run in outcome.record.runs:
        for line in why_lines(run):
            screen.print(f"{run.name}: {line}", markup=False, soft_wrap=True)
    if outcome.unshared:
        screen.print(outcome.unshared, markup=False, soft_wrap=True)
    screen.print(headline(outcome.record), markup=False, soft_wrap=True)
    screen.print(f"summary: {outcome.folder / 'summary.md'}", markup=False, soft_wrap=True)
    screen.print(f"page:    {outcome.folder / 'report.html'}", markup=False, soft_wrap=True)


def _print_tuning(screen: Console, tuning: Mapping[str, TuningRecord]) -> None:
    from mlubench.speed.measure.tuning_table import render_tuning

    if tuning:
        screen.print(render_tuning(tuning))
        screen.print()
