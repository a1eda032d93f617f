"""Run a suite of evaluations and benchmarks, and say whether anything got worse.

read the suite -> run its evaluations and benchmarks, one after the other, whatever becomes of each
-> judge each, and find out why one failed -> judge them together -> write the summary -> show it.

Each run is a subflow: it has a page, a state and tags of its own in Prefect's UI. That costs about
a second each, so nothing smaller is one.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from prefect import flow, runtime, tags
from prefect.client.schemas.objects import State

from flows.benchmark import benchmark
from flows.ending import ended, outcome_of
from flows.evaluate import evaluate
from flows.service.lifeline import end_with_worker
from mlubench.evaluate.options import EvaluateParameters
from mlubench.nightly.options import NightlyParameters
from mlubench.nightly.record import RunEnding
from mlubench.nightly.results import NightlyOutcome, run_ending, skipped, with_shared
from mlubench.nightly.suite import SuiteRun, read_suite
from mlubench.object_store.option import open_depot
from mlubench.object_store.store import Depot
from mlubench.runs.sharing import NIGHTS, RUNS
from tasks.nightly import artifact_key, explain_failure, publish_nightly, write_nightly
from tasks.progress import remark, runs_progress
from tasks.sharing import share, take_baselines


def _name() -> str:
    """Return the run's name in Prefect's UI: the suite and when it began."""
    asked = runtime.flow_run.parameters.get("parameters")
    suite = Path(asked.suite).stem if isinstance(asked, NightlyParameters) else "nightly"
    return f"{suite} {datetime.now(UTC):%Y-%m-%d %H:%M}"


@flow(name="nightly", flow_run_name=_name)
def nightly(parameters: NightlyParameters) -> State[NightlyOutcome]:
    """Run a suite and judge it; see ``mlubench nightly --help``."""
    end_with_worker()
    started = datetime.now(UTC)
    suite = read_suite(parameters)
    depot = open_depot(parameters.artifacts, remark)
    if depot is not None:
        take_baselines(depot, parameters.out, suite.name)
    with runs_progress(suite.name, artifact_key(suite.name), len(suite.runs)) as begin:
        endings = [_ending(run, suite.name, begin, depot) for run in suite.runs]
    outcome = write_nightly(parameters, suite, endings, started)
    if depot is not None:
        unshared = share(depot, parameters.out, NIGHTS, outcome.record.run_id)
        outcome = replace(outcome, unshared=unshared)
    publish_nightly(outcome)
    return ended(outcome, outcome.headline, passed=outcome.exit_status == 0)


def _ending(
    run: SuiteRun, suite: str, begin: Callable[[str], None], depot: Depot | None
) -> RunEnding:
    """Run one evaluation or benchmark; an error is its ending, not the nightly's."""
    begin(run.name)
    if run.absent:
        return skipped(run)
    begun = time.monotonic()
    asked: Any = run.parameters
    subflow: Any = evaluate if isinstance(asked, EvaluateParameters) else benchmark
    # Prefect takes braces for fields.
    name = run.name.replace("{", "{{").replace("}", "}}")
    with tags(suite, run.kind, asked.model or "own files", asked.engine):
        state = subflow.with_options(flow_run_name=name)(asked, return_state=True)
    told = run_ending(run, outcome_of(state), time.monotonic() - begun, depot)
    told = explain_failure(run, told) if told.exit_status else told
    if depot is None or not told.run_id:
        return told
    # Again, for its verdict and its page are new.
    return with_shared(told, share(depot, asked.out, RUNS, told.run_id))
