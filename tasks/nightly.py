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

from mlubench.pipeline import nightly
from mlubench.pipeline.nightly import NightlyOutcome
from mlubench.pipeline.nightly_parameters import NightlyParameters
from mlubench.pipeline.suite import Suite
from mlubench.reports.nightly_json import RunEnding
from mlubench.reports.nightly_text import nightly_cells, nightly_markdown
from tasks.pages import page_address


@task(task_run_name="judge", cache_policy=NO_CACHE)
def write_nightly(
    asked: NightlyParameters, suite: Suite, endings: Sequence[RunEnding], started: datetime
) -> NightlyOutcome:
    """Judge the runs together and write the nightly's folder."""
    return nightly.write_nightly(asked, suite, endings, started)


@task(task_run_name="publish", cache_policy=NO_CACHE)
def publish_nightly(written: NightlyOutcome) -> None:
    """Show the verdicts, the summary and links to the reports in Prefect's UI."""
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
