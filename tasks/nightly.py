"""Write a nightly's summary and show it in Prefect's UI."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime

from prefect import task
from prefect.artifacts import (
    create_link_artifact,
    create_markdown_artifact,
    create_table_artifact,
)
from prefect.cache_policies import NO_CACHE

from mlubench.nightly import reasons, results
from mlubench.nightly.options import NightlyParameters
from mlubench.nightly.record import RunEnding
from mlubench.nightly.results import NightlyOutcome
from mlubench.nightly.suite import Suite, SuiteRun
from mlubench.nightly.text import nightly_cells, nightly_markdown
from tasks.pages import page_address
from tasks.progress import step_progress


@task(task_run_name="explain {run.name}", cache_policy=NO_CACHE)
def explain_failure(run: SuiteRun, told: RunEnding) -> RunEnding:
    """Find out why a run is not green: which layers, images and classes, since which run."""
    told = reasons.with_history(run, told)
    if not reasons.needs_explaining(run, told):
        return told
    with step_progress(f"explain {run.name}", f"explain-{artifact_key(run.name)}") as progress:
        return reasons.explain_ending(run, told, progress)


@task(task_run_name="judge", cache_policy=NO_CACHE)
def write_nightly(
    asked: NightlyParameters, suite: Suite, endings: Sequence[RunEnding], started: datetime
) -> NightlyOutcome:
    """Judge the runs together and write the nightly's folder."""
    return results.write_nightly(asked, suite, endings, started)


@task(task_run_name="publish", cache_policy=NO_CACHE)
def publish_nightly(written: NightlyOutcome) -> None:
    """Show the verdicts, the summary and links to the pages in Prefect's UI."""
    record = written.record
    out = written.folder.parent.parent

    def link(report: str) -> str:
        return page_address(out / report)

    key = artifact_key(record.suite)
    create_markdown_artifact(
        key=f"{key}-summary",
        markdown=nightly_markdown(record, link),
        description=f"How nightly {record.run_id} ended",
    )
    create_table_artifact(
        key=f"{key}-verdicts",
        table=nightly_cells(record, link),
        description=f"Verdict of each run, nightly {record.run_id}",
    )
    create_link_artifact(
        key=f"{key}-page",
        link=page_address(written.folder / "report.html"),
        link_text=f"page of {record.run_id}",
        description=f"What failed, since when, and why, nightly {record.run_id}",
    )
    for run in record.runs:
        if run.report:
            create_link_artifact(
                key=f"{key}-report-{artifact_key(run.name)}",
                link=link(run.report),
                link_text=f"report of {run.run_id}",
                description=f"{run.name}, nightly {record.run_id}",
            )


def artifact_key(name: str) -> str:
    """Return a name as Prefect takes it for an artifact: lower-case letters, digits, dashes."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "run"
